"""ONNX files: bytes, weights, classes, inputs, outputs and nodes."""

import os
import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..case import Bench, Case, replace

READERS = {'deploy': 'detector.onnx', 'deploy openvino': 'detector.onnx', 'deploy classifier': 'classifier.onnx'}


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
        'empty': b'',
        'a text': b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n',
        'a page': b'<!DOCTYPE html><html><body>404</body></html>',
        'garbage': rng.randbytes(5000),
        'zeros': bytes(5000),
        'half of it': file.bytes[: len(file.bytes) // 2],
        'the rest of it': file.bytes[rng.randrange(2, 5000) :],
        'a checkpoint': (file.bench.sound / 'classifier.pth').read_bytes(),
        'an empty model': onnx.ModelProto().SerializeToString(),
        'an empty graph': helper.make_model(helper.make_graph([], 'g', [], [])).SerializeToString(),
    }
    what = rng.choice(list(content))
    return file.case(f'is {what}', 'refused', content[what])


def bytes_changed(rng: random.Random, file: File) -> Case:
    """Bytes outside of the weights' values, which have no checksum: what is still a model is evaluated as such."""
    content, how = bytearray(file.bytes), rng.choice(['flipped', 'flipped', 'truncated', 'removed', 'inserted'])
    place = _place(rng, file)
    if how == 'flipped':
        content[place] ^= rng.randrange(1, 256)
    elif how == 'truncated':
        del content[place:]
    elif how == 'removed':
        del content[place : place + rng.choice([1, 4, 100])]
    else:
        content[place:place] = rng.randbytes(rng.choice([1, 4, 100]))
    return _as_it_reads(file, f'bytes {how} at {place}', bytes(content))


def _place(rng: random.Random, file: File) -> int:
    """Of a byte that is not in the values of a large weight."""
    values = [(file.bytes.find(t.raw_data), len(t.raw_data)) for t in file.graph.initializer if len(t.raw_data) > 64]
    while True:
        place = rng.randrange(len(file.bytes))
        if not any(start <= place < start + size for start, size in values):
            return place


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


def wrong_classes(rng: random.Random, file: File) -> Case:
    prop = next(prop for prop in file.model.metadata_props if prop.key == 'classes')
    classes, how = prop.value.splitlines(), rng.choice(['shuffled', 'one more', 'one less', 'reversed', 'swapped'])
    if how == 'shuffled':
        while classes == prop.value.splitlines():
            rng.shuffle(classes)
    elif how == 'swapped':
        i, j = rng.sample(range(10), 2)
        classes[i], classes[j] = classes[j], classes[i]
    else:
        classes = {'one more': [*classes, '10'], 'one less': classes[:-1], 'reversed': classes[::-1]}[how]
    prop.value = '\n'.join(classes)
    return file.case(f'classes: {how}', 'refused')


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
    other = 'classifier.onnx' if file.name == 'detector.onnx' else 'detector.onnx'
    return file.case(f'is {other}', 'refused', (file.bench.sound / other).read_bytes())


def weight_of_other_kind(rng: random.Random, file: File) -> Case:
    weight, how = (
        file.weight(rng),
        rng.choice(['missing', 'renamed', 'shape', 'type', 'data', 'negative', 'huge', 'twice']),
    )
    if how == 'missing':
        file.graph.initializer.remove(weight)
    elif how == 'renamed':
        weight.name += 'x'
    elif how == 'shape':
        weight.dims[0] += 1
    elif how == 'type':
        weight.data_type = rng.choice([TensorProto.INT32, TensorProto.STRING, TensorProto.FLOAT16, 99, 0])
    elif how == 'data':
        weight.raw_data = weight.raw_data[: rng.choice([0, 4, len(weight.raw_data) - 4])]
    elif how == 'twice':
        file.graph.initializer.append(weight)
    else:
        weight.dims[0] = -1 if how == 'negative' else 2**40
    return file.case(f'{weight.name}: {how}', 'either' if how == 'twice' else 'refused')


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


def inputs(rng: random.Random, file: File) -> Case:
    """Of another name, type or shape than the tools write."""
    value, how = (
        rng.choice(list(file.graph.input)),
        rng.choice(['name', 'type', 'rank', 'sides', 'missing', 'more', 'no']),
    )
    dims = value.type.tensor_type.shape.dim
    expected = 'refused'
    if how == 'name':
        for node in file.graph.node:
            node.input[:] = ['x' if name == value.name else name for name in node.input]
        value.name = 'x'
    elif how == 'type':
        value.type.tensor_type.elem_type = rng.choice([TensorProto.INT64, TensorProto.UINT8, TensorProto.STRING, 0, 99])
    elif how == 'rank':
        dims.add().dim_value = 3
    elif how == 'sides':
        dims[1].dim_value = rng.choice([1, 5, 2**40, -1])
        expected = 'refused' if dims[1].dim_value != -1 else 'either'
    elif how == 'missing':
        file.graph.input.remove(value)
    elif how == 'more':
        file.graph.input.append(helper.make_tensor_value_info('more', TensorProto.FLOAT, [1]))
    else:
        value.type.Clear()
    return file.case(f'input {value.name}: {how}', expected)


def outputs(rng: random.Random, file: File) -> Case:
    value = rng.choice(list(file.graph.output))
    how = rng.choice(['name', 'missing', 'of no node', 'type', 'twice', 'rank'])
    expected = 'refused'
    if how == 'name':
        for node in file.graph.node:
            node.output[:] = ['x' if name == value.name else name for name in node.output]
            node.input[:] = ['x' if name == value.name else name for name in node.input]
        value.name = 'x'
    elif how == 'missing':
        file.graph.output.remove(value)
    elif how == 'of no node':
        value.name = 'x'
    elif how == 'type':
        value.type.tensor_type.elem_type = TensorProto.STRING
    elif how == 'twice':
        file.graph.output.append(value)
        expected = 'either'
    else:  # runtimes may go by what they compute
        expected = 'either'
        value.type.tensor_type.shape.dim.add().dim_value = 7
    return file.case(f'output {value.name}: {how}', expected)


def nodes(rng: random.Random, file: File) -> Case:
    """A graph that is none, or of operators that nobody knows."""
    i = rng.randrange(len(file.graph.node))
    node = file.graph.node[i]
    how = rng.choice(['missing', 'operator', 'domain', 'no input', 'cycle', 'order', 'twice', 'input of nobody'])
    if how == 'missing':
        del file.graph.node[i]
    elif how == 'operator':
        node.op_type = rng.choice(['Nope', '', 'conv', 'ATen'])
    elif how == 'domain':
        node.domain = 'com.nobody'
    elif how == 'no input':
        del node.input[:]
    elif how == 'cycle':
        node.input.append(node.output[0])
    elif how == 'twice':
        file.graph.node.append(node)
    elif how == 'order':
        nodes = list(file.graph.node)[::-1]
        del file.graph.node[:]
        file.graph.node.extend(nodes)
    else:
        node.input.append('nobody')
    return file.case(f'node {i} ({node.op_type}): {how}', 'refused' if how not in ('no input', 'order') else 'either')


def attributes(rng: random.Random, file: File) -> Case:
    """Values of attributes: what is still a model is evaluated as such."""
    node = rng.choice([node for node in file.graph.node if node.attribute])
    attribute = rng.choice(list(node.attribute))
    what = f'{node.op_type}.{attribute.name}'
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice([-1, -(2**62), 2**62, 99, 1000])
    elif attribute.type == onnx.AttributeProto.INTS and attribute.ints:
        attribute.ints[0] = rng.choice([-1, 2**40, -(2**62), 99])
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = float('nan')
    else:
        node.attribute.remove(attribute)
    return _as_it_reads(file, f'attribute {what}', file.model.SerializeToString())


def versions(rng: random.Random, file: File) -> Case:
    how = rng.choice(['opset', 'ir', 'no opset', 'domain'])  # the last may be one that no node is of
    if how == 'opset':
        file.model.opset_import[0].version = rng.choice([0, -1, 1, 99, 2**40])
    elif how == 'ir':
        file.model.ir_version = rng.choice([0, -1, 99, 2**40])
    elif how == 'no opset':
        del file.model.opset_import[:]
    else:
        file.model.opset_import[0].domain = 'x'
    return file.case(f'versions: {how}', 'either' if how == 'domain' else 'refused')


def no_file(rng: random.Random, file: File) -> Case:
    case = file.case('', 'refused')
    how = rng.choice(['a folder', 'a pipe', 'missing', 'a link to itself', 'endless'])
    file.path.unlink()
    if how == 'a folder':
        file.path.mkdir()
    elif how == 'a pipe':
        os.mkfifo(file.path)
    elif how != 'missing':
        file.path.symlink_to({'a link to itself': file.path, 'endless': '/dev/zero'}[how])
    case.mutation += f'is {how}'
    return case


MUTATIONS = [
    *(
        broken_bytes,
        bytes_changed,
        bytes_changed,
        not_finite,
        wrong_classes,
        harmless,
        other_task,
        weight_of_other_kind,
    ),
    *(data_elsewhere, inputs, outputs, nodes, attributes, versions, no_file),
]
