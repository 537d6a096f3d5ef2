"""Inputs that are wrong, or only look so, by kind: each knows what a tool has to make of it."""

from . import annotations, checkpoints, configs, datasets, folders, onnx_files, options, pictures

# Each changes files of a bench, and says what has to come of it.
TARGETS = {
    'annotations': annotations.mutate,
    'pictures': pictures.mutate,
    'checkpoints': checkpoints.mutate,
    'onnx': onnx_files.mutate,
    'configs': configs.mutate,
    'datasets': datasets.mutate,
    'folders': folders.mutate,
    'options': options.mutate,
}
