"""The folder of a prepared dataset: annotation files, config, report, faults, and copies of the images if asked for."""

import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .faults import Faults
from .report import Report, drawn, page
from .source import Source
from .training_config import Training, check_config, config_text
from .write import coco_of, copy_images, names_in_place, relative_to, write_annotations


@dataclass
class Prepared:
    """A dataset that is checked and divided.

    Args:
        source: Its images and objects.
        root: Folder below which its images are.
        digests: Of the contents of the images.
        origin: Where it was read from, as the user named it.
    """

    source: Source
    root: Path
    digests: dict[Path, str]
    origin: str


def write_folder(
    out: Path,
    dataset: Prepared,
    training: Training,
    report: Report,
    faults: Faults,
    *,
    copy: bool = False,
    bits: int | None = None,
    seed: int = 0,
) -> str:
    """Write a folder, under another name until it is complete; return what was copied, as the end of a sentence.

    Args:
        out: The folder, which does not exist.
        dataset: The dataset.
        training: What its config trains.
        report: What its report says.
        faults: The faults to list.
        copy: Copy the images; otherwise they stay where they are.
        bits: Of a value of 16-bit images, whose copies have 8.
        seed: Of the choice of images in the report.

    Raises:
        InputError: If a name of the dataset is lost in the config.
    """
    free = (out.with_name(f'{out.name}.part{i or ""}') for i in itertools.count())
    partial = next(path for path in free if not os.path.lexists(path))
    partial.mkdir(parents=True)
    source = dataset.source
    try:
        folders, named, copies = {}, {}, {}
        for split, samples in source.splits.items():
            paths = [sample.path for sample in samples]
            if copy:
                names, folders[split] = copy_images(paths, dataset.root, partial / split, bits), f'{split}/'
                copies.update({path: partial / split / name for path, name in names.items()})
            else:
                names, folders[split] = names_in_place(paths, dataset.root), f'{relative_to(dataset.root, out)}/'
            write_annotations(partial / f'{split}.json', coco_of(samples, source.classes, names, dataset.digests))
            named.update(names)
        text = config_text(training, out, dataset.origin, source.classes, folders)
        (partial / 'config.py').write_text(text, encoding='utf-8')
        check_config(partial / 'config.py', source.classes, folders)
        guessed = {place for places in faults.guesses.values() for place in places}
        images = drawn(source.splits, source.classes, named, guessed, 12, seed, copies)
        (partial / 'faults.csv').write_text(faults.csv(), encoding='utf-8')
        html = page(f'Dataset {out.name}', report, {f'{len(images)} images': images})
        (partial / 'report.html').write_text(html, encoding='utf-8')
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    renamed = sum(path.name != copied.name for path, copied in copies.items())
    return f', and copies of {len(copies)} images, {renamed} of them with other names' if copies else ''
