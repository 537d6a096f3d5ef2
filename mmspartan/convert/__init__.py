from .spartan import spartan_from_authors

__all__ = ['spartan_from_authors']
