"""The generated pages of `docs/reference/`, and `.env.example`: each is a function of the code that it describes.

`python -m tools.reference` (`make docs`) writes them; `tests/docs/test_fresh.py` fails when one is stale.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.reference import (
    command_line,
    configuration,
    engine_parameters,
    environment_file,
    events,
    http_api,
    nats,
    snakemake_options,
    states,
)

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / "docs" / "reference"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "command-line.md": command_line.page,
    "configuration.md": configuration.page,
    "engine-parameters.md": engine_parameters.page,
    "events.md": events.page,
    "http-api.md": http_api.page,
    "nats.md": nats.page,
    "openapi.json": http_api.openapi,
    "snakemake-options.md": snakemake_options.page,
    "states.md": states.page,
}
"""By the name of its file."""
FILES: Final[Mapping[Path, Callable[[], str]]] = {
    **{FOLDER / name: page for name, page in PAGES.items()},
    ROOT / ".env.example": environment_file.page,
}
"""Everything that is generated."""


def write() -> tuple[Path, ...]:
    """Write all pages; return those that changed."""
    changed: list[Path] = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, page in FILES.items():
        text = page()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed.append(path)
    return tuple(changed)
