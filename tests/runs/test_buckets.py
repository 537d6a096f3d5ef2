"""What docs/many-gpus.md says of the buckets, bytes and messages of a step, on the real configs."""

import json
import re
import subprocess
import sys
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmspartan import config_path
from tests.conftest import ROOT

PAGE = (ROOT / 'docs' / 'many-gpus.md').read_text()
# By the names in the table: the config, and the model's name in the sentence about buckets.
MODEL = {
    'SpaRTAN-T': ('spartan_t_in1k', 'SpaRTAN-T'),
    '`rtdetr_spartan_t_coco`': ('rtdetr_spartan_t_coco', 'the detector'),
}
FIRST, OTHERS = 1 << 20, 25 << 20  # bytes of DistributedDataParallel's buckets
NUMBERS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')


@cache
def build(config: str) -> nn.Module:
    cfg = Config.fromfile(config_path(config))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def trained(config: str) -> list[nn.Parameter]:
    return [parameter for parameter in build(config).parameters() if parameter.requires_grad]


def buckets(parameters: list[nn.Parameter]) -> int:
    """Buckets from the second step on, when DistributedDataParallel knows the order in which gradients come."""
    return len(torch.distributed._compute_bucket_assignment_by_size(parameters[::-1], [FIRST, OTHERS])[0])


def rows() -> dict[str, list[str]]:
    """The table's cells below the numbers of GPUs, by the model; the heading's under ``model``."""
    lines = [line.strip('| ').split(' | ') for line in PAGE.splitlines() if line.startswith('| ')]
    return {name: cells for name, *cells in lines if name in ('model', *MODEL)}


@pytest.mark.parametrize('name', MODEL)
def test_table_of_bytes_and_messages(name):
    parameters = trained(MODEL[name][0])
    size = sum(parameter.numel() for parameter in parameters)
    count, *cells, time = rows()[name]
    assert count == f'{size / 1e6:.1f} M'
    milliseconds = []
    for heading, cell in zip(rows()['model'][1:-1], cells, strict=True):
        gpus = int(re.fullmatch(r'(\d+) GPUs', heading)[1])
        moved = 2 * (gpus - 1) / gpus * 4 * size
        milliseconds.append(round(moved / 10e9 * 1e3))
        megabytes, messages = re.fullmatch(r'(\d+) MB, ([\d,]+)(?: messages)?', cell).groups()
        assert int(megabytes) == round(moved / 1e6)
        assert int(messages.replace(',', '')) == 2 * (gpus - 1) * buckets(parameters)
    assert [int(number) for number in re.findall(r'\d+', time)] == sorted({milliseconds[0], milliseconds[-1]})


def test_number_of_buckets():
    (sentence,) = re.findall(r'buckets of 25 MB, the first of 1 MB: ([^.]*?)\.', ' '.join(PAGE.split()))
    said = {model: number for number, model in re.findall(r'(\w+) for (the detector|SpaRTAN-T)', sentence)}
    assert said == {model: NUMBERS[buckets(trained(config))] for config, model in MODEL.values()}


# Alone on the loopback interface of a network of its own, so that its counters count this training.
TRAFFIC = """
import fcntl, json, socket, struct, sys
import torch
import torch.distributed as dist
from contextlib import suppress
from pathlib import Path
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from mmspartan.benchmark.models import ground_truth
from tests.runs.test_buckets import build

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def sent_bytes():
    (line,) = [line for line in Path('/proc/net/dev').read_text().splitlines() if line.strip().startswith('lo:')]
    return int(line.split(':')[1].split()[8])


def train(rank, config, processes):
    dist.init_process_group('gloo', init_method=f'file://{Path("group").resolve()}', rank=rank, world_size=processes)
    buckets = []

    def count(state, bucket):
        buckets.append(bucket.buffer().nbytes)
        return allreduce_hook(None, bucket)

    inner = build(config).train()
    model = DistributedDataParallel(inner, broadcast_buffers=False)  # as mmengine's Runner
    model.register_comm_hook(None, count)
    images = torch.rand(2, 3, 128, 128)
    samples = ground_truth(inner, images)
    for step in range(3):  # the buckets are final from the second one on
        dist.barrier()
        buckets.clear()
        before = sent_bytes()
        inner.parse_losses(model(images, samples, mode='loss'))[0].backward()
        dist.barrier()
        after = sent_bytes()
    if rank == 0:
        print(json.dumps([after - before, buckets]))
    dist.destroy_process_group()


with socket.socket() as one, suppress(PermissionError):  # of the machine's own network, where it is up
    fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack('16sh', b'lo', IFF_UP))
torch.set_num_threads(1)
build(sys.argv[1])
torch.multiprocessing.start_processes(train, (sys.argv[1], int(sys.argv[2])), int(sys.argv[2]), start_method='fork')
"""
NETWORK = ['unshare', '--user', '--map-root-user', '--net']


@pytest.mark.parametrize(
    ('config', 'processes'), [('spartan_t_in1k', 2), ('spartan_t_in1k', 4), ('rtdetr_spartan_t_coco', 2)]
)
def test_bytes_that_gloo_sends(config, processes, tmp_path, monkeypatch):
    try:
        alone = not subprocess.run([*NETWORK, 'true'], capture_output=True, check=False).returncode
    except FileNotFoundError:
        alone = False
    monkeypatch.setenv('GLOO_SOCKET_IFNAME', 'lo')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    command = [*(NETWORK if alone else []), sys.executable, '-W', 'ignore', '-c', TRAFFIC, config, str(processes)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    sent, sizes = json.loads(result.stdout.splitlines()[-1])
    parameters = trained(config)
    size = 4 * sum(parameter.numel() for parameter in parameters)
    assert len(sizes) == buckets(parameters) and sum(sizes) == size
    if not alone:
        pytest.skip('no network namespaces here: the buckets are right, the bytes are not counted')
    assert sent == pytest.approx(2 * (processes - 1) * size, rel=0.02)  # of all processes, with the headers
