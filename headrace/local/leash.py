"""Ties a program to its supervisor, then becomes it: when the supervisor dies, by kill -9 too, the program goes too.

Run as a file of its own (`python -I -S leash.py PARENT SIGNAL UID:GID|- COMMAND...`), never imported: a hook between
fork and exec would do the same in the supervisor, but is not safe beside the threads that asyncio starts.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to the account, ask for the signal, make sure that the parent is still there, and exec."""
    parent, signal_number, account, *command = sys.argv[1:]
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":  # after setuid, which would clear it; elsewhere there is no such call
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
            sys.exit(f"leash: prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it died before the call above
        sys.exit("leash: the supervisor is gone")
    os.execvp(command[0], command)  # noqa: S606 - this is what the file is for


main()
