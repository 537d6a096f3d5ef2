from .spartan import SpaRTAN

__all__ = ['SpaRTAN']
