"""Writes volume.json and timing.json: what the study's prototype computes, component by component, on a few streams.

    python3 detector/tests/reference/make.py PROTOTYPE_DIR [OUT_DIR [STEP_MINUTES [STEP_EVENTS]]]

PROTOTYPE_DIR holds volume.py, timing.py and fleets.py of the study on volume and timing evidence. OUT_DIR is this folder
if left out; the steps are how far apart samples lie (smaller ones help to find where an implementation starts to differ).

The prototype's two `run1` tell only their alarms, so traces.py repeats them line by line and shows what they hold on the
way. `prove` runs both side by side, compares alarms and the complete final state of streams cut at several places, and
nothing is written unless all of it agrees. README.md says what each field means.
"""

import json
import math
import os
import sys

import numpy as np

if len(sys.argv) < 2:
    sys.exit(__doc__)
sys.path.insert(0, sys.argv[1])
import fleets  # noqa: E402  the prototype, from the folder given
import timing  # noqa: E402
import volume  # noqa: E402
from traces import B, OPT, TAU2, U, TimingTrace, VolumeTrace, pot  # noqa: E402
from volume import basefn, llr  # noqa: E402

OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))
STEP_MINUTES = int(sys.argv[3]) if len(sys.argv) > 3 else 1201  # 20 h 1 min: all hours, all minutes
STEP_EVENTS = int(sys.argv[4]) if len(sys.argv) > 4 else 53
DAY = 1440
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def final_state(run1, *args):
    """All local variables of the prototype's run1, interpreted, as it returns."""
    state, code = {}, run1.py_func.__code__

    def watch(frame, event, _):
        if frame.f_code is code and event == "return":
            state.update(frame.f_locals)
        frame.f_trace_lines = False
        return watch if frame.f_code is code else None

    sys.settrace(watch)
    run1.py_func(*args)
    sys.settrace(None)
    return state


def prove(name, trace, run1, cuts, args, variants):
    """`trace(cut)` must hold what run1 does after `cut` steps, and must have alarmed when the compiled run1 did."""
    worst = 0.0
    for cut in cuts:
        got, want = trace(cut), final_state(run1, *args(cut))
        for field in got.STATE:
            a, b = np.asarray(getattr(got, field), float), np.asarray(want[field], float)
            error = np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-9))
            assert error < 1e-9, f"{name}: {field} differs by {error} after {cut} steps: {a} is not {b}"
            worst = max(worst, error)
    count, first = run1(*args(cuts[-1]))[:2]
    shown = []
    for variant, label, offset in variants:
        at = [t for t, v in got.alarms if v == variant]
        mine = len(at), (at[0] + offset if at else -1)
        assert mine == (count[variant], first[variant]), f"{name}: {label}: {mine} is not the prototype's"
        shown.append(f"{label} {mine[0]} (first {mine[1]})")
    if hasattr(got, "over"):
        assert (got.over.ravel() == count[9:15]).all(), f"{name}: minutes over a threshold"
        shown.append(f"minutes over, per group {got.over.ravel().tolist()}")
    print(f"{name}: equal to run1: {'; '.join(shown)}; {len(cuts)} states of {len(got.STATE)} fields within {worst:.0e}")
    return got


def number(x):
    """Seventeen digits or as many as identify the same f64; whole ones without a point."""
    x = float(x)
    return int(x) if x.is_integer() and abs(x) < 1e15 else x


def flat(record):
    """{"num": [1, 2], "t": 3} to {"num[0]": 1, "num[1]": 2, "t": 3}."""
    out = {}
    for name, value in record.items():
        if isinstance(value, (list, np.ndarray)):
            out |= flat({f"{name}[{i}]": x for i, x in enumerate(value)})
        else:
            out[name] = number(value)
    return out


def table(records):
    rows = [flat(r) for r in records]
    return {"columns": list(rows[0]), "rows": [list(r.values()) for r in rows]}


def volume_streams():
    """Name, counts per minute, prior rate per hour, and where the dense minutes start and how many they are."""

    def counts(kind, days, seed, base=None, cap=None):
        lam, meta = fleets.rate_path(kind, 1, days * DAY, seed)
        return fleets.counts(lam * (base / meta["base"][0]) if base else lam, meta, kind, seed)[0].astype(float)

    rng = np.random.default_rng(20)
    quiet = counts("poisson", 16, 1, 0.3)  # 16 days, as the anchor forgets from day 14 on
    quiet[7 * DAY + 200 : 9 * DAY] = rng.poisson(0.3 * 5, 2 * DAY - 200)  # x5 for two days: the anchored test
    season = counts("season", 10, 2, 2.0)
    at = 7 * DAY + 610
    season[at : at + 40] = rng.poisson(18.0, 40)
    season[9 * DAY + 600 : 9 * DAY + 780] = 0  # three hours of silence
    sessions = counts("sessions", 10, 3)
    return [("poisson", quiet, 30.0, 7 * DAY + 180, 60), ("season", season, 75.0, at - 50, 180),
            ("sessions", sessions, 20.0, 8 * DAY + 240, 180)]


def timing_streams():
    """Name, gaps as decimal text and the event after which an attack counts as found."""
    for kind, seed, attack, n in (("lognorm", 4, "machinegun", 3000), ("sessions", 5, "regular", 3000), ("cron", 6, "jitter", 1500)):
        rng = np.random.default_rng(seed)
        g = timing.gaps(kind, n, rng)
        g[-200:] = timing.attack(attack, 200, g[:-200], rng)
        yield kind, ["%.5g" % max(round(x, 6), 1e-3) for x in g], n - 200


def volume_reference():
    streams = []
    for name, counts, prior, dense, length in volume_streams():
        # The dense minutes show where an error starts; the samples around them say in which component.
        in_dense = "t r wh gu gd".split()
        samples, dense_rows = [], []

        def trace(cut):
            samples.clear(), dense_rows.clear()
            v = VolumeTrace(prior)
            for t, c in enumerate(counts[:cut]):
                record = {"t": t} | v.minute(c)
                for field in "b v bo bnx bpv L bi m mh ml Su Sd EX SX SXX cyc thr days NL EL EH pl hn dayn daym NA EA SA".split():
                    record[field] = np.copy(getattr(v, field)) if np.ndim(getattr(v, field)) else getattr(v, field)
                record |= {"N_sum": v.N.sum(), "E_sum": v.E.sum()}
                if t % STEP_MINUTES == STEP_MINUTES - 1 or t == dense - 1:
                    samples.append(record)
                if dense <= t < dense + length:
                    dense_rows.append({field: record[field] for field in in_dense})
            return v

        v = prove("volume, " + name, trace, volume.run1, [dense + 77, len(counts) - 1000, len(counts)],
                  lambda cut: (counts[:cut], prior, OPT, -1, B), [(5, "band e-CUSUM", 2), (6, "band+POT", 2), (8, "anchor", 2)])
        days = [dict(zip("t dayn daym r l NA EA SA".split(), row)) for row in v.days_rows]
        streams.append({
            "name": name, "prior_per_hour": prior, "counts": "".join(DIGITS[int(c)] for c in counts),
            "alarms": {label: [t for t, q in v.alarms if q == i] for i, label in ((5, "band"), (6, "band_pot"), (8, "anchor"))},
            "samples": table(samples), "dense": table(dense_rows), "days": table(days),
            "N": [number(x) for x in v.N], "E": [number(x) for x in v.E],
        })
    return {"streams": streams} | pure_cases()


def pure_cases():
    rng = np.random.default_rng(7)
    base = []
    for hw, prior, fill in ((0, 20.0, 0.0), (35, 20.0, 0.3), (9, 0.5, 1.0), (130, 300.0, 1.0), (167, 40.0, 0.8), (64, 3.0, 1.0)):
        E = np.where(rng.random(168) < fill, np.round(rng.uniform(0.2, 6, 168), 2), 0.0)
        N = rng.poisson(E * prior * np.exp(rng.standard_normal(168) * 0.7)).astype(float)
        args = dict(hw=hw, prior=prior, e0=24.0 if hw == 64 else 1.0, k1=1.0, k2=1.5, k3=1.5, tau2=TAU2, invr=[0.001, 0.1, 1.3][hw % 3])
        out = dict(zip(("mean", "variance", "other"), basefn(N, E, *args.values())))
        base.append({"N": [number(x) for x in N], "E": [number(x) for x in E]} | flat(args) | flat(out))
    grid = [(n, m, rho, r) for n, m in ((0, 1e-4), (0, 3), (1, 1e-4), (2, 0.7), (40, 30), (300, 12)) for rho in (0.1, 0.67, 1.5, 50.0)
            for r in (0.05, 1.7, 1000.0)]
    likelihood = [dict(n=n, m=m, rho=rho, r=r, llr=llr(n, m, rho, math.log(rho), r)) for n, m, rho, r in grid]
    rates = []
    for ex, sx, sxx, age, width in ((0, 0, 0, 0, 1), (0, 0, 0, 0, 60), (0, 0, 0, 10, 10), (3, 2.5, 4, 1, 1), (40, 36, 65, 30, 10),
                                    (200, 410, 1900, 56, 60), (12, 40, 300, 7, 1), (5, 0.4, 0.1, 400, 60)):
        lam, a, s, thr = pot(age, width, ex, sx, sxx)
        case = dict(EX=ex, SX=sx, SXX=sxx, days=age, W=width, lam=lam, a=a, s=s, thr=thr)
        tails = [(g, (1 + (g - U) / (a * s)) ** -a) for g in (U, 3.0, 7.0, thr, 40.0)]
        rates.append(case | {"G": [g for g, _ in tails], "tail": [x for _, x in tails], "R": [6 * lam * x for _, x in tails]})
    return {"base": base, "llr": table(likelihood), "pot": table(rates)}


def timing_reference():
    streams = []
    for name, gaps, since in timing_streams():
        times, samples = np.cumsum([float(g) for g in gaps]), []

        def trace(cut):
            samples.clear()
            v = TimingTrace(times[0])
            for i in range(1, cut):
                record = {"i": i} | v.event(times[i])
                if i % STEP_EVENTS == 0 or i in (1, 2, 3):
                    samples.append({k: np.copy(x) if np.ndim(x) else x for k, x in record.items()})
            return v

        v = prove("timing, " + name, trace, timing.run1, [51, 1000, len(gaps)],
                  lambda cut: (times[:cut], 0, 0.0, 1.0, 1), [(0, "nominal", 0), (1, "hist+POT", 0), (2, "phase+POT", 0)])
        streams.append({"name": name, "gaps": " ".join(gaps), "samples": table(samples),
                        "alarms": {label: [i for i, q in v.alarms if q == j] for j, label in enumerate(("nominal", "histogram", "phase"))}})
    return {"streams": streams}


if __name__ == "__main__":
    made = {"volume": volume_reference(), "timing": timing_reference()}
    for name, reference in made.items():
        text = json.dumps(reference, separators=(",", ":"), allow_nan=False)
        text = text.replace("],[", "],\n[")  # one row a line keeps differences readable
        path = os.path.join(OUT, name + ".json")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text + "\n")
        print(f"{path}: {len(text) / 1000:.0f} kB")
