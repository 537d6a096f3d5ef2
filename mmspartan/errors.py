"""The error that a person can mend: the command line shows it as one line, without a traceback."""


class InputError(ValueError):
    """Something that was given cannot be used: a file, an entry of a file, or an option.

    The message names it, says what is wrong with it and, where that is not plain, what to do.
    """
