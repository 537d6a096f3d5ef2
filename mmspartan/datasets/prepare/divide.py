"""Splits of a dataset: those that it has, a division of its images, or one that continues an earlier one."""

import json
from dataclasses import dataclass
from pathlib import Path

from mmspartan_cli import printable

from ...errors import InputError
from .faults import KEPT, Faults
from .source import Sample, Source
from .split import group_of, stratified_split

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
                + (f'; names of folders divide the images, {_counts(source)}' if not samples and not undivided else '')
                + faults.summary()
            )
    return sentence


def _counts(source: Source) -> str:
    found = ', '.join(f'{len(samples)} in {split}' for split, samples in source.splits.items())
    return f'{found}: name the other folders as SOURCEs, too, or give --split-by nothing'


def _divide(samples: list[Sample], source: Source, digests: dict[Path, str], division: Division, faults: Faults) -> str:
    before = splits_of(division.like) if division.like else {}
    gone = before.keys() - set(digests.values())
    faults.note(f'image of {division.like} is not in the source', *(before[digest][1] for digest in gone))
    groups = [group_of(sample, digests, division.whole_folders) for sample in samples]
    splits = [before.get(digests[sample.path], ('', ''))[0] for sample in samples]
    of_group = {group: split for group, split in zip(groups, splits) if split}
    found: dict[str, list[Sample]] = {split: [] for split in ('', *SPLITS)}
    for sample, group, split in zip(samples, groups, splits):
        found[split or of_group.get(group, '')].append(sample)
    new = found.pop('')
    folders = {sample.path.parent for sample in new}
    if division.whole_folders and not division.like and len(folders) < 2:
        raise InputError(f'--whole-folders: all images to divide are in {", ".join(map(str, folders))}')
    train, val = stratified_split(new, division.share, division.seed, digests, division.whole_folders)
    for split, kept in dict(found, train=found['train'] + train, val=found['val'] + val).items():
        source.splits[split] = [*source.splits.get(split, []), *kept]
    if division.whole_folders:
        held_out = ', '.join(printable(str(path)) for path in sorted({sample.path.parent for sample in val}))
        return f'Divided here by folders, with the seed {division.seed}: {held_out or "none"} for validation.'
    what = f'{len(new)} images without a split' if len(new) < len(digests) else 'the training images'
    what = f'{len(new)} images that {division.like} does not have' if division.like else what
    return f'Divided here: of {what}, {division.share:g} are for validation, with the seed {division.seed}.'


def splits_of(folder: Path) -> dict[str, tuple[str, str]]:
    """Return split and name of the images of a folder that ``prepare_dataset.py`` wrote, by digests of the originals.

    Raises:
        InputError: If it is no such folder.
    """
    found = {}
    try:
        for path in (folder / f'{split}.json' for split in SPLITS):
            for image in json.loads(path.read_bytes())['images'] if path.name != 'test.json' or path.exists() else ():
                found[image['sha1']] = (path.stem, image['file_name'])
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise InputError(f'--like {folder}: was not written by this version of prepare_dataset.py: {reason}') from error
    return found
