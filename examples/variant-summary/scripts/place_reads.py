"""Place reads on a reference by trying every position on both strands, and count the bases at each position."""

import argparse

from tables import read_fasta, write_table

BASES = "ACGT"
COMPLEMENT = str.maketrans(BASES, "TGCA")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reads")
    parser.add_argument("reference")
    parser.add_argument("output")
    parser.add_argument("--mismatches", type=int, default=6)
    args = parser.parse_args()

    [(_, reference), *_] = read_fasta(args.reference)
    reads = read_fasta(args.reads)
    counts = [dict.fromkeys(BASES, 0) for _ in reference]
    placed = 0
    for number, (_, read) in enumerate(reads, 1):
        found = best_place(read, reference, args.mismatches)
        if found:
            placed += 1
            start, oriented = found
            for offset, base in enumerate(oriented):
                if base in BASES:
                    counts[start + offset][base] += 1
        if number % 60 == 0:
            print(f"{number} of {len(reads)} reads", flush=True)
    print(f"placed {placed} of {len(reads)} reads")
    if not placed:
        raise SystemExit(f"{args.reads}: no read fits {args.reference}: is it the right reference?")
    rows = [(at + 1, base, *(counts[at][b] for b in BASES)) for at, base in enumerate(reference)]
    write_table(args.output, ["position", "reference", *BASES], rows)


def best_place(read, reference, allowed):
    """Return the start and the oriented read with the fewest mismatches, or None when there are too many."""
    best, fewest = None, allowed + 1
    for oriented in (read, read.translate(COMPLEMENT)[::-1]):
        for start in range(len(reference) - len(oriented) + 1):
            mismatches = 0
            for offset, base in enumerate(oriented):
                if reference[start + offset] != base:
                    mismatches += 1
                    if mismatches >= fewest:
                        break
            else:
                best, fewest = (start, oriented), mismatches
    return best


if __name__ == "__main__":
    main()
