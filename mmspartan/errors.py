"""Error for invalid input, which the command line shows as one line without a traceback."""


class InputError(ValueError):
    """A file, an entry of a file, or an option is not valid.

    The message names it, describes the problem and, where this is not obvious, the solution.
    """
