"""What docs/many-gpus.md says of buckets, bytes, messages and normalizations, on the real configs."""

import re
from functools import cache

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmspartan import config_path
from tests.conftest import ROOT, build_model

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
    return build_model(cfg.model, cfg.default_scope)


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


def test_layers_whose_statistics_are_synchronized():
    (said,) = re.findall(r'SpaRTAN-T has (\d+) such layers, the detector (\d+)', PAGE)
    for (config, _), number in zip(MODEL.values(), said):
        assert sum(isinstance(module, _BatchNorm) for module in build(config).modules()) == int(number)
