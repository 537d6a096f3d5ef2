from .folder import open_folder
from .ground_truth import GroundTruth, select_split
from .predictions import find_source, load_or_predict, require_source
from .report import Report, write_report
from .tables import terminal_table

__all__ = [
    'GroundTruth',
    'Report',
    'find_source',
    'load_or_predict',
    'open_folder',
    'require_source',
    'select_split',
    'terminal_table',
    'write_report',
]
