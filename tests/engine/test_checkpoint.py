"""Checkpoints of mmengine load with weights-only unpickling on, others are refused, and none is left half written."""

import os
import pickle
import subprocess

import numpy as np
import pytest
import torch
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import save_checkpoint


def test_what_a_runner_logs_survives_saving_and_loading(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    scalars = dict(float=np.float64(2.5), int=np.int64(3), bool=np.bool_(True), array=np.arange(4, dtype=np.float32))
    torch.save(dict(message_hub=dict(loss=history, **scalars)), path)

    loaded = torch.load(path, weights_only=True)['message_hub']
    assert loaded['loss'].mean() == 2.0 and loaded['loss'].statistics('max') == 3.0
    assert {key: value.tolist() for key, value in scalars.items()} == {key: loaded[key].tolist() for key in scalars}


class RunsCommand:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class ReadsAttribute:
    """Asks ``getattr`` for what it is not for: the way from an allowed class to any code."""

    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return getattr, self.args


@pytest.mark.parametrize(
    'attack',
    [
        RunsCommand('touch {marker}'),
        ReadsAttribute(subprocess.Popen, 'communicate'),
        ReadsAttribute(HistoryBuffer, '__init__'),
        ReadsAttribute(HistoryBuffer, '_set_default_statistics'),
        ReadsAttribute(np.ndarray, 'tofile'),
    ],
    ids=['call', 'other module', 'dunder', 'private', 'other class'],
)
def test_pickle_that_calls_code_is_refused_and_not_run(attack, tmp_path):
    marker = tmp_path / 'ran'
    if isinstance(attack, RunsCommand):
        attack = RunsCommand(attack.command.format(marker=marker))
    torch.save(dict(state_dict={}, payload=attack), tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'evil.pth')
    assert not marker.exists()
    if isinstance(attack, RunsCommand):  # it would have: the test can fail
        torch.load(tmp_path / 'evil.pth', weights_only=False)
        assert marker.exists()


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


def test_atomic_backend_reads_and_lists_like_the_local_one(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend='atomic_local'))
    backend.put(b'weights', str(tmp_path / 'new' / 'a.pth'))
    assert backend.get(str(tmp_path / 'new' / 'a.pth')) == b'weights'
    assert list(backend.list_dir_or_file(str(tmp_path / 'new'))) == ['a.pth']
