from .detector import Detections, Detector
from .inferencer import CheckedDetInferencer
from .slicing import SlicingDetInferencer

__all__ = ['CheckedDetInferencer', 'Detections', 'Detector', 'SlicingDetInferencer']
