"""Choices of options that are needed before the modules which implement them are imported."""

BACKENDS = ('onnxruntime', 'openvino')  # runtimes of exported files
PRECISION_NAMES = ('f32', 'bf16', 'f16')  # that files are exported for
LOADED_PRECISIONS = ('f32', 'bf16')  # those of them that a runtime chooses when it loads a file
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')  # of files that OpenCV reads and writes
METHODS = ('default', 'discrete')  # by which deformable attention samples
ACTIVATIONS = ('relu', 'silu')  # of decoder and head of a detector
OPSETS = range(16, 21)  # of ONNX
DEFAULT_OPSET = 20
