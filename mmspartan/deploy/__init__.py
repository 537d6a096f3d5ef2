"""Deployment of trained models: folding, export to ONNX, and evaluation of exported files.

This package imports the models, which do not import it: it registers what folds their classes
(:func:`mmspartan.nn.fold.rule`), and ``switch_to_deploy()`` of a model finds it there.
"""

from ..nn.fold import deploy, fold, fold_in_place, rule
from ..stack import has_mmdet
from . import spartan_rules  # noqa: F401 - registers

if has_mmdet():
    from . import rtdetr_rules  # noqa: F401 - registers

__all__ = ['deploy', 'fold', 'fold_in_place', 'rule']
