"""Division of images into training and validation sets with the same share of every class.

Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011 (iterative stratification),
over groups of images instead of single ones.
"""

import heapq
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

from .source import Sample

# Roboflow writes several augmented versions of an image, NAME_jpg.rf.HASH.jpg.
VERSION = re.compile(r'\.rf\.[0-9a-zA-Z]+$')


def group_of(sample: Sample, digests: dict[Path, str], whole_folders: bool = False) -> tuple:
    """Return the key of the images that come into the same set; see :func:`stratified_split`."""
    stem = VERSION.sub('', sample.path.stem)
    key = (sample.path.parent, stem) if stem != sample.path.stem else (digests[sample.path],)
    return (sample.path.parent,) if whole_folders else key


def stratified_split(
    samples: list[Sample], share: float, seed: int, digests: dict[Path, str], whole_folders: bool = False
) -> tuple[list[Sample], list[Sample]]:
    """Divide images at random, class by class from the rarest; images without objects are a class as well.

    Versions of an image and files of the same content, by their ``digests``, come into the same set. The time grows
    with the number of images and objects, not with their product with the number of classes. The same seed gives the
    same division of the same files.

    Args:
        share: Share of the images to validate with, between 0 and 1.
        whole_folders: Whether all images of a folder, as of a camera or a day, come into the same set.

    Returns:
        tuple: The training and the validation images, in their order in ``samples``.
    """
    groups: dict[tuple, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[group_of(sample, digests, whole_folders)].append(sample)
    counts = {
        key: Counter([item.name for sample in group for item in sample.objects if not item.ignored] or [''])
        for key, group in groups.items()
    }
    order = sorted(groups, key=str)
    random.Random(seed).shuffle(order)
    present: Counter[str] = Counter()  # objects that are in no set yet, by class
    groups_of: dict[str, list[tuple]] = defaultdict(list)
    for key in order:
        present.update(counts[key])
        for name in counts[key]:
            groups_of[name].append(key)
    # what each set still lacks, of images and of objects by class
    shares = {True: share, False: 1 - share}
    wanted = {name: {side: count * shares[side] for side in shares} for name, count in present.items()}
    places = {side: len(samples) * shares[side] for side in shares}
    is_val: dict[tuple, bool] = {}
    rarest = [(count, name) for name, count in present.items()]  # a heap with outdated entries
    heapq.heapify(rarest)
    while rarest:
        count, name = heapq.heappop(rarest)
        if not count or count != present[name]:
            continue
        for key in groups_of[name]:
            if key in is_val:
                continue
            # to the set that lacks more of the class, as the paper has it, if it is not full
            lacks = wanted[name]
            side = max((False, True), key=lambda side: (places[side] > 0, lacks[side], places[side] / shares[side]))
            is_val[key] = side
            places[side] -= len(groups[key])
            for other, number in counts[key].items():
                wanted[other][side] -= number
                present[other] -= number
                heapq.heappush(rarest, (present[other], other))
    labelled = [key for key in order if '' not in counts[key]]
    for side in (True, False) if len(labelled) > 1 else ():
        if not any(is_val[key] == side for key in labelled):  # few images: one, without a class of its own if possible
            is_val[max(labelled, key=lambda key: min(len(groups_of[name]) for name in counts[key]))] = side
    validation = {id(sample) for key, side in is_val.items() if side for sample in groups[key]}
    return (
        [sample for sample in samples if id(sample) not in validation],
        [sample for sample in samples if id(sample) in validation],
    )
