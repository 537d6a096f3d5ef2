from .classes import numbered_class_names, read_class_names
from .config_file import write_config
from .files import check_target, fit_exactly, read_weights, write_checkpoint, write_whole
from .rtdetr import points_of_levels, rtdetr_from_authors, rtdetr_options
from .rtdetr_hf import rtdetr_from_hugging_face
from .spartan import spartan_from_authors, spartan_options, spartan_to_authors

__all__ = [
    'check_target',
    'fit_exactly',
    'numbered_class_names',
    'points_of_levels',
    'read_class_names',
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
