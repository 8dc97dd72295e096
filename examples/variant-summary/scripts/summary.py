"""Write the result in words; the first line is the summary."""

import sys

from tables import read_table


def main():
    output, title, table_path, *report_paths = sys.argv[1:]
    lineages = {}
    for path in report_paths:
        for row in read_table(path):
            lineages.setdefault(row["lineage"], []).append(row)
    samples = sum(map(len, lineages.values()))
    largest = max(lineages.values(), key=len)
    together = ", ".join(row["sample"] for row in largest)
    word = "lineage" if len(lineages) == 1 else "lineages"
    lines = [
        f"{title}: {samples} samples fall into {len(lineages)} {word}; the largest is {together}.",
        f"{len(read_table(table_path))} variants were found in all.",
        "",
    ]
    for lineage, rows in sorted(lineages.items()):
        marks = rows[0]["marks"] or "no unique variant"
        lines.append(f"{lineage}: {', '.join(row['sample'] for row in rows)}; marked by {marks}")
    with open(output, "w") as file:
        file.write("\n".join(lines) + "\n")
    print(lines[0])


if __name__ == "__main__":
    main()
