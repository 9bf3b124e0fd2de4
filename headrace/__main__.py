"""`python -m headrace` and the `headrace` command."""

import sys

from headrace.cli import main as carry_out


def main() -> None:
    """Carry out the command of the process's arguments, and end with its exit code."""
    sys.exit(carry_out())


if __name__ == "__main__":
    main()
