"""All processes evaluate the batch statistics of the first one, as its checkpoint has them."""

SCRIPT = """
from pathlib import Path
import torch
import torch.distributed as dist
from mmspartan.commands.launch import build_runner
from tests.runs.conftest import digits_config

dist.init_process_group('gloo')
runner = build_runner(digits_config(Path('run'), custom_hooks=[]))
buffers = [buffer for buffer in runner.model.buffers() if buffer.is_floating_point()]
assert len(buffers) > 10
for buffer in buffers:
    buffer.fill_(dist.get_rank() + 1)
runner.call_hook('before_val_epoch')
assert all(torch.equal(buffer, torch.ones_like(buffer)) for buffer in buffers)
dist.destroy_process_group()
"""


def test_evaluation_is_of_the_first_process_buffers(two_processes):
    two_processes(SCRIPT)
