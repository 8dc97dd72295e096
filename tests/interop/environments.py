"""WES clients by others, each in its own virtual environment: their requirements exclude one another and ours.

    python -m tests.interop.environments [--uv UV]

makes those that are missing or stale, below `share/interop/` of the environment that it runs in.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(sys.prefix) / "share" / "interop"
SCRIPTS = Path(__file__).parent / "clients"
MAKE_DEADLINE_S = 600.0


@dataclass(frozen=True)
class Client:
    """One client."""

    name: str
    script: str
    """Sends requests to a server, and prints the results as JSON."""
    requirements: tuple[str, ...]
    is_quick: bool = False
    """Whether it is tested wherever its environment is there."""
    has_password: bool = False
    """Whether it shows who it is, as alice with the password `secret`."""

    @property
    def folder(self) -> Path:
        return ROOT / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Holds the requirements once they are installed."""
        return self.folder / "requirements.txt"

    @property
    def is_there(self) -> bool:
        return self.stamp.exists() and self.stamp.read_text() == self.wanted

    @property
    def wanted(self) -> str:
        return "".join(f"{requirement}\n" for requirement in self.requirements)


CLIENTS = (
    Client("wes-service", "wes_service.py", ("wes-service==5.0",), is_quick=True),
    Client("gxy-wes", "gxy_wes.py", ("gxy-wes==0.1.0",), is_quick=True),
    Client("dnastack", "dnastack_wes.py", ("dnastack-client-library==3.1.240",)),
    Client("toil", "toil_wes.py", ("toil==9.6.0", "wes-service==5.0"), has_password=True),
)


def make(client: Client, uv: str) -> None:
    """Make a client's environment again."""
    sys.stderr.write(f"making the environment of {client.name} ...\n")
    for command in (
        ["venv", "--quiet", "--clear", "--python", sys.executable, str(client.folder)],
        ["pip", "install", "--quiet", "--python", str(client.python), *client.requirements],
    ):
        subprocess.run([uv, *command], check=True, timeout=MAKE_DEADLINE_S)
    client.stamp.write_text(client.wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    for client in CLIENTS:
        if not client.is_there:
            make(client, options.uv)


if __name__ == "__main__":
    main()
