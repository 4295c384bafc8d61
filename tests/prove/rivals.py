"""Simple rivals for recorded agents. Each learns the sessions of a history and then says of a session how odd it is call by call.

They learn nothing from what they judge: most of it is attacks, and they have no gate. The trees are written out from their
papers, so that nothing has to be fetched.
"""

import random
from collections import Counter, defaultdict
from math import log, log2


def kinds(history):
    """How many endpoints there may be: those seen, and the next."""
    return len({call["endpoint"] for session in history for call in session}) + 1


def own_frequency(history):
    """How rare the endpoint is among the agent's own calls, add-half."""
    own, half = defaultdict(Counter), 0.5 * kinds(history)
    for session in history:
        for call in session:
            own[call["agent_id"]][call["endpoint"]] += 1

    def odd(call):
        calls = own[call["agent_id"]]
        return -log2((calls[call["endpoint"]] + 0.5) / (calls.total() + half))

    return lambda session: [odd(call) for call in session]


def markov(history):
    """First-order chain of the agent's own with thirty calls' worth of its world's behind it, add-tenth.

    The kindest of about 20 variants by these very labels; and it is told of which world an agent is, which Tocsin is not.
    """
    own, world, tenth = defaultdict(Counter), defaultdict(Counter), 0.1 * kinds(history)
    world_of = lambda call: call["agent_id"].split("/")[0]
    steps = lambda session: zip([None, *(call["endpoint"] for call in session)], session)
    for session in history:
        for before, call in steps(session):
            own[call["agent_id"], before][call["endpoint"]] += 1
            world[world_of(call), before][call["endpoint"]] += 1

    def odd(before, call):
        mine, behind = own[call["agent_id"], before], world[world_of(call), before]
        prior = (behind[call["endpoint"]] + 0.1) / (behind.total() + tenth)
        return -log2((mine[call["endpoint"]] + 30 * prior) / (mine.total() + 30))

    return lambda session: [odd(before, call) for before, call in steps(session)]


def counted(history):
    """Turns a session into points, one after each call: how often each endpoint came so far, up to four times, in 0 to 1."""
    place = {name: i for i, name in enumerate(sorted({call["endpoint"] for session in history for call in session}))}

    def points(session):
        point = [0.0] * (len(place) + 1)
        for call in session:
            i = place.get(call["endpoint"], len(place))
            point[i] = min(1.0, point[i] + 0.25)
            yield tuple(point)

    return points, [list(points(session))[-1] for session in history]


def isolation_forest(history, trees=100, sample=256):
    """Liu, Ting and Zhou (2008), with the sizes of the paper."""
    points, known = counted(history)
    rng = random.Random(1)
    usual = lambda n: 0.0 if n < 2 else 2 * (log(n - 1) + 0.5772156649) - 2 * (n - 1) / n

    def grow(rows, left):
        spread = [d for d in range(len(known[0])) if len({row[d] for row in rows}) > 1]
        if not left or not spread:
            return usual(len(rows))
        d = rng.choice(spread)
        at = rng.uniform(min(row[d] for row in rows), max(row[d] for row in rows))
        return d, at, grow([r for r in rows if r[d] < at], left - 1), grow([r for r in rows if r[d] >= at], left - 1)

    def depth(tree, point):
        steps = 0
        while isinstance(tree, tuple):
            d, at, low, high = tree
            tree, steps = (low if point[d] < at else high), steps + 1
        return steps + tree

    forest = [grow(rng.sample(known, sample), 8) for _ in range(trees)]
    return lambda session: [2 ** -(sum(depth(t, p) for t in forest) / trees / usual(sample)) for p in points(session)]


def half_space_trees(history, trees=25, levels=15, thin=25):
    """Tan, Ting and Liu (2011), with the sizes of the paper; the history is one window."""
    points, known = counted(history)
    rng, width = random.Random(1), len(known[0])

    def ground():
        at = rng.random()
        half = 2 * max(at, 1 - at)
        return at - half, at + half

    forest = [(rng.choices(range(width), k=2**levels), [ground() for _ in range(width)], Counter()) for _ in range(trees)]

    def path(tree, point):
        splits, grounds, _ = tree
        at, grounds = 1, list(grounds)
        for level in range(levels):
            yield at, level
            d = splits[at]
            low, high = grounds[d]
            middle = (low + high) / 2
            grounds[d] = (middle, high) if point[d] >= middle else (low, middle)
            at = 2 * at + (point[d] >= middle)

    def mass(tree, point):
        for at, level in path(tree, point):
            if tree[2][at] <= thin:
                break
        return tree[2][at] * 2**level

    for point in known:
        for tree in forest:
            tree[2].update(at for at, _ in path(tree, point))
    return lambda session: [-log2(1 + sum(mass(tree, point) for tree in forest)) for point in points(session)]


RIVALS = {
    "own frequency": own_frequency,
    "first-order Markov": markov,
    "isolation forest": isolation_forest,
    "half-space trees": half_space_trees,
}
