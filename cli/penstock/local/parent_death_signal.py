"""Runs a command that the kernel ends together with the process that started it, however that one ends.

    python -I -S parent_death_signal.py PARENT_PID COMMAND [ARGUMENT...]

Run as a script, with nothing imported that is not needed: it runs between the supervisor and every service. It
requests SIGKILL from the kernel at the parent's death and then becomes the command, which keeps that request.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise SystemExit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        raise SystemExit("the supervisor ended before its child began")
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
