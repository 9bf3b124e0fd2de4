"""`python -m headrace.local.clean [STATE]`: remove what stacks left behind, the folder in the temporary directory too."""

import shutil
import sys
from pathlib import Path

from headrace.errors import WrongUse
from headrace.local import state
from headrace.local.postgres_home import remove_outside


def clean(folder: Path) -> list[Path]:
    """Remove the state folder and its folder in the temporary directory. Raises WrongUse on a live one."""
    if state.is_live(folder):
        raise WrongUse(f"a stack is up in {folder}; `headrace down` ends it")
    removed = remove_outside(folder / "postgres")
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
        removed.append(folder)
    return removed


def main() -> int:
    """Exit 0, also when there was nothing; 2 when a stack is up."""
    try:
        for each in clean(state.folder_of(sys.argv[1] if len(sys.argv) > 1 else None)):
            print(f"removed {each}")
    except WrongUse as wrong:
        print(f"clean: {wrong}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
