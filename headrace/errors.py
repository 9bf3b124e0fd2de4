"""How a command fails: the two ways that the caller sees as one line."""

from runtime.errors import Fatal


class WrongUse(Fatal):
    """The command cannot be carried out as asked: exit 2. The message is the one line the caller sees."""


class StackFailed(Fatal):
    """The stack on this machine could not be started or kept: exit 1. The message names the part and its log."""
