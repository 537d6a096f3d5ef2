from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.conftest import DATA


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'mine.pth'
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.save(dict(meta=dict(dataset_meta=dict(classes=tuple('0123456789'))), state_dict=model.state_dict()), path)
    return path
