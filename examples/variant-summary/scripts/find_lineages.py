"""Group samples with similar variants, and write one list of samples for each lineage."""

import argparse
from pathlib import Path

from tables import variants_of


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--similarity", type=float, default=0.5)
    args = parser.parse_args()

    samples = {Path(path).stem: set(variants_of(path)) for path in args.variants}
    lineages = []
    for sample, variants in sorted(samples.items()):
        near = [
            lineage
            for lineage in lineages
            if any(similarity(variants, samples[other]) >= args.similarity for other in lineage)
        ]
        lineages = [lineage for lineage in lineages if lineage not in near]
        lineages.append(sorted({sample}.union(*near)))
    lineages.sort(key=lambda members: (-len(members), members))
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, members in enumerate(lineages):
        name = f"lineage-{chr(ord('A') + number)}"
        (folder / f"{name}.txt").write_text("\n".join(members) + "\n")
        print(f"{name}: {', '.join(members)}")


def similarity(one, other):
    """Return the share of variants that two samples have in common."""
    return len(one & other) / len(one | other) if one | other else 1.0


if __name__ == "__main__":
    main()
