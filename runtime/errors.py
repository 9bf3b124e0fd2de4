"""The one tree of errors: every error of ours stands on one of three bases, and callers dispatch on the bases only."""


class HeadraceError(Exception):
    """Base of all errors that Headrace raises itself."""


class Rejected(HeadraceError):  # noqa: N818 - an answer to the caller, named as the glossary names it
    """The business says no. Final; never retried.

    `reason` is a stable word that callers may dispatch on; `detail` is one sentence for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail


class Retryable(HeadraceError):  # noqa: N818
    """Something is away or busy: the same work may succeed later."""


class Fatal(HeadraceError):  # noqa: N818
    """Trying again cannot help: dead-letter the work, or end the process."""


class ConfigurationError(Fatal):
    """Settings or the stack are wrong; `faults` names all of them, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
