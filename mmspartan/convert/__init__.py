from .rtdetr import rtdetr_from_authors
from .spartan import spartan_from_authors

__all__ = ['rtdetr_from_authors', 'spartan_from_authors']
