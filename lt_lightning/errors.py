"""The one exception that the command line shows as a sentence instead of a traceback."""


class UsageError(ValueError):
    """What was asked for cannot be done.

    The message is one sentence that names the argument, key or file, the value found, and what to do about it.
    """
