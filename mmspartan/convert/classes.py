"""Class names of converted checkpoints; without them mmpretrain and mmdet show ImageNet's or COCO's names."""

from pathlib import Path

from ..errors import InputError


def read_class_names(path: str | Path, count: int) -> list[str]:
    """Read class names from a text file, one a line.

    Raises:
        InputError: If the file cannot be read, has an empty line, or has not ``count`` names.
    """
    try:
        names = [line.strip() for line in Path(path).read_text('utf-8-sig').rstrip().split('\n')]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'not a text file in UTF-8'
        raise InputError(f'{path}: cannot be read: {reason} (--classes)') from error
    if '' in names:
        raise InputError(f'{path}: line {names.index("") + 1} is empty; each is the name of a class')
    if len(names) != count:
        raise InputError(f'{path}: names {len(names)} classes, the weights are of {count}')
    return names


def numbered_class_names(count: int) -> list[str]:
    return [f'class {i}' for i in range(count)]
