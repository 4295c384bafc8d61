"""How long the two commands take, cold and warm, in a clean clone: what somebody who has just cloned waits for.

    python3 tests/prove/times.py target/prove.ndjson

Clones what is committed into a scratch folder, so parts are fetched and everything is built anew; the crates that cargo has
downloaded before stay where they are. Appends one row a figure.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

# Seconds: a cold demo in a quarter of an hour, a warm one in a minute, a cold test run in half an hour, all on two cores.
GOALS = {("demo", "cold"): 900, ("demo", "warm"): 60, ("test", "cold"): 1800, ("test", "warm"): None}


def seconds(clone, command):
    began = time.monotonic()
    arguments = ["make", command] + (["ARGS=--auto"] if command == "demo" else [])
    # As a newcomer's shell: not the long versions, not this run's rows, not this make's own state.
    shell = {k: v for k, v in os.environ.items() if not k.startswith(("TOCSIN_", "MAKE", "MFLAGS", "CARGO_TARGET"))}
    done = subprocess.run(arguments, cwd=clone, env=shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.stdout.buffer.write(done.stdout[-20_000:])
        sys.exit(f"make {command} failed in a clean clone")
    return round(time.monotonic() - began, 1)


def row(command, state, value):
    goal = GOALS[command, state]
    return {
        "name": f"make {command}, {state}, seconds",
        "value": value,
        "low": value,
        "high": value,
        "goal": f"at most {goal}" if goal else "",
        "holds": goal is None or value <= goal,
        "command": "python3 tests/prove/times.py FILE",
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        clone = f"{folder}/tocsin"
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        with open(sys.argv[1], "a", encoding="utf-8") as rows:
            for command in ("demo", "test"):
                for state in ("cold", "warm"):
                    rows.write(json.dumps(row(command, state, seconds(clone, command))) + "\n")
                    rows.flush()


if __name__ == "__main__":
    main()
