"""Find the variants that mark a lineage: all of its samples have them, and no other sample has."""

import sys
from pathlib import Path

from tables import position_of, variants_of, write_table


def main():
    members_file, output, *paths = sys.argv[1:]
    members = Path(members_file).read_text().split()
    samples = {Path(path).stem: set(variants_of(path)) for path in paths}
    shared = set.intersection(*(samples[member] for member in members))
    foreign = set().union(*(variants for sample, variants in samples.items() if sample not in members))
    marks = sorted(shared - foreign, key=position_of)
    lineage = Path(members_file).stem
    write_table(
        output,
        ["lineage", "sample", "variants", "marks"],
        [(lineage, member, len(samples[member]), " ".join(marks)) for member in members],
    )
    print(f"{lineage}: {len(members)} samples, marked by {' '.join(marks) or 'nothing'}")


if __name__ == "__main__":
    main()
