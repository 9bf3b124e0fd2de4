"""How a command fails: the two ways that the caller sees as one line."""

from runtime.errors import Fatal


class WrongUse(Fatal):  # noqa: N818 - it names what the caller did
    """The command cannot be carried out as asked: exit 2. The message is the one line the caller sees."""


class StackFailed(Fatal):  # noqa: N818 - it names what happened
    """The stack on this machine could not be started or kept: exit 1. The message says which part and where its log is."""
