"""Errors for what a user can correct; the command line shows them as one line without a traceback."""

from typing import Any


class InputError(ValueError):
    """A file, an entry of a file, or an option of a command is not valid.

    The message names it, describes the problem and, where this is not obvious, the solution.

    Args:
        message: All that is shown.
        file: The file that is not valid, where the code that raises the error knows it.
        entry: The entry of this file.
    """

    def __init__(self, message: str = '', *, file: str = '', entry: str = ''):
        super().__init__(message)
        self.file, self.entry = file, entry


class OptionError(ValueError):
    """An option of a class has a value that is not valid.

    It is no ``InputError``, since only the code that reads a config knows the entry with this option.
    """

    def __init__(self, message: str = '', *, owner: str = '', option: str = '', value: Any = None):
        super().__init__(message)
        self.owner, self.option, self.value = owner, option, value
