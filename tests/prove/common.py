"""What the scripts of `make prove` share: the released program, its output files, rows and intervals."""

import gzip
import json
import math
import os
import subprocess

FIXTURES = "fixtures/agent-traces"
TOCSIN = "target/release/tocsin"
# What a level must reach, in bits: minus log2 of the recurrences a day that the default budgets accept.
WATCH, STEP_UP = math.log2(7), math.log2(90)


def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write(path, records):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
    return path


def replay(inputs, out, stdin=None):
    """Scores the inputs in their order, as a user would; answers with the folder of results."""
    shell = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}
    command = [TOCSIN, "replay", "--json", "--out", out, *inputs]
    done = subprocess.run(command, input=stdin, env=shell, check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    if report["rejects"] or report["duplicates"]:
        raise SystemExit(f"{inputs}: {report['rejects']} records rejected, {report['duplicates']} duplicates")
    return out


def wilson(hits, n):
    """95 % interval of a share (Wilson, 1927)."""
    z, p = 1.96, hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


class Rows:
    """Appends rows to the file that `table.py` reads, and prints each."""

    def __init__(self, path, command):
        self.path, self.command = path, command

    def add(self, name, value, interval, goal="", holds=True):
        row = dict(zip(("name", "value", "low", "high", "goal", "holds"), (name, value, *interval, goal, holds)))
        print(f"{name}: {value} ({interval[0]} to {interval[1]}){goal and f', {goal}: {holds}'}", flush=True)
        with open(self.path, "a", encoding="utf-8") as rows:
            rows.write(json.dumps({**row, "command": self.command}) + "\n")

    def share(self, name, hits, n, within=None):
        """`within`: the least and the most that is wanted."""
        least, most = within or (0, 1)
        goal = "" if within is None else f"{least} to {most}" if least else f"at most {most}"
        self.add(name, round(hits / n, 4), [round(x, 4) for x in wilson(hits, n)], goal, least <= hits / n <= most)
