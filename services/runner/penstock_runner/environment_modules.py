"""Environment modules on the runner's machine: whether the script that the operator names defines `module`."""

import subprocess
from pathlib import Path
from typing import Final

import anyio

from penstock_runtime.settings import UnusableSetting

PROBE_S: Final = 10.0
_PROBE: Final = '. "$1" && [ "$(type -t module)" = function ] && module --version >/dev/null 2>&1'


async def check_modules(init: Path | None) -> None:
    """Check that a shell knows `module` after it read the script, where there is one.

    Raises:
        UnusableSetting: it does not.

    """
    if init is None:
        return
    reason = f"it did not end within {PROBE_S:.0f} s"
    with anyio.move_on_after(PROBE_S):
        try:
            done = await anyio.run_process(
                ["bash", "-c", _PROBE, "bash", str(init)], check=False, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            reason = f"bash cannot be started: {error.strerror}"
        else:
            if done.returncode == 0:
                return
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else "a shell that reads it does not know `module`"
    raise UnusableSetting(f"PENSTOCK_ENVMODULES_INIT is {init}, which defines no usable `module`: {reason}")
