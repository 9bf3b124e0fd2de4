"""`python -m headrace.local.clean [STATE]`: remove what stacks left behind, the folder in the temporary directory too."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headrace.errors import WrongUse
from headrace.local import state
from headrace.local.postgres_home import outside_path


def clean(folder: Path) -> list[Path]:
    """Remove the state folder and its folder in the temporary directory; what was removed. Raises WrongUse on a live one."""
    if state.is_live(folder):
        raise WrongUse(f"a stack is up in {folder}; `headrace down` ends it")
    there = [each for each in (folder, *_outside(folder)) if each.is_dir() and not each.is_symlink()]
    for each in there:
        shutil.rmtree(each)
    return there


def _outside(folder: Path) -> Iterator[Path]:
    """Ours by its name, which only this state folder has: wherever it is written down, or would be made."""
    name = outside_path((folder / "postgres").resolve(), Path()).name
    written = state.read(folder)
    roots = {Path(tempfile.gettempdir()), Path("/tmp")}  # noqa: S108
    if written is not None and written.outside is not None:
        roots.add(Path(written.outside).parent)
    yield from (root / name for root in sorted(roots))


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
