"""What the client raises, on the three bases of `runtime.errors`."""

from runtime.errors import Fatal, Rejected, Retryable


class Refused(Rejected):
    """The gateway or the domain says no. `reason` is the problem's stable code, `status` the HTTP number."""

    def __init__(self, reason: str, detail: str, status: int) -> None:
        super().__init__(reason, detail)
        self.status = status


class Unavailable(Retryable):
    """No answer within the deadline, or only "not now". A command may have been accepted: repeat it under the same `command_id`."""

    def __init__(self, why: str, command_id: str = "") -> None:
        super().__init__(why)
        self.command_id = command_id


class NotOurs(Fatal):
    """What answered is no gateway of ours, or speaks another version."""
