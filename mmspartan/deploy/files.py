"""ONNX files from anywhere: read and checked before a runtime gets to see them.

What is wrong with a file is then said in one line that names it, and it does not end the process, as some do in
OpenVINO.
"""

import re
from pathlib import Path

import numpy as np
import onnx

from ..errors import InputError

# Lines of OpenVINO's errors that say where in its source something went wrong, not what.
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
# In ONNX Runtime's: path, line and signature of a function.
PLACE = re.compile(r'/onnxruntime_src/\S+ [^()]*\([^()]*(\([^()]*\)[^()]*)*\)( const)? ')


FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
MATRICES = ('Conv', 'Gemm', 'MatMul', 'ConvTranspose')


def read_onnx(path: str | Path) -> onnx.ModelProto:
    """A file's model without the weights that are stored in other files.

    Raises:
        ValueError: If it is no regular file, is empty, cannot be read or is no ONNX file; in one line.
    """
    try:
        if not Path(path).exists():
            raise InputError(f'{path}: no such file')
        if not Path(path).is_file():  # reading a pipe would wait
            raise InputError(f'{path}: not a regular file')
        if not Path(path).stat().st_size:
            raise InputError(f'{path}: is empty')
        Path(path).open('rb').close()
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from error
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's, and those of names that are no text
        raise InputError(f'{path}: not an ONNX file: {cause(error)}') from error
    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        raise InputError(f'{path}: not an ONNX file of a known version: its IR version is {model.ir_version}')
    return model


def check_finite(model: onnx.ModelProto, path: str | Path) -> None:
    """
    Raises:
        InputError: If a constant holds a NaN, or a kernel or matrix a value that is not finite; names both.
    """
    kernels = {node.input[1] for node in model.graph.node if node.op_type in MATRICES and len(node.input) > 1}
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS or tensor.data_location == onnx.TensorProto.EXTERNAL:
            continue
        try:
            array = onnx.numpy_helper.to_array(tensor)
        except Exception:  # the runtime says what is wrong with it
            continue
        if np.isnan(array).any() or (tensor.name in kernels and not np.isfinite(array).all()):
            raise InputError(f"{path}: its weight '{tensor.name}' is not finite")


def check_onnx(path: str | Path) -> None:
    """What ONNX Runtime checks itself, for OpenVINO, where some of these files would end the process.

    Raises:
        ValueError: If the file breaks the rules of ONNX, shapes included; in one line.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)  # by its path: external data is looked for beside it
    except Exception as error:
        raise InputError(f'{path}: not a valid ONNX model: {cause(error)}') from error


def cause(error: Exception) -> str:
    """What an error of ONNX, ONNX Runtime or OpenVINO says, in one line of at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(NO_CAUSE)] or lines or [type(error).__name__]
    text = ' '.join(' '.join(lines).split())
    if text.startswith('[ONNXRuntimeError]'):  # [ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from x failed:...
        text = text.split(' : ', 3)[-1]
        text = text.split(' failed:', 1)[-1] if text.startswith('Load model from') else text
        text = PLACE.sub('', text)
    return text if len(text) <= 300 else f'{text[:297]}...'
