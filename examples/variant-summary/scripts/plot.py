"""Draw every sample as a line along the reference, with its variants on it, in the colour of its lineage."""

import sys
from html import escape

from tables import read_fasta, read_table

COLOURS = ["#2a6fbb", "#d1495b", "#3c8d5a", "#8a5fbf", "#b7791f", "#44797b"]
WIDTH, LEFT, RIGHT, TOP, ROW = 860, 170, 30, 70, 34


def main():
    output, title, reference_path, table_path, *report_paths = sys.argv[1:]
    [(_, reference), *_] = read_fasta(reference_path)
    variants = {}
    for row in read_table(table_path):
        variants.setdefault(row["sample"], []).append(row)
    rows = [row for path in report_paths for row in read_table(path)]
    lineages = list(dict.fromkeys(row["lineage"] for row in rows))
    height = TOP + ROW * len(rows) + 50

    def x(position):
        return LEFT + (WIDTH - LEFT - RIGHT) * (position - 1) / (len(reference) - 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="20" y="32" font-size="20">{escape(title)}: variants along the reference</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        colour = COLOURS[lineages.index(row["lineage"]) % len(COLOURS)]
        marks = set(row["marks"].split())
        parts.append(f'<text x="20" y="{y + 5:.0f}" font-size="14" fill="{colour}">{escape(row["sample"])}</text>')
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#bbb" stroke-width="2"/>')
        for found in variants.get(row["sample"], []):
            name = f"{found['reference']}{found['position']}{found['variant']}"
            fill = colour if name in marks else "white"
            parts.append(
                f'<circle cx="{x(int(found["position"])):.1f}" cy="{y}" r="6" fill="{fill}" stroke="{colour}" '
                f'stroke-width="2"><title>{escape(row["sample"])} {name}, depth {found["depth"]}</title></circle>'
            )
    axis = TOP + ROW * len(rows) + 10
    for position in range(1, len(reference) + 1, max(1, len(reference) // 6)):
        parts.append(
            f'<text x="{x(position):.1f}" y="{axis + 12}" font-size="11" text-anchor="middle">{position}</text>'
        )
    parts.append(
        f'<text x="{LEFT}" y="{axis + 30}" font-size="11" fill="#555">filled: marks the lineage; open: shared '
        "with others or private</text>"
    )
    parts.append("</svg>\n")
    with open(output, "w") as file:
        file.write("\n".join(parts))
    print(f"drew {len(rows)} samples in {len(lineages)} lineages")


if __name__ == "__main__":
    main()
