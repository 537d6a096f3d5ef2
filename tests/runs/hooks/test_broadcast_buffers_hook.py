"""All processes evaluate the batch statistics of the first one, as its checkpoint has them."""

import torch

from mmspartan.commands.launch import build_runner
from mmspartan.runs.hooks import broadcast_buffers_hook
from tests.runs.conftest import digits_config


def test_evaluation_is_of_the_first_process_buffers(tmp_path, monkeypatch):
    """As the second of two processes, whose buffers are others."""
    received = []
    monkeypatch.setattr(broadcast_buffers_hook, 'get_world_size', lambda: 2)
    monkeypatch.setattr(broadcast_buffers_hook, 'broadcast', lambda buffer: received.append(buffer.fill_(7)))
    runner = build_runner(digits_config(tmp_path, custom_hooks=[]))
    runner.model.init_weights()
    runner.call_hook('before_val_epoch')
    buffers = list(runner.model.buffers())
    assert len(received) == len(buffers) > 10
    assert all(torch.equal(buffer, torch.full_like(buffer, 7)) for buffer in buffers)
