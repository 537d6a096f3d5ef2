"""What SpaRTAN and RT-DETR have in common. This package imports neither of them."""

from .conv_norm_act import ConvNormAct
from .fold import changed_copy, constant, conv_of, deploy, fold, fold_in_place, rule, rule_of

__all__ = ['ConvNormAct', 'changed_copy', 'constant', 'conv_of', 'deploy', 'fold', 'fold_in_place', 'rule', 'rule_of']
