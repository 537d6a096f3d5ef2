"""Inference with ONNX files on CPUs by ONNX Runtime or OpenVINO."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from ..errors import InputError
from .files import cause, check_finite, check_onnx, read_onnx
from .precision import PRECISIONS, precision_of

if TYPE_CHECKING:
    import openvino

MAX_THREADS = 1024


class Session:
    """A runtime that has loaded an ONNX file.

    Args:
        path: The file.
        backend: ``'onnxruntime'`` or ``'openvino'``, both on the CPU.
        threads: Number of threads; the runtime's choice by default.
        streams: Number of parts of a batch that OpenVINO computes in parallel, each with its share of the threads. More
            streams give more throughput, and 1, the default, the lowest latency. ONNX Runtime computes the parts in
            sequence.
        precision: ``'f32'``, or in OpenVINO ``'bf16'``; by default what the file asks for. OpenVINO computes in float32
            on CPUs without BF16. What is INT8 in the file stays INT8.

    Attributes:
        precision (str): ``'f32'`` or ``'bf16'``, in which floating-point operations are computed here.
        inputs (dict[str, list]): Shapes by name; a dynamic side is a name or a question mark.
        dtypes (dict[str, np.dtype]): Dtypes of the inputs by name.
        outputs (list[str]): Names of the outputs.

    Raises:
        ValueError: If ``streams`` is less than 1, ``threads`` is negative or beyond 1,024, the runtime does not compute
            in ``precision``, the file does not exist or has no input ``images``, or the runtime cannot read it.
    """

    def __init__(
        self,
        path: str | Path,
        backend: str = 'onnxruntime',
        threads: int | None = None,
        streams: int = 1,
        precision: str | None = None,
    ):
        self.path, self.backend, self.streams = path, backend, streams
        if streams < 1:
            raise InputError(f'streams must be at least 1, got {streams}')
        if not 0 <= (threads or 0) <= MAX_THREADS:
            raise InputError(f'threads must be from 1 to {MAX_THREADS}, got {threads}')
        runtimes = PRECISIONS[precision].runtimes if precision in PRECISIONS else ()
        if precision is not None and not runtimes:
            chosen = [name for name, known in PRECISIONS.items() if known.runtimes]
            raise InputError(f'precision must be one of {chosen}, got {precision!r}; FP16 is a property of the file')
        if precision is not None and backend not in runtimes:
            raise InputError(f'{backend} does not compute in {precision} on a CPU: {", ".join(runtimes)} does')
        model = read_onnx(path)
        check_finite(model, path)
        graph = model.graph
        stored = {tensor.name for tensor in graph.initializer}
        inputs = {value.name: value.type.tensor_type for value in graph.input if value.name not in stored}
        self.inputs = {
            name: [side.dim_value if side.HasField('dim_value') else side.dim_param or '?' for side in type.shape.dim]
            for name, type in inputs.items()
        }
        is_typed = all(type.elem_type for type in inputs.values())  # 0 for inputs that are no tensors as well
        if 'images' not in inputs or not is_typed or not all(self.inputs.values()):
            raise InputError(f"{path}: not a file of tools/export_onnx.py: no batches of 'images' among its inputs")
        if not {type.elem_type for type in inputs.values()} <= set(onnx.TensorProto.DataType.values()):
            raise InputError(f'{path}: an input is of a type that ONNX does not know')
        self.dtypes = {name: onnx.helper.tensor_dtype_to_np_dtype(type.elem_type) for name, type in inputs.items()}
        self.outputs = [value.name for value in graph.output]
        self.precision = 'f32'
        if backend == 'openvino':
            check_onnx(path)
        try:
            if backend == 'openvino':
                import openvino

                asked = PRECISIONS[precision] if precision else precision_of(model, path)
                options = {'INFERENCE_PRECISION_HINT': asked.hint, 'NUM_STREAMS': streams}
                if threads:
                    options['INFERENCE_NUM_THREADS'] = threads
                compiled = openvino_core().compile_model(str(path), 'CPU', options)
                self.precision = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
                queue = openvino.AsyncInferQueue(compiled, streams)
                self._run = lambda feeds: run_queue(queue, feeds)
            else:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = threads or 0
                options.log_severity_level = 3
                session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
                self._run = lambda feeds: [session.run(None, feed) for feed in feeds]
        except ImportError as error:
            raise InputError(f'{backend} is not installed: pip install {backend}') from error
        except Exception as error:
            raise InputError(f'{path}: {backend} cannot read it: {cause(error)}') from error

    @property
    def batch_size(self) -> int | None:
        """Number of images of the file's input; None if it is dynamic."""
        size = str(self.inputs['images'][0])
        return int(size) if size.isdigit() else None

    def __call__(self, **feed: np.ndarray) -> dict[str, np.ndarray]:
        """Run the model.

        Args:
            **feed: Arrays by the names of the inputs. An array of another dtype is converted to the input's dtype if
                this does not change its values.

        Returns:
            dict[str, np.ndarray]: Arrays by the names of the outputs.

        Raises:
            ValueError: If an input is missing or unknown or has a wrong shape or dtype, the number of images is not a
                multiple of :attr:`batch_size`, the runtime fails, or an output is not finite.
        """
        for name in feed:
            if name not in self.inputs:
                raise InputError(f"{self.path}: has no input '{name}', but {', '.join(self.inputs)}")
        feed = {name: self._fit(name, feed.get(name)) for name in self.inputs}
        count = len(feed['images'])
        step = self.batch_size or -(-count // self.streams)
        if not count or count % (self.batch_size or 1):
            raise InputError(f'{self.path}: takes {step or 1} images at once, not {count}: set the batch size to it')
        try:
            parts = self._run([{k: v[i : i + step] for k, v in feed.items()} for i in range(0, count, step)])
            outputs = {name: np.concatenate(arrays) for name, arrays in zip(self.outputs, zip(*parts))}
        except Exception as error:
            raise InputError(f'{self.path}: {self.backend} cannot run it: {cause(error)}') from error
        for name, array in outputs.items():
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise InputError(f"{self.path}: its output '{name}' is not finite in {self.backend}")
        return outputs

    def _fit(self, name: str, value: np.ndarray | None) -> np.ndarray:
        expected = [str(side) for side in self.inputs[name][1:]]
        if value is None or not _has_shape(value.shape[1:], expected):
            found = 'none' if value is None else 'x'.join(map(str, value.shape[1:]))
            raise InputError(f"{self.path}: its input '{name}' is of {'x'.join(expected)} each, got {found}")
        dtype = self.dtypes[name]
        if value.dtype == dtype:
            return value
        with np.errstate(all='ignore'):  # overflow is an error below
            converted = value.astype(dtype) if value.dtype.kind in 'biuf' else None
        if converted is None or not np.array_equal(converted, value, equal_nan=True):
            raise InputError(
                f"{self.path}: its input '{name}' is of {dtype}, which does not hold the given {value.dtype} exactly"
            )
        return converted


def _has_shape(shape: tuple[int, ...], expected: list[str]) -> bool:
    """Whether a shape is the expected one, whose dynamic sides are names instead of numbers."""
    return len(shape) == len(expected) and all(side == str(n) or not side.isdigit() for side, n in zip(expected, shape))


@cache
def openvino_core() -> 'openvino.Core':
    """Return OpenVINO's device manager, one for the whole process as OpenVINO recommends.

    It is never destroyed: each device manager installs an alternate signal stack for its thread and restores the
    previous one at the end, even if that one is already freed. The next signal, such as the end of a data loader's
    worker, would then cause a segmentation fault (seen with OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def run_queue(queue: 'openvino.AsyncInferQueue', feeds: list[dict[str, np.ndarray]]) -> list[list[np.ndarray]]:
    """Run all requests in parallel, and return their outputs in order."""
    results: list = [None] * len(feeds)

    def keep(request, i: int) -> None:
        results[i] = [value.copy() for value in request.results.values()]

    queue.set_callback(keep)
    for i, feed in enumerate(feeds):
        queue.start_async(feed, i)
    queue.wait_all()
    return results
