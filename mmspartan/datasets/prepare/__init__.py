"""Detection datasets in the form in which people have them, to checked COCO annotation files.

The readers are our own, on the standard library's parsers; docs/own-data.md says what libraries lack. A reader takes
documents of one kind and the files of the dataset, and returns a :class:`~.source.Source`; see ``read.py`` for the
table of readers, ``source.py`` for the search of images, and ``faults.py`` for what is reported.
"""
