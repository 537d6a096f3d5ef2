"""Division of pictures into training and validation sets with the same share of every class.

Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011 (iterative stratification),
over groups of pictures instead of single ones.
"""

import heapq
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

from .source import Picture

# Roboflow writes several augmented versions of a picture, NAME_jpg.rf.HASH.jpg.
VERSION = re.compile(r'\.rf\.[0-9a-zA-Z]+$')


def stratified_split(
    pictures: list[Picture], share: float, seed: int, digests: dict[Path, str]
) -> tuple[list[Picture], list[Picture]]:
    """Divide pictures at random, class by class from the rarest; pictures without objects are a class as well.

    Versions of a picture and files of the same content come into the same set. The time grows with the number of
    pictures and objects, not with their product with the number of classes.

    Args:
        pictures: The pictures.
        share: Share of the pictures to validate with, between 0 and 1.
        seed: Seed of the random numbers; the same one gives the same division of the same files.
        digests: A digest of the content of each file.

    Returns:
        tuple: The training and the validation pictures, in their order in ``pictures``.
    """
    groups: dict[tuple, list[Picture]] = defaultdict(list)
    for picture in pictures:
        stem = VERSION.sub('', picture.path.stem)
        key = (picture.path.parent, stem) if stem != picture.path.stem else (digests[picture.path],)
        groups[key].append(picture)
    counts = {
        key: Counter([item.name for picture in group for item in picture.objects if not item.ignored] or [''])
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
    # what each set still lacks, of pictures and of objects by class
    shares = {True: share, False: 1 - share}
    wanted = {name: {side: count * shares[side] for side in shares} for name, count in present.items()}
    places = {side: len(pictures) * shares[side] for side in shares}
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
        if not any(
            is_val[key] == side for key in labelled
        ):  # few pictures: one, without a class of its own if possible
            is_val[max(labelled, key=lambda key: min(len(groups_of[name]) for name in counts[key]))] = side
    validation = {id(picture) for key, side in is_val.items() if side for picture in groups[key]}
    return (
        [picture for picture in pictures if id(picture) not in validation],
        [picture for picture in pictures if id(picture) in validation],
    )
