"""The handwritten digits that ship with scikit-learn (UCI Optical Recognition of Handwritten Digits), in two splits."""

import numpy as np


def load_digits_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images ``(n, 8, 8, 3)``, uint8, white on black, and the labels ``(n,)`` of one split.

    Every fifth of the 1797 images is in the test split (359), the others are in the training split (1438).

    Raises:
        ValueError: If ``split`` is neither ``'train'`` nor ``'test'``.
    """
    if split not in ('train', 'test'):
        raise ValueError(f"the digits have a split 'train' and a split 'test', got {split!r}")
    from sklearn.datasets import load_digits

    digits = load_digits()
    held_out = np.arange(len(digits.target)) % 5 == 4
    chosen = held_out if split == 'test' else ~held_out
    images = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # scikit-learn's values are 0..16
    return np.repeat(images[..., None], 3, axis=-1), digits.target[chosen]
