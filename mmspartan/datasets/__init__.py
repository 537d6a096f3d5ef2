from .pictures import CheckPicture, PictureBackend

__all__ = ['CheckPicture', 'PictureBackend']
