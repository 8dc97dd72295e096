"""Write `generated/*.json`, and in `golden/` the recorded shape of each event type.

A change after which stored events could not be read is rejected: it needs a new event type or a new `SCHEMA` number.
"""

import sys
from pathlib import Path

import msgspec

from penstock_schemas.events import EVENT_TYPES
from penstock_schemas.json_schema import generated, incompatibilities, shape, shape_name, to_text


def write(folder: Path) -> list[str]:
    """Write every file below `folder`; return why a recorded shape was not replaced, one line for each such type."""
    rejected: list[str] = []
    (folder / "generated").mkdir(parents=True, exist_ok=True)
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    for name, document in generated().items():
        (folder / "generated" / name).write_text(to_text(document))
    for event_type in EVENT_TYPES.values():
        path = folder / "golden" / shape_name(event_type)
        current = shape(event_type)
        problems = incompatibilities(msgspec.json.decode(path.read_bytes()), current) if path.exists() else []
        if problems:
            rejected.append(f"{path.name}: {'; '.join(problems)}: give it a new SCHEMA number")
        else:
            path.write_text(to_text(current))
    return rejected


if __name__ == "__main__":
    sys.exit("\n".join(write(Path(__file__).parent)) or None)
