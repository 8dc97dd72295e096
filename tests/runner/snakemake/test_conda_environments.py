"""Activation of an environment: as `conda activate` would, by shell commands and nothing more."""

import shlex
import subprocess
from pathlib import Path

import pytest

from penstock_engines.snakemake.attempt_process.software.conda_environments import activation


def in_environment(prefix: Path, command: str) -> list[str]:
    text = f"{activation(str(prefix))}; set -euo pipefail; {command}"
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"})
    return done.stdout.splitlines()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.system
def test_path_variables_and_scripts_of_packages_are_set_in_order(tmp_path: Path) -> None:
    """Scripts come last and see the variables; those for other shells are left alone."""
    prefix = tmp_path / "it's an environment"
    write(prefix / "etc/conda/env_vars.d/a.json", '{"OF_PACKAGE": "package", "BOTH": "package"}')
    write(prefix / "conda-meta/state", '{"env_vars": {"BOTH": "$file", "N": 1, "bad name": "x"}}')
    write(prefix / "etc/conda/activate.d/a.sh", 'FIRST="$BOTH:$CONDA_PREFIX"\n')
    write(prefix / "etc/conda/activate.d/b.sh", 'export SECOND="$FIRST"\n')
    write(prefix / "etc/conda/activate.d/c.csh", "setenv THIRD wrong\n")
    found = in_environment(prefix, 'echo "$PATH"; echo "$OF_PACKAGE;$BOTH;$N"; echo "$SECOND"; echo "${THIRD:-none}"')
    assert found == [f"{prefix}/bin:/usr/bin", "package;$file;1", f"$file:{prefix}", "none"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"env_vars": [1]}', '{"env_vars": {"a;b": "x"}}'])
def test_a_state_that_is_none_sets_nothing(tmp_path: Path, content: str) -> None:
    """A package may bring any file."""
    write(tmp_path / content.encode().hex() / "conda-meta/state", content)
    prefix = tmp_path / content.encode().hex()
    quoted = shlex.quote(str(prefix))
    expected = f'export CONDA_PREFIX={quoted} CONDA_DEFAULT_ENV={quoted} CONDA_SHLVL=1 PATH={quoted}/bin:"$PATH"'
    assert activation(str(prefix)) == expected
