"""Runs the bare command `snakemake -n` in folders: one process imports it, and a fork of it runs in each folder.

`python dry_runs.py FOLDER ...` prints a JSON list with what Snakemake would run in each folder and why.
"""

import contextlib
import io
import json
import os
import re
import sys

from snakemake.cli import main  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

WANTED = re.compile(r"^\s*(rule|localrule|checkpoint|input|output|reason|wildcards|[A-Za-z]+Exception)\b.*")
"""Lines with jobs and reasons; the others have times and names of this machine."""


def dry_run(folder: str) -> list[str]:
    """Return the lines of one dry run, made in a fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 0
        try:
            lines = _lines(folder)
            os.write(writer, json.dumps(lines).encode())
        except BaseException:  # noqa: BLE001 - the boundary of a process
            code = 1
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, folder
    found: list[str] = json.loads(answer)
    return found


def _lines(folder: str) -> list[str]:
    os.chdir(folder)
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written), contextlib.suppress(SystemExit):
        main(["-n", "--nolock", "--cores", "1"])
    return sorted(line.strip() for line in written.getvalue().splitlines() if WANTED.match(line))


if __name__ == "__main__":
    sys.stdout.write(json.dumps([dry_run(folder) for folder in sys.argv[1:]]) + "\n")
