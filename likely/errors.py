"""What can go wrong, in the words of the person who can mend it.

A `UserError` is one line: what was found, where, what was expected, and the command or argument
that mends it. The command line prints it and exits with 2; any other exception is a fault of ours.
"""


class UserError(ValueError):
    """A mistake in what the caller gave."""


class DataError(UserError):
    """Data that cannot be read, or that differs from what a model learned."""


class Unsupported(UserError):
    """A task that the model at hand cannot do; the message names models that can."""


class UnknownName(UserError):
    """A model, preset, part or argument that nobody knows; the message names the nearest ones."""


class ModelFileError(UserError):
    """A fitted directory that is damaged, incomplete, foreign or newer than this library."""


class Diverged(UserError):
    """Training met a loss that is not finite, and stopped with the last good weights kept."""


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop (SIGINT, SIGTERM); its state was saved first where there was a place for it."""
