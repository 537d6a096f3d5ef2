"""Static quantization to INT8 by ONNX Runtime, calibrated on images of the config's training set."""

import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..checkpoints.checkpoint import AtomicLocalBackend
from .precision import predictions

QUANTIZED = ['Conv', 'MatMul', 'Gemm']
BOX = 4  # numbers of a box, of which query positions are computed


class Feeds(CalibrationDataReader):
    """Calibration data from an iterator of feeds, dicts of arrays by the names of inputs."""

    def __init__(self, feeds: Iterator[dict[str, np.ndarray]]):
        self.feeds = feeds

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantize(
    source: Path,
    target: Path,
    reader: CalibrationDataReader,
    keep: Collection[str] = (),
    backend: str = 'openvino',
    reduce_range: bool = False,
) -> None:
    """Quantize the convolutions and linear layers of a model to INT8, weights per channel.

    All other operations stay in floating point and read values that are not rounded: the channel argmax is not
    continuous, the residual sums add up errors, and runtimes compute products of two activations, softmax,
    normalization and sampling no faster in INT8. So do the few products that predict outputs and sampled points, and
    those that read boxes: positions need more than 8 bits.

    Args:
        source, target: ONNX files.
        reader: Calibration data.
        keep: Names of nodes that stay in floating point.
        backend: Runtime of the file, ``'openvino'`` or ``'onnxruntime'``. OpenVINO computes activation functions within
            a convolution before it rounds the result. ONNX Runtime has integer convolutions with a rounded result only.
        reduce_range: Whether weights have 7 bits. x86 processors without VNNI add two products in 16 bits, which
            saturate if weights have 8.
    """
    logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime recommends preprocessing, which is done here
    exact_outputs = [] if backend == 'onnxruntime' else QUANTIZED
    with tempfile.TemporaryDirectory() as folder:
        inferred = Path(folder) / 'inferred.onnx'
        quant_pre_process(source, inferred, skip_symbolic_shape=True)
        quantize_static(
            inferred,
            Path(folder) / 'quantized.onnx',
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            nodes_to_exclude=[*keep, *sensitive_products(onnx.load(inferred).graph)],
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                'DedicatedQDQPair': True,
                'OpTypesToExcludeOutputQuantization': exact_outputs,
                'CalibMovingAverage': True,  # ranges of an average image, which single outliers do not widen
            },
        )
        content = (Path(folder) / 'quantized.onnx').read_bytes()
    AtomicLocalBackend().put(content, target)


def count_products(graph: onnx.GraphProto) -> tuple[int, int]:
    """Return the number of convolutions and linear layers that are in INT8, and of all."""
    stored = {tensor.name for tensor in graph.initializer}
    dequantized = {node.output[0] for node in graph.node if node.op_type == 'DequantizeLinear'}
    products = [node for node in graph.node if node.op_type in QUANTIZED and {*node.input} & (dequantized | stored)]
    return sum(node.input[0] in dequantized for node in products), len(products)


def sensitive_products(graph: onnx.GraphProto) -> set[str]:
    """Return the names of products of two activations, as in attention, of predictions, and of boxes."""
    stored = {tensor.name: tensor.dims for tensor in graph.initializer}
    _, found = predictions(graph)
    for node in graph.node:
        if node.op_type in ('MatMul', 'Gemm'):
            weights = [stored[name] for name in node.input if name in stored]
            if not weights or weights[0][0] == BOX:
                found.add(node.name)
    return found
