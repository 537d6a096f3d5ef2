"""The sound inputs that are mutated: data, configs, checkpoints of a training, and exported and authors' files."""

import json
import shutil
from pathlib import Path

import cv2

from .children import Ended, run_child, run_tool
from .layouts import write_layouts

DATA = Path(__file__).parents[1] / 'data'

# Tiny detectors, trained on four images and evaluated on them too, so that a lost object costs accuracy.
DETECTORS = dict(detector='rtdetr_quick.py', dfine='dfine_quick.py')
DETECTOR = """
custom_imports = dict(imports=['mmspartan'], allow_failed_imports=False)
model = dict(
    neck=dict(hidden_channels=32, feedforward_channels=64),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=32),
            cross_attn_cfg=dict(embed_dims=32),
            ffn_cfg=dict(embed_dims=32, feedforward_channels=64),
        )
    ),
    bbox_head=dict(embed_dims=32),
)
train_dataloader = dict(batch_size=4, num_workers=0)
val_dataloader = dict(batch_size=4, dataset=dict(ann_file='val.json', data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type='MultiStepLR', milestones=[1], by_epoch=True)]
default_hooks = dict(checkpoint=dict(interval=1, save_best=None))
"""
CLASSIFIER = """_base_ = 'digits_quick.py'
train_dataloader = dict(batch_size=8, dataset=dict(indices=16))
val_dataloader = dict(batch_size=8, dataset=dict(indices=16))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=1)
param_scheduler = [dict(type='MultiStepLR', milestones=[1], by_epoch=True)]
"""


def make_sound_inputs(folder: Path) -> None:
    """Write all of them into an empty folder; takes a minute."""
    write_layouts(folder / 'layouts')
    for name in (*DETECTORS.values(), 'digits_quick.py'):
        shutil.copy(DATA / name, folder)
    for name, base in DETECTORS.items():
        (folder / f'{name}.py').write_text(f'_base_ = {base!r}{DETECTOR}')
    (folder / 'classifier.py').write_text(CLASSIFIER)
    size = ['--train', '4', '--val', '1', '--size', '64']
    _run(folder, 'dataset_converters/digits_to_coco.py', '--out', 'digits', *size)
    _evaluate_what_is_trained_on(folder / 'digits')

    learn = ['param_scheduler=[]', 'train_cfg.max_epochs=120', 'train_cfg.val_interval=1000']
    learn += ['default_hooks.checkpoint.interval=120', 'optim_wrapper.optimizer.lr=6e-3']
    for name in DETECTORS:
        _train(folder, name, 'epoch_120.pth', f'{name}.pth', *learn)
    _train(folder, 'detector', 'epoch_1.pth', 'resumable.pth')
    learn = ['param_scheduler=[]', 'train_dataloader.dataset.indices=None', 'train_dataloader.batch_size=32']
    _train(folder, 'classifier', 'epoch_2.pth', 'classifier.pth', *learn)
    for name in (*DETECTORS, 'classifier'):
        _run(folder, 'export_onnx.py', f'{name}.py', f'{name}.pth', '--out', f'{name}.onnx', '--dynamic-batch')
    _run(folder, 'evaluate.py', 'detector.py', 'detector.pth', '--out', 'report', '--worst', '0')
    shutil.move(folder / 'report' / 'predictions.bbox.json', folder / 'predictions.json')
    shutil.rmtree(folder / 'report')
    _write_film(folder)
    _check(run_child(lambda: _write_authors_files(folder), folder, 60), "the authors' files")
    (folder / 'output.txt').unlink()


def _run(folder: Path, tool: str, *args: str) -> None:
    _check(run_tool([tool, *args], folder, timeout=300), tool)


def _train(folder: Path, name: str, made: str, target: str, *options: str) -> None:
    options = ('--cfg-options', *options) if options else ()
    _run(folder, 'train.py', f'{name}.py', '--work-dir', 'work', *options)
    shutil.move(folder / 'work' / made, folder / target)
    shutil.rmtree(folder / 'work')


def _check(ended: Ended, what: str) -> None:
    if ended.code != 0:
        raise RuntimeError(f'{what} failed on sound input ({ended}):\n{ended.output[-3000:]}')


def _evaluate_what_is_trained_on(digits: Path) -> None:
    shutil.rmtree(digits / 'val')
    shutil.copytree(digits / 'train', digits / 'val')
    shutil.copy(digits / 'train.json', digits / 'val.json')
    (digits / 'made_with.json').unlink()


def _write_film(folder: Path) -> None:
    film = cv2.VideoWriter(str(folder / 'film.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 64))
    images = sorted((folder / 'digits' / 'train').glob('*.png'))
    for path in images:
        film.write(cv2.imread(str(path)))
    film.release()
    for path in images:
        target = folder / 'tree' / ('inside' if path.stem[-1] in '01' else '') / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _write_authors_files(folder: Path) -> None:
    import numpy as np
    import torch

    from tests.convert.stored import of_deim

    dfine = of_deim('dfine')
    for name in ('spartan', 'rtdetr'):
        with np.load(DATA / f'{name}_tiny.npz') as file:
            weights = {key[3:]: torch.from_numpy(file[key]) for key in file.files if key.startswith('sd/')}
        weights = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        torch.save(dict(model=weights), folder / f'{name}_authors.pth')
    torch.save(dict(model=dfine.weights | dfine.settings), folder / 'dfine_authors.pth')
    categories = json.loads((folder / 'digits' / 'train.json').read_text())['categories']
    assert len(categories) == 10
