"""ONNX files: bytes, entries, weights and notes."""

import os
import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.deploy.test_files import changed

from ..case import Bench, Case, replace
from .files import NO_FILES, edited, junk, make_no_file

READERS = {
    'deploy': 'detector.onnx',
    'deploy openvino': 'detector.onnx',
    'deploy dfine': 'dfine.onnx',
    'deploy classifier': 'classifier.onnx',
}


class File:
    """An ONNX file of a bench, read by one of the commands."""

    def __init__(self, bench: Bench, command: str):
        self.bench, self.command, self.name = bench, command, READERS[command]
        self.path = bench.mutated / self.name
        self.bytes = self.path.read_bytes()
        self.model = onnx.load_from_string(self.bytes)
        self.graph = self.model.graph

    def case(self, what: str, expected: str, content: bytes | None = None) -> Case:
        """The case, with the model or these bytes written to the file."""
        replace(self.path, self.model.SerializeToString() if content is None else content)
        return Case(f'{self.name}: {what}', self.command, expected, [self.name], [self.name])

    def weight(self, rng: random.Random) -> TensorProto:
        """A weight with at least two dimensions; constants that shape the graph have fewer."""
        usable = [t for t in self.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) >= 2]
        return rng.choice(usable)


def mutate(rng: random.Random, bench: Bench) -> Case:
    """An ONNX file that is evaluated by one of the runtimes."""
    return rng.choice(MUTATIONS)(rng, File(bench, rng.choice(list(READERS))))


def broken_bytes(rng: random.Random, file: File) -> Case:
    content = {
        **junk(rng, file.bytes),
        'a checkpoint': (file.bench.sound / 'classifier.pth').read_bytes(),
        'an empty model': onnx.ModelProto().SerializeToString(),
        'an empty graph': helper.make_model(helper.make_graph([], 'g', [], [])).SerializeToString(),
    }
    what = rng.choice(list(content))
    return file.case(f'is {what}', 'refused', content[what])


def bytes_changed(rng: random.Random, file: File) -> Case:
    """Bytes outside of the weights' values, which have no checksum: what is still a model is evaluated as such."""
    values = [(file.bytes.find(t.raw_data), len(t.raw_data)) for t in file.graph.initializer if len(t.raw_data) > 64]
    while True:
        place = rng.randrange(len(file.bytes))
        if not any(start <= place < start + size for start, size in values):
            return _as_it_reads(file, *edited(rng, file.bytes, place))


def entries_changed(rng: random.Random, file: File) -> Case:
    """Attributes, operators, inputs, shapes, types and versions."""
    kinds = ('attribute', 'operator', 'source', 'weight', 'side', 'dtype', 'version', 'node')
    change = (rng.choice(kinds), rng.randrange(1000), rng.randrange(1000))
    return _as_it_reads(file, f'entries {change}', changed(file.bytes, [change]))


def _as_it_reads(file: File, what: str, content: bytes) -> Case:
    """The reference is the same model as ONNX itself writes it; if it cannot read it, it has to be refused."""
    try:
        model = onnx.load_from_string(content)
        written = model.SerializeToString()
    except Exception:
        return file.case(what, 'refused', content)
    replace(file.bench.reference / file.name, written)
    return file.case(f'{what}, still readable', 'either', content)


def not_finite(rng: random.Random, file: File) -> Case:
    weight = file.weight(rng)
    value = rng.choice([np.nan, np.inf, -np.inf])
    array = numpy_helper.to_array(weight).copy()
    array.flat[rng.randrange(array.size)] = value
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    return file.case(f'{weight.name}: {value} in it', 'refused')


def harmless(rng: random.Random, file: File) -> Case:
    """Notes, and classes of which nothing is said."""
    how = rng.choice(['no notes', 'no classes', 'more notes', 'producer', 'doc', 'names of nodes'])
    if how == 'no notes':
        del file.model.metadata_props[:]
    elif how == 'no classes':
        for prop in file.model.metadata_props:
            prop.value = '' if prop.key == 'classes' else prop.value
    elif how == 'more notes':
        helper.set_model_props(file.model, {**{p.key: p.value for p in file.model.metadata_props}, 'x': 'y' * 1000})
    elif how == 'producer':
        file.model.producer_name, file.model.producer_version, file.model.domain = 'x', '-1', 'y'
    elif how == 'doc':
        file.graph.doc_string = file.model.doc_string = 'x' * 100_000
    else:
        for i, node in enumerate(file.graph.node):
            node.name = f'n{i}'
    return file.case(f'harmless: {how}', 'same')


def other_task(rng: random.Random, file: File) -> Case:
    other = 'detector.onnx' if file.name == 'classifier.onnx' else 'classifier.onnx'
    return file.case(f'is {other}', 'refused', (file.bench.sound / other).read_bytes())


def data_elsewhere(rng: random.Random, file: File) -> Case:
    """Weights in another file that is not there, not below the folder, too short, or no file."""
    weight = file.weight(rng)
    place = rng.choice(['none.bin', '../sound/detector.pth', '/etc/passwd', 'short.bin', 'folder', '', 'pipe'])
    (file.bench.mutated / 'short.bin').write_bytes(b'123')
    (file.bench.mutated / 'folder').mkdir()
    os.mkfifo(file.bench.mutated / 'pipe')
    weight.ClearField('raw_data')
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = 'location', place
    if rng.random() < 0.3:
        entry = weight.external_data.add()
        entry.key, entry.value = rng.choice(['offset', 'length']), rng.choice(['-1', 'x', '99999999999999999999'])
    case = file.case(f'{weight.name} is in {place!r}', 'refused')
    case.names += [place] if place else []
    return case


def no_file(rng: random.Random, file: File) -> Case:
    case, how = file.case('', 'refused'), rng.choice(NO_FILES)
    make_no_file(file.path, how)
    case.mutation += f'is {how}'
    return case


MUTATIONS = [
    *(broken_bytes, bytes_changed, bytes_changed, entries_changed, entries_changed, entries_changed),
    *(not_finite, harmless, other_task, data_elsewhere, no_file),
]
