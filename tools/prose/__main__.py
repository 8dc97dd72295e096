"""Check the prose of the repository. Exit code 1 when a file has more findings than its budget."""

import argparse
import sys

from tools.prose import ratchet
from tools.prose.findings import ROOT, all_findings


def main(arguments: list[str]) -> int:
    """Check, list every finding (`--all`, of some paths only when given), or record fewer findings (`--ratchet`)."""
    parser = argparse.ArgumentParser(prog="python -m tools.prose", description=main.__doc__)
    parser.add_argument("paths", nargs="*", help="list only files whose path begins so")
    parser.add_argument("--all", action="store_true", help="list every finding, those within the budget too")
    parser.add_argument("--ratchet", action="store_true", help="record the present numbers, which must not be larger")
    chosen = parser.parse_args(arguments)
    found = all_findings(ROOT)
    counts = ratchet.counts(found)
    if chosen.ratchet:
        ratchet.write(counts)
        return 0
    over = set(counts) if chosen.all or chosen.paths else set(ratchet.files_over_budget(counts, ratchet.read()))
    listed = [
        item for item in found if item.path in over and (not chosen.paths or item.path.startswith(tuple(chosen.paths)))
    ]
    for finding in listed:
        print(finding)
    if chosen.all or chosen.paths or not listed:
        return 0
    print(
        "prose: too many words that the project does not use; docs/explanation/glossary.md has its terms",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
