"""Detection datasets in the form in which people have them, to checked COCO annotation files.

The readers are our own, about a hundred lines a format, on the standard library's parsers. Of the libraries, globox
2.9 stops at the first line of a file that it cannot read, loses VOC's ``difficult`` and refuses VOC files without a
size; supervision 0.31 stops at the first such line and decodes every image; Datumaro 1.13 needs older versions of
Pillow and OpenCV than the tested stack has. None of them tells what was clipped or left out.
"""
