from .inferencer import CheckedDetInferencer
from .slicing import SlicingDetInferencer

__all__ = ['CheckedDetInferencer', 'SlicingDetInferencer']
