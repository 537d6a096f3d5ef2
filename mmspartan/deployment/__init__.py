"""Models as ONNX files: written from a config and a checkpoint, and evaluated like any other model."""
