"""The folders of the recorded and the generated schemas."""

from pathlib import Path
from typing import Final

SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
GOLDEN: Final = SCHEMAS / "golden"
GENERATED: Final = SCHEMAS / "generated"
