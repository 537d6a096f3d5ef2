from .backbones import SpaRTAN

__all__ = ['SpaRTAN']
