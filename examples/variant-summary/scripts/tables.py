"""Reading and writing what the steps hand to one another."""

import csv
from pathlib import Path


def read_fasta(path):
    """Return (name, sequence) of every record."""
    records, name, lines = [], None, []
    for line in Path(path).read_text().splitlines():
        if line.startswith(">"):
            if name is not None:
                records.append((name, "".join(lines)))
            name, lines = line[1:].split()[0], []
        else:
            lines.append(line.strip().upper())
    if name is None:
        raise SystemExit(f"{path}: no FASTA record in it")
    records.append((name, "".join(lines)))
    return records


def read_table(path):
    """Return the rows of a table with a header, as dictionaries."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def write_table(path, header, rows):
    """Write rows below a header."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def variants_of(path):
    """Return the variants of a sample, as `C241T`, in order of position."""
    return [f"{row['reference']}{row['position']}{row['variant']}" for row in read_table(path)]


def position_of(variant):
    """Return the position in `C241T`."""
    return int(variant[1:-1])
