"""Write the generated pages of `docs/reference/`, and `.env.example`."""

import sys

from tools.reference import ROOT, write


def main() -> None:
    """Write them, and name those that changed."""
    for path in write():
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
