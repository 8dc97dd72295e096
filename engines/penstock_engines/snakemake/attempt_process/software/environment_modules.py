"""Environment modules: the shell commands that load what a rule declares with `envmodules:`."""

import shlex
from collections.abc import Callable, Sequence


def loading_with(init: str) -> Callable[[Sequence[str], str], str]:
    """Return what makes a command that first loads modules, with the shell functions of the script `init`.

    A module that cannot be loaded fails the task: the command would otherwise run with the software of the machine.
    """

    def loaded(names: Sequence[str], command: str) -> str:
        wanted = " ".join(shlex.quote(part) for name in names for part in name.split())
        message = shlex.quote(f"penstock: these environment modules cannot be loaded: {' '.join(names)}")
        return (
            f". {shlex.quote(init)}; module purge && MODULES_VERBOSITY=concise module load {wanted} || "
            f"{{ printf '%s\\n' {message} >&2; exit 1; }}; {command}"
        )

    return loaded
