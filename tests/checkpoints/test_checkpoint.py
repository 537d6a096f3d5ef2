"""Checkpoints are read without running anything in them, checked before use, and none is left half written."""

import io
import os
import subprocess
import tarfile
import zipfile
from collections import OrderedDict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, save_checkpoint
from torch import nn

from mmspartan.checkpoints import checkpoint
from mmspartan.checkpoints.checkpoint import WEIGHTS_ONLY, check_weights_fit, check_weights_sound, read_checkpoint
from mmspartan.checkpoints.plain_state import from_plain_history, to_plain
from mmspartan.checkpoints.stock_checkpoint import HAS_SAFE_GLOBALS, STAND_INS
from mmspartan.errors import InputError

SCALARS = dict(float=np.float64(2.5), int=np.int64(3), bool=np.bool_(True))
RECONSTRUCT, SCALAR = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
LONG = 1 << 20
ARRAYS = dict(row=np.arange(4, dtype=np.float32), table=np.asfortranarray(np.arange(6.0).reshape(2, 3)))


class Call:
    """Has a pickle call a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def stock_content() -> dict:
    """What a stock mmengine saves beside the weights."""
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    return dict(
        meta=dict(epoch=1), message_hub=dict(log_scalars=dict(loss=history), runtime_info={**SCALARS, **ARRAYS})
    )


@pytest.fixture(params=['torch', 'plain_pickle'])
def unpickler(request, monkeypatch):
    """torch's weights-only unpickler, and the one of this package for torch before 2.5."""
    if request.param == 'torch' and not HAS_SAFE_GLOBALS:
        pytest.skip('torch before 2.5 has no list of allowed classes')
    monkeypatch.setattr(checkpoint, 'HAS_SAFE_GLOBALS', request.param == 'torch')


@pytest.mark.usefixtures('unpickler')
def test_checkpoint_of_a_stock_mmengine_is_read_as_plain_containers(tmp_path):
    torch.save(stock_content(), tmp_path / 'stock.pth')
    hub = read_checkpoint(tmp_path / 'stock.pth')['message_hub']
    assert hub['log_scalars']['loss']['values'].tolist() == [1.0, 3.0]
    for name, value in SCALARS.items():
        assert hub['runtime_info'][name] == value.item() and type(hub['runtime_info'][name]) is type(value.item())
    for name, value in ARRAYS.items():
        assert torch.equal(hub['runtime_info'][name], torch.from_numpy(value.copy()))


def test_reading_uses_no_class_that_others_allowed_and_leaves_their_list_as_it_was(tmp_path):
    """As a fork of mmengine allows NumPy's classes while it loads a file, and takes them off the list then."""
    if not HAS_SAFE_GLOBALS:
        pytest.skip('torch before 2.5 has no list of allowed classes')
    torch.save(stock_content(), tmp_path / 'stock.pth')
    torch.save(Call(np.ndarray, (32,), 'u1', bytearray(LONG), -32), tmp_path / 'evil.pth')
    before = set(torch.serialization.get_safe_globals())
    # importing this package has not changed what torch reads
    assert before.isdisjoint(STAND_INS)
    for _ in range(2):
        with torch.serialization.safe_globals([np.ndarray, np.dtype, RECONSTRUCT, SCALAR, HistoryBuffer, getattr]):
            allowed = set(torch.serialization.get_safe_globals())
            assert read_checkpoint(tmp_path / 'stock.pth')['meta'] == dict(epoch=1)
            with pytest.raises(InputError, match=r'evil\.pth: (refused|damaged)'):
                read_checkpoint(tmp_path / 'evil.pth')
            assert set(torch.serialization.get_safe_globals()) == allowed
        assert set(torch.serialization.get_safe_globals()) == before


def test_programs_and_tar_files_are_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 1)).save(tmp_path / 'program.pth')
    with tarfile.open(tmp_path / 'tar.pth', 'w') as file:
        file.add(tmp_path / 'program.pth', 'storages')
    for name, kind in (('program.pth', 'a TorchScript program'), ('tar.pth', 'a tar file')):
        with pytest.raises(InputError, match=rf'{name}: refused\. It is {kind}'):
            read_checkpoint(tmp_path / name)


def test_mmengine_reads_a_stock_checkpoint_through_the_prefix_whatever_it_loads_in_between(tmp_path):
    torch.save(stock_content(), tmp_path / 'stock.pth')
    torch.save(dict(state_dict={}), tmp_path / 'plain.pth')
    for _ in range(2):
        assert 'message_hub' in read_checkpoint(tmp_path / 'stock.pth')
        CheckpointLoader.load_checkpoint(str(tmp_path / 'plain.pth'), map_location='cpu')
        content = CheckpointLoader.load_checkpoint(f'{WEIGHTS_ONLY}{tmp_path / "stock.pth"}', map_location='cpu')
        assert content['message_hub']['log_scalars']['loss']['values'].tolist() == [1.0, 3.0]


def test_plain_state_is_read_by_torch_alone_and_gives_the_log_back(tmp_path):
    torch.save(to_plain({**stock_content(), 'other': {'path': tmp_path, 'numbers': {1, 2}}}), tmp_path / 'plain.pth')
    # torch 2.1 itself reads no sets
    read = partial(torch.load, weights_only=True) if HAS_SAFE_GLOBALS else read_checkpoint
    content = read(tmp_path / 'plain.pth')
    history = from_plain_history(content['message_hub']['log_scalars']['loss'])
    assert history.mean() == 2.0 and history.statistics('max') == 3.0
    assert content['other'] == {'path': str(tmp_path), 'numbers': {1, 2}}
    with pytest.raises(ValueError, match='history is not one of numbers'):
        from_plain_history(dict(values=torch.zeros(2), counts=torch.zeros(3), max_length=5))


class State:
    """Has a pickle set the state of what a call makes."""

    def __init__(self, function, arguments, state):
        self.reduced = function, arguments, state

    def __reduce__(self):
        return self.reduced


@pytest.mark.usefixtures('unpickler')
@pytest.mark.parametrize(
    'attack',
    [
        Call(os.system, 'touch {marker}'),
        Call(getattr, subprocess.Popen, 'communicate'),
        Call(getattr, np.ndarray, 'tofile'),
        Call(np.ndarray, (32,), 'u1', bytearray(LONG), -32),
        Call(torch._utils._rebuild_device_tensor_from_numpy, Call(np.ndarray, (9,), 'u1'), torch.uint8, 'cpu', False),
        Call(SCALAR, np.dtype('O'), b'12345678'),
        Call(SCALAR, np.dtype('f8'), b'1'),
        Call(RECONSTRUCT, HistoryBuffer, (0,), b'b'),
        State(RECONSTRUCT, (np.ndarray, (0,), b'b'), (1, (LONG,), np.dtype('f8'), False, b'12345678')),
        State(RECONSTRUCT, (np.ndarray, (0,), b'b'), (1, (-1, -1), np.dtype('f8'), False, b'12345678')),
        State(RECONSTRUCT, (np.ndarray, (0,), b'b'), (1, (1,), np.dtype('O'), False, [os.system])),
        State(RECONSTRUCT, (np.ndarray, (0,), b'b'), dict(__array_interface__=dict(data=(0, False), shape=(9,)))),
        State(HistoryBuffer, (), dict(_log_history=[1.0], _count_history=[1])),
    ],
)
def test_pickle_that_calls_anything_is_refused_in_one_line_that_names_the_file(attack, tmp_path):
    marker = tmp_path / 'ran'
    if getattr(attack, 'function', None) is os.system:
        attack = Call(os.system, f'touch {marker}')
    torch.save(dict(state_dict={}, payload=attack), tmp_path / 'evil.pth')
    reasons = r'refused\. Reading it would use|refused: it holds|damaged'
    with pytest.raises(InputError, match=rf'evil\.pth: ({reasons})') as error:
        read_checkpoint(tmp_path / 'evil.pth')
    assert '\n' not in str(error.value) and not marker.exists()


@pytest.mark.usefixtures('unpickler')
def test_refusal_says_what_the_file_holds(tmp_path):
    torch.save(dict(array=np.array([None])), tmp_path / 'objects.pth')
    with pytest.raises(InputError, match=r"objects\.pth: refused: it holds numpy\.dtype\('O8'\), which is not one of"):
        read_checkpoint(tmp_path / 'objects.pth')


def test_container_that_refers_to_one_many_times_or_to_itself_ends_soon(tmp_path):
    bomb: list = [np.arange(2)]
    for _ in range(60):
        bomb = [bomb, bomb]
    torch.save(dict(bomb=bomb), tmp_path / 'bomb.pth')
    with pytest.raises(InputError, match=r'bomb\.pth: refused'):  # what goes over its entries would never end
        read_checkpoint(tmp_path / 'bomb.pth')
    twice: list = [np.arange(2)]
    torch.save(dict(twice=[twice, twice]), tmp_path / 'twice.pth')
    content = read_checkpoint(tmp_path / 'twice.pth')['twice']
    assert content[0] is content[1]
    loop: list = [np.arange(2)]
    loop.append(loop)
    torch.save(dict(loop=loop), tmp_path / 'loop.pth')
    with pytest.raises(InputError, match=r'loop\.pth: refused'):
        read_checkpoint(tmp_path / 'loop.pth')


def test_address_is_read_weights_only(tmp_path):
    marker = tmp_path / 'ran'
    torch.save(dict(state_dict={}, payload=Call(os.system, f'touch {marker}')), tmp_path / 'evil.pth')
    torch.save(dict(state_dict=dict(weight=torch.ones(2))), tmp_path / 'good.pth')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        before = torch.hub.get_dir()
        torch.hub.set_dir(str(tmp_path / 'hub'))
        try:
            assert read_checkpoint(f'{address}/good.pth')['state_dict']['weight'].tolist() == [1.0, 1.0]
            with pytest.raises(InputError, match=r'evil\.pth: refused'):
                read_checkpoint(f'{address}/evil.pth')
        finally:
            torch.hub.set_dir(before)
            server.shutdown()
    assert not marker.exists()


def test_container_with_methods_of_its_own_is_refused(tmp_path):
    weights = OrderedDict(weight=torch.ones(2))
    weights.items = OrderedDict
    torch.save(dict(state_dict=weights), tmp_path / 'odd.pth')
    with pytest.raises(InputError, match=r'odd\.pth: refused'):
        read_checkpoint(tmp_path / 'odd.pth')


def test_attributes_of_a_tensor_hide_nothing(tmp_path):
    hidden = dict(isfinite=nn.Parameter, is_floating_point=nn.Parameter)
    values = (torch.tensor([1.0, np.nan]), False, OrderedDict(), hidden)
    weight = Call(torch._utils._rebuild_parameter_with_state, *values)
    torch.save(dict(state_dict=dict(weight=weight)), tmp_path / 'nan.pth')
    (weight,) = read_checkpoint(tmp_path / 'nan.pth')['state_dict'].values()
    assert not weight.__dict__ and torch.equal(weight.isfinite(), torch.tensor([True, False]))
    with pytest.raises(InputError, match=r'nan\.pth: weight .*not finite'):
        check_weights_sound(dict(weight=weight), tmp_path / 'nan.pth')


NAMES = [
    b'numpy ndarray',
    b'numpy dtype',
    b'numpy._core.multiarray _reconstruct',
    b'numpy._core.multiarray scalar',
    b'builtins getattr',
    b'mmengine.logging.history_buffer HistoryBuffer',
    b'torch._utils _rebuild_tensor_v2',
    b'torch FloatStorage',
    b'collections OrderedDict',
    b'os system',
]
OPCODES = st.one_of(
    st.sampled_from(
        [b'R', b'\x81', b'b', b'(', b't', b'\x85', b'\x86', b'\x87', b'N', b'\x88', b')', b']', b'}', b'e']
    ),
    st.sampled_from([b'a', b's', b'u', b'Q', b'q\x00', b'h\x00', b'q\x01', b'h\x01', b'\x89']),
    st.sampled_from(NAMES).map(lambda name: b'c' + name.replace(b' ', b'\n') + b'\n'),
    st.integers(0, 255).map(lambda n: b'K' + bytes([n])),
    st.sampled_from([b'storage', b'0', b'cpu', b'f8', b'__init__', b'_log_history']).map(
        lambda text: b'X' + len(text).to_bytes(4, 'little') + text
    ),
)


def zipped(program: bytes) -> bytes:
    """A file of ``torch.save`` whose pickle is this program, with one storage."""
    file = io.BytesIO()
    torch.save(dict(weight=torch.arange(4.0)), file)
    result = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(result, 'w') as target:
        for entry in source.infolist():
            target.writestr(entry.filename, program if entry.filename.endswith('data.pkl') else source.read(entry))
    return result.getvalue()


def read_or_refuse(path) -> None:
    """Nothing of numpy, mmengine or this package comes out, or one line that names the file."""

    def leaves(value):
        if isinstance(value, dict | list | tuple | set):
            for item in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
                yield from leaves(item)
        else:
            yield value if isinstance(value, type) or callable(value) else type(value)

    try:
        content = read_checkpoint(path)
    except InputError as error:
        assert str(path) in str(error) and '\n' not in str(error)
    else:
        modules = {getattr(kind, '__module__', '').split('.')[0] for kind in leaves(content)}
        assert not modules & {'numpy', 'mmengine', 'mmspartan'}, content


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(OPCODES, max_size=25))
def test_programs_of_pickle_opcodes_are_read_or_refused(tmp_path_factory, program):
    path = tmp_path_factory.getbasetemp() / 'program.pth'
    path.write_bytes(zipped(b'\x80\x02}q\x00X\x01\x00\x00\x00x' + b''.join(program) + b's.'))
    read_or_refuse(path)


def test_one_wrong_bit_of_a_weight_is_found(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(weight=torch.arange(1000.0))), path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(1000.0).numpy().tobytes()) + 400] ^= 1
    path.write_bytes(content)
    torch.load(path)  # which does not look
    with pytest.raises(InputError, match=r'a\.pth: damaged'):
        read_checkpoint(path)


def test_weight_that_is_marked_as_a_folder_is_found(tmp_path):
    """torch returns memory that nothing was written to in its place."""
    torch.save(dict(a=torch.ones(5)), tmp_path / 'sound.pth')
    for name, attributes in dict(same=0, damaged=0x10).items():
        with zipfile.ZipFile(tmp_path / 'sound.pth') as sound, zipfile.ZipFile(tmp_path / name, 'w') as copy:
            for entry in sound.infolist():
                content = sound.read(entry)
                entry.external_attr = attributes * entry.filename.endswith('data/0')
                copy.writestr(entry, content)
    assert torch.equal(read_checkpoint(tmp_path / 'same')['a'], torch.ones(5))
    with pytest.raises(InputError, match='damaged: damaged'):
        read_checkpoint(tmp_path / 'damaged')


@pytest.mark.parametrize(
    ('weight', 'message'),
    [
        (torch.zeros(2, 3, dtype=torch.int8), 'is of torch.int8; weights are of a floating-point type'),
        (torch.zeros(2, 3, dtype=torch.bool), 'is of torch.bool'),
        (torch.zeros(2, 3, dtype=torch.complex64), 'is of torch.complex64'),
        (torch.full((2, 3), torch.nan), 'holds values that are not finite'),
        (torch.zeros(2, 3, device='meta'), 'is a .* on meta; it should be a dense one'),
        (torch.eye(3)[:2].to_sparse(), 'is a torch.sparse_coo tensor'),
        (torch.zeros(3, 2), r'is of shape \(3, 2\) instead of \(2, 3\)'),
        ('text', r'is of shape \(\) instead'),
        (None, 'is missing'),
    ],
    ids=str,
)
def test_weights_that_are_none_are_named(weight, message):
    weights = nn.Linear(3, 2).state_dict()
    weights['weight'] = weight
    weights = {key: value for key, value in weights.items() if value is not None}
    with pytest.raises(InputError, match=rf'x\.pth does not fit the model: 1 of its 2 .*: weight {message}'):
        check_weights_fit(nn.Linear(3, 2), dict(state_dict=weights), 'x.pth')


def test_weights_of_lower_precision_fit_and_counters_have_to_be_counters():
    check_weights_fit(nn.Linear(3, 2), nn.Linear(3, 2).half().state_dict(), 'x.pth')
    weights = nn.BatchNorm2d(2).state_dict()
    weights['num_batches_tracked'] = torch.tensor(1.0)
    with pytest.raises(InputError, match=r'num_batches_tracked is of torch\.float32'):
        check_weights_fit(nn.BatchNorm2d(2), weights, 'x.pth')
    with pytest.raises(InputError, match=r'x\.pth: a holds values that are not finite'):
        check_weights_sound(dict(a=torch.tensor([torch.inf]), n=torch.tensor(1)), 'x.pth')
    check_weights_sound(dict(n=torch.tensor(1)), 'x.pth')
    with pytest.raises(InputError, match=r'x.pth: a is of torch.int8; weights are of a floating-point type'):
        check_weights_sound(dict(a=torch.zeros(2, dtype=torch.int8)), 'x.pth', names={'a'})  # of parameters
    with pytest.raises(InputError, match=r'x\.pth: a is no tensor but list'):
        check_weights_sound(dict(a=[0.0], b=[0.0]), 'x.pth', names={'a'})


def test_weights_of_other_classes_are_replaced_and_those_that_a_module_adapts_are_not():
    """As mmpretrain's ViT adapts its position embedding to another size of images."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ModuleDict(dict(embedding=nn.Linear(2, 2))), nn.Linear(3, 2))
    model[1]._register_load_state_dict_pre_hook(lambda *args: None)
    given = {key: torch.ones(5, *value.shape[1:]) for key, value in model.state_dict().items() if key[0] != '2'}
    given |= {'2.bias': torch.ones(2), 'more': torch.ones(1)}
    found, texts = checkpoint.without_other_shapes(nn.DataParallel(model), given)
    assert found.keys() == given.keys() and texts[0].startswith('0.') and len(texts) == 2
    for key, value in found.items():
        assert torch.equal(value, model.state_dict()[key] if key[0] == '0' else given[key])


def test_interrupted_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    path, backend = str(tmp_path / 'epoch_1.pth'), dict(backend='atomic_local')
    save_checkpoint(dict(epoch=1), path, backend_args=backend)

    def killed_half_way(self, obj, filepath):
        with open(filepath, 'wb') as file:
            file.write(obj[: len(obj) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalBackend, 'put', killed_half_way)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(dict(epoch=2), path, backend_args=backend)
    assert torch.load(path) == dict(epoch=1)


def test_full_disk_is_an_error_with_the_path(tmp_path, monkeypatch):
    def full(self, obj, filepath):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(LocalBackend, 'put', full)
    with pytest.raises(OSError, match=r'No space left on device.*a\.pth'):
        save_checkpoint({}, str(tmp_path / 'a.pth'), backend_args=dict(backend='atomic_local'))


def test_atomic_backend_reads_and_lists_like_the_local_one(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend='atomic_local'))
    backend.put(b'weights', str(tmp_path / 'new' / 'a.pth'))
    assert backend.get(str(tmp_path / 'new' / 'a.pth')) == b'weights'
    assert list(backend.list_dir_or_file(str(tmp_path / 'new'))) == ['a.pth']
