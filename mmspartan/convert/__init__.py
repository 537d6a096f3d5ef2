from .rtdetr import rtdetr_from_authors
from .rtdetr_hf import rtdetr_from_hugging_face
from .spartan import spartan_from_authors

__all__ = ['rtdetr_from_authors', 'rtdetr_from_hugging_face', 'spartan_from_authors']
