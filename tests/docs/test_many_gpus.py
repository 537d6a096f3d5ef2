"""Numbers of the text of ``docs/many-gpus.md``."""

import re

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from mmspartan import config_path
from tests.conftest import ROOT

NUMBERS = re.search(
    r'SpaRTAN-T has (\d+) such layers, the detector (\d+)', (ROOT / 'docs' / 'many-gpus.md').read_text()
)


@pytest.mark.parametrize(('config', 'number'), zip(('spartan_t_in1k', 'rtdetr_spartan_t_coco'), NUMBERS.groups()))
def test_layers_whose_statistics_are_synchronized(config, number):
    cfg = Config.fromfile(config_path(config))
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert sum(isinstance(module, _BatchNorm) for module in model.modules()) == int(number)
