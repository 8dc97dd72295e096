"""The entry point of `penstock`: imports the command line and runs it. Ctrl-C ends it without a traceback at any time.

Only the start of Python itself, before this module, cannot be covered. So this module imports as little as possible
before it handles the signal.
"""

import os
import sys

_INTERRUPTED = 130
"""`Exit.INTERRUPTED`, which would have to be imported."""


def main() -> None:
    """Run the command line and end the process."""
    try:
        _open_closed_streams()
        import signal

        from penstock.terminal.interrupts import ExitOnInterrupt

        with ExitOnInterrupt():
            from penstock.command_line import run
        code = run(sys.argv[1:])
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python reports an exception while it ends
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open standard output and error where the caller closed them: Python has `None` in their place then."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open to the end; pathlib is not imported yet


if __name__ == "__main__":
    main()
