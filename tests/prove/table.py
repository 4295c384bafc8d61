"""Collects the rows that tests and benches wrote (one JSON object a line) into one table and one JSON file.

    python3 tests/prove/table.py target/prove.ndjson target/prove.json

A row is `name, value, low, high, goal, holds, command`: what was measured, the value and the range it lay in over its
repetitions (a delay that has no end is null), what was wanted (empty where the figure is only printed), whether it holds, and the command that measures it
alone. A row whose name comes twice is a mistake: two figures would claim to be the same one.
"""

import json
import sys

FIELDS = ["name", "value", "low", "high", "goal", "holds", "command"]


def read(path):
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    for row in rows:
        if sorted(row) != sorted(FIELDS):
            sys.exit(f"{path}: a row must hold exactly {', '.join(FIELDS)}: {row}")
    rows.sort(key=lambda row: row["name"])
    doubled = sorted({a["name"] for a, b in zip(rows, rows[1:]) if a["name"] == b["name"]})
    if doubled:
        sys.exit(f"{path}: more than one row is called {', '.join(doubled)}")
    return [{field: row[field] for field in FIELDS} for row in rows]


def cell(value):
    if value is True:
        return "yes"
    if value is False:
        return "NO"
    if value is None:
        return "never"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(rows):
    table = [FIELDS] + [[cell(row[field]) for field in FIELDS] for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(FIELDS))]
    numbers = {1, 2, 3}
    for line in table:
        print("  ".join(t.rjust(w) if i in numbers else t.ljust(w) for i, (t, w) in enumerate(zip(line, widths))).rstrip())
    short = [row["name"] for row in rows if not row["holds"]]
    print(f"\n{len(rows)} rows, {len(short)} fall short" + (f": {', '.join(short)}" if short else ""))


def main():
    rows = read(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(rows, out, indent=1)
        out.write("\n")
    show(rows)


if __name__ == "__main__":
    main()
