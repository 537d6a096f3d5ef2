from .classes import numbered_class_names, read_class_names
from .config_file import write_config
from .deimv2 import is_deimv2
from .dfine import edge_settings, is_dfine
from .files import check_target, fit_exactly, read_weights, write_checkpoint, write_whole
from .hf_config import read_hugging_face_config
from .hgnet import hgnet_from_authors, hgnet_options, is_hgnet
from .rtdetr import count_levels, points_of_levels, rtdetr_from_authors, rtdetr_options
from .rtdetr_hf import rtdetr_from_hugging_face
from .spartan import spartan_from_authors, spartan_options, spartan_to_authors

__all__ = [
    'check_target',
    'count_levels',
    'edge_settings',
    'fit_exactly',
    'hgnet_from_authors',
    'hgnet_options',
    'is_deimv2',
    'is_dfine',
    'is_hgnet',
    'numbered_class_names',
    'points_of_levels',
    'read_class_names',
    'read_hugging_face_config',
    'read_weights',
    'rtdetr_from_authors',
    'rtdetr_from_hugging_face',
    'rtdetr_options',
    'spartan_from_authors',
    'spartan_options',
    'spartan_to_authors',
    'write_checkpoint',
    'write_config',
    'write_whole',
]
