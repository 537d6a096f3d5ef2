"""Checks of ONNX files of any origin before a runtime loads them.

Errors in a file then give a message of one line that names it. In OpenVINO some of these files end the process.
"""

import re
from pathlib import Path

import numpy as np
import onnx

from mmspartan_cli import printable

from ..errors import InputError

# Lines of OpenVINO's errors that name a location in its source code, not a cause.
NO_CAUSE = (
    'Exception from ',
    'Check ',
    'FrontEnd API failed',
    'Loading input model',
    "Model wasn't fully converted",
    'While validating ',
    'Summary:',
    '-- Conversion is failed for',
)
# Location in an error of ONNX Runtime: path, line and signature of a function.
LOCATION = re.compile(r'/onnxruntime_src/\S+ [^()]*\([^()]*(\([^()]*\)[^()]*)*\)( const)? ')


FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
MATRICES = ('Conv', 'Gemm', 'MatMul', 'ConvTranspose')


def read_onnx(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file, without weights that are stored in external files.

    Raises InputError, in one line, if it is no regular file, is empty, cannot be read or is not an ONNX file.
    """
    try:
        if not Path(path).exists():
            raise InputError(f'{path}: no such file')
        if not Path(path).is_file():  # reading from a pipe would block
            raise InputError(f'{path}: not a regular file')
        if not Path(path).stat().st_size:
            raise InputError(f'{path}: is empty')
        Path(path).open('rb').close()
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from error
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # errors of protobuf and of names that are not UTF-8
        raise InputError(f'{path}: not an ONNX file: {cause(error)}') from error
    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        raise InputError(f'{path}: not an ONNX file of a known version: its IR version is {model.ir_version}')
    for node in model.graph.node:
        if any(item.name == 'batch_dims' and item.i < 0 for item in node.attribute):  # ONNX Runtime ends the process
            raise InputError(f'{path}: {printable(node.name)}: batch_dims is negative')
    return model


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return what ``tools/export_onnx.py`` notes in a file, by name."""
    return {entry.key: entry.value for entry in model.metadata_props}


def check_finite(model: onnx.ModelProto, path: str | Path) -> None:
    """Check the weights of a model.

    Raises InputError, which names file and weight, if a constant holds a NaN, the weight of a convolution or matrix
    product an infinite value, or a row of another constant infinite beside finite values. Rows of infinite values are
    the boxes of features that cannot be selected, and rows of zeros and infinite values are masks.
    """
    kernels = {node.input[1] for node in model.graph.node if node.op_type in MATRICES and len(node.input) > 1}
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS or tensor.data_location == onnx.TensorProto.EXTERNAL:
            continue
        try:
            array = onnx.numpy_helper.to_array(tensor)
        except Exception:  # the runtime reports this error
            continue
        if not array.size:
            continue
        array = array.squeeze()  # channels are a row
        rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        is_infinite = np.isinf(rows)
        is_mixed = (is_infinite.any(1) & (~is_infinite & (rows != 0)).any(1)).any()
        if np.isnan(array).any() or is_mixed or (tensor.name in kernels and is_infinite.any()):
            raise InputError(f"{path}: its weight '{tensor.name}' is not finite")


def check_onnx(path: str | Path) -> None:
    """Check a file against the specification of ONNX, including shapes; raises an InputError of one line.

    ONNX Runtime does so itself. In OpenVINO some invalid files end the process.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)  # the path is needed to find external data
    except Exception as error:
        raise InputError(f'{path}: not a valid ONNX model: {cause(error)}') from error


def cause(error: Exception) -> str:
    """Return the message of an error of ONNX, ONNX Runtime or OpenVINO in one line of at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(NO_CAUSE)] or lines or [type(error).__name__]
    text = ' '.join(' '.join(lines).split())
    if text.startswith('[ONNXRuntimeError]'):  # [ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from x failed:...
        text = text.split(' : ', 3)[-1]
        text = text.split(' failed:', 1)[-1] if text.startswith('Load model from') else text
        text = LOCATION.sub('', text)
    return text if len(text) <= 300 else f'{text[:297]}...'
