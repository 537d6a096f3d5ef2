"""Division of pictures into training and validation sets with the same share of every class.

Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, ECML PKDD 2011 (iterative stratification),
over groups of pictures instead of single ones.
"""

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

    Versions of a picture and files of the same content come into the same set.

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
        key: Counter([item.name for picture in group for item in picture.objects] or [''])
        for key, group in groups.items()
    }
    remaining = sorted(groups, key=str)
    random.Random(seed).shuffle(remaining)
    totals = sum(counts.values(), Counter())
    # what each set still lacks, of pictures and of objects by class
    shares = {True: share, False: 1 - share}
    wanted = {name: {side: count * shares[side] for side in shares} for name, count in totals.items()}
    places = {side: len(pictures) * shares[side] for side in shares}
    chosen = set()
    while remaining:
        present = sum((counts[key] for key in remaining), Counter())
        rarest = min(present, key=lambda name: (present[name], name))
        for key in [key for key in remaining if rarest in counts[key]]:
            # to the set that lacks more of its share; the first of all goes to the training set
            is_val = max(
                (False, True), key=lambda side: (wanted[rarest][side] / shares[side], places[side] / shares[side])
            )
            if is_val:
                chosen.add(key)
            for name, count in counts[key].items():
                wanted[name][is_val] -= count
            places[is_val] -= len(groups[key])
        remaining = [key for key in remaining if rarest not in counts[key]]
    validation = {id(picture) for key in chosen for picture in groups[key]}
    return (
        [picture for picture in pictures if id(picture) not in validation],
        [picture for picture in pictures if id(picture) in validation],
    )
