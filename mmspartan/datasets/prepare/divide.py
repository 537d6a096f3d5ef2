"""Splits of a dataset: those that it has, a division of its images, or one that continues an earlier one."""

import json
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmspartan_cli import printable

from ...errors import InputError
from .clean import digest_of
from .faults import KEPT, Faults
from .source import Sample, Source
from .split import stratified_split

SPLITS = ('train', 'val', 'test')


@dataclass
class Division:
    """How images without a validation set are divided; see the options of ``tools/prepare_dataset.py``."""

    share: float  # of the images to validate with
    seed: int
    whole_folders: bool = False
    like: Path | None = None  # folder of an earlier division, in which its images stay


def divide(source: Source, digests: dict[Path, str], division: Division, faults: Faults, name: str) -> str:
    """Make splits 'train' and 'val' of what a dataset has, and return a sentence on it.

    Args:
        digests: Of the contents of its images.
        name: Of the dataset, for messages.

    Raises:
        InputError: If it is divided already and should not be, or a split has no object that counts.
    """
    unsplit = source.splits.pop('', [])
    source.splits.setdefault('train', [])
    undivided: list[Sample] = []
    if unsplit and (source.splits['train'] or source.splits.get('val')):
        undivided = [sample for sample in unsplit if sample.path in source.undivided]
        unsplit = [sample for sample in unsplit if sample.path not in source.undivided]
        faults.add('image is in no split: used for training', KEPT, *(str(sample.path) for sample in unsplit))
    source.splits['train'] += unsplit
    sentence = 'Divided as the source is.'
    if not source.splits.get('val'):
        undivided += source.splits['train']
        source.splits['train'] = []
    if undivided:
        sentence = _divide(undivided, source, digests, division, faults)
    elif division.whole_folders or division.like:
        option = '--whole-folders' if division.whole_folders else '--like'
        raise InputError(f'{option}: the source is divided already; give --split-by nothing as well')
    source.splits = {split: source.splits[split] for split in SPLITS if source.splits.get(split)}
    for split in ('train', 'val'):
        samples = source.splits.get(split, [])
        if not any(not item.ignored for sample in samples for item in sample.objects):
            total = sum(map(len, source.splits.values()))
            only = any(sample.objects for sample in samples)
            raise InputError(
                f'{name}: {source.format}: {split} has {len(samples)} of {total} images, none of them with an '
                + ('object that is not marked as a crowd or difficult' if only else 'object')
                + faults.summary()
            )
    return sentence


def _divide(samples: list[Sample], source: Source, digests: dict[Path, str], division: Division, faults: Faults) -> str:
    before = splits_of(division.like) if division.like else {}
    new: list[Sample] = []
    kept: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    for sample in samples:
        kept[before[digests[sample.path]][0]].append(sample) if digests[sample.path] in before else new.append(sample)
    gone = before.keys() - set(digests.values())
    faults.note(f'image of {division.like} is not in the source', *(before[digest][1] for digest in gone))
    folders = {sample.path.parent for sample in new}
    if division.whole_folders and len(folders) < 2:
        raise InputError(f'--whole-folders: all images to divide are in {", ".join(map(str, folders)) or "no folder"}')
    train, val = stratified_split(new, division.share, division.seed, digests, division.whole_folders)
    for split, found in dict(kept, train=kept['train'] + train, val=kept['val'] + val).items():
        source.splits[split] = [*source.splits.get(split, []), *found]
    what = f'{len(new)} images that are not divided' if len(new) < len(digests) else 'training images'
    what = f'{len(new)} images that are not in {division.like}' if division.like else what
    if division.whole_folders:
        held_out = ', '.join(printable(str(path)) for path in sorted({sample.path.parent for sample in val}))
        return f'Divided here by folders, with the seed {division.seed}: {held_out} for validation.'
    return f'Divided here, {division.share:g} of the {what} for validation, with the seed {division.seed}.'


def splits_of(folder: Path) -> dict[str, tuple[str, str]]:
    """Return split and path of the images of a folder that ``prepare_dataset.py`` wrote, by digests of their contents.

    Raises:
        InputError: If it is no such folder, or an image cannot be read.
    """
    try:
        cfg = Config.fromfile(folder / 'config.py')
        found = {}
        for split in SPLITS:
            dataset = cfg[f'{split}_dataloader'].dataset
            if Path(dataset.ann_file).stem == split:  # without test images the validation set is tested on
                content = json.loads(Path(dataset.data_root, dataset.ann_file).read_bytes())
                for image in content['images']:
                    path = Path(dataset.data_root, dataset.data_prefix.img, image['file_name'])
                    found[digest_of(path)] = (split, str(path))
        return found
    except (OSError, KeyError, AttributeError, ValueError) as error:
        raise InputError(f'--like {folder}: is no folder of this command: {type(error).__name__}: {error}') from error
