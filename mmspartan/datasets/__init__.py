from ..stack import has_mmdet
from .image_files import CheckPicture, PictureBackend

if has_mmdet():
    from . import crop_first  # noqa: F401 - registers

__all__ = ['CheckPicture', 'PictureBackend']
