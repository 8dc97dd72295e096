"""List the positions where most reads agree on another base than the reference."""

import argparse

from tables import read_table, write_table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("depth_table")
    parser.add_argument("output")
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--frequency", type=float, default=0.7)
    args = parser.parse_args()

    rows = []
    for row in read_table(args.depth_table):
        counts = {base: int(row[base]) for base in "ACGT"}
        depth = sum(counts.values())
        base = max(counts, key=counts.get)
        if depth >= args.depth and base != row["reference"] and counts[base] >= args.frequency * depth:
            rows.append((row["position"], row["reference"], base, depth, f"{counts[base] / depth:.2f}"))
    write_table(args.output, ["position", "reference", "variant", "depth", "frequency"], rows)
    print(f"{len(rows)} variants")


if __name__ == "__main__":
    main()
