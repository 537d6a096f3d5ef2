"""Deployment of trained models: folding, export to ONNX, and evaluation of exported files.

This package imports the models. The models import it only in ``switch_to_deploy()``, which calls
:func:`fold_in_place`.
"""

from ..stack import has_mmdet
from . import spartan_rules  # noqa: F401 - registers
from .fold import deploy, fold, fold_in_place, rule

if has_mmdet():
    from . import rtdetr_rules  # noqa: F401 - registers

__all__ = ['deploy', 'fold', 'fold_in_place', 'rule']
