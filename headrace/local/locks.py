"""The lock files of the emulators, which are data of the `localstack` package."""

from importlib.util import find_spec
from pathlib import Path

from headrace.errors import WrongUse


def lock_file(name: str) -> Path:
    """The path of a file of the `localstack` package."""
    package = find_spec("localstack")
    if package is None or package.origin is None:
        raise WrongUse("this installation of headrace has no `localstack` package")
    return Path(package.origin).with_name(name)
