"""Recorded AWS attacks played into a simulated normal life of the same identities: found, and how soon.

    python3 tests/prove/cloudtrail.py target/prove.ndjson

The attacks are `fixtures/cloudtrail`; no life of these identities was recorded, so theirs is made up: seeded, three weeks of
a few ordinary tasks each, from an address and a user agent of their own. An identity has no task in which it changes what its
attack changes; what an attack merely reads, its victim may read every day. In the third week each attack is played once, at its
recorded pace: from inside (the victim's own address and user agent: behaviour alone) and from elsewhere (others; not the
recorded ones, which are scrambled, and name the tool). Rivals learn the first two weeks and see the endpoints alone, so both ways
are one to them; they have no budget, so they and Tocsin are put at what 1 % of the third week's own sessions reach. Figures of a simulated life say less than any of a real one; none has a
goal. Everybody is new on the first day, so the first week's false alarms are those of a fleet that nobody knows.
"""

import copy
import os
import random
import shutil
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from math import inf
from statistics import median_low

from common import STEP_UP, Rows, read, replay, wilson, write
from rivals import RIVALS

OUT = "target/prove-cloudtrail"
SEEDS = (1, 2, 3)
DAYS = 21
BEGIN = datetime(2024, 9, 2, tzinfo=timezone.utc)
# Ordinary work; `!` marks what changes something. Services and events as CloudTrail names them.
TASKS = [[tuple(step.split(":")) for step in task.split()] for task in (
    "ec2:DescribeInstances ec2:DescribeVolumes ec2:DescribeSecurityGroups ec2:DescribeInstanceAttribute",
    "ssm:DescribeInstanceInformation ssm:SendCommand! ssm:GetCommandInvocation ssm:GetCommandInvocation",
    "sts:GetCallerIdentity lambda:ListFunctions20150331 lambda:UpdateFunctionCode20150331v2! lambda:GetFunction20150331v2",
    "ec2:DescribeInstances autoscaling:DescribeAutoScalingGroups autoscaling:SetDesiredCapacity!",
    "ec2:DescribeImages ec2:RunInstances! ec2:DescribeInstances ec2:DescribeInstanceStatus",
    "ssm:DescribeParameters ssm:GetParameters secretsmanager:ListSecrets secretsmanager:GetSecretValue",
    "ec2:DescribeSnapshots ec2:CreateSnapshot! rds:DescribeDBSnapshots rds:CreateDBSnapshot!",
    "logs:DescribeLogGroups logs:FilterLogEvents monitoring:GetMetricData",
    "cloudformation:DescribeStacks cloudformation:CreateChangeSet! cloudformation:ExecuteChangeSet!",
    "s3:ListBuckets s3:GetBucketLocation s3:GetBucketPolicyStatus",
    "iam:ListUsers iam:ListRoles iam:GetRole cloudtrail:DescribeTrails",
    "sts:AssumeRole ec2:DescribeInstances ssm:DescribeInstanceInformation",
    "bedrock:ListFoundationModels bedrock:GetFoundationModelAvailability bedrock:InvokeModel",
)]
AGENTS = ("Boto3/1.34.131", "aws-sdk-go-v2/1.30.3 os/linux", "aws-cli/2.17.20 md/awscrt#0.21.2", "APN/1.0 Terraform/1.9.2")


def attacks():
    """Technique -> its records in order of time."""
    technique = {r["eventID"]: r["technique"] for r in read("fixtures/cloudtrail/labels.ndjson.gz")}
    records = defaultdict(list)
    for record in read("fixtures/cloudtrail/records.ndjson.gz"):
        records[technique[record["eventID"]]].append(record)
    return {t: sorted(records[t], key=lambda r: r["eventTime"]) for t in sorted(records)}


def identity(record):
    """The principal; sessions of a role are one."""
    who = record["userIdentity"]
    return (who.get("sessionContext", {}).get("sessionIssuer") or who)["arn"]


class Life:
    """One identity: where it calls from, what it does how often."""

    def __init__(self, rng, attack):
        self.rng, self.who = rng, attack[0]["userIdentity"]
        self.account = attack[0]["recipientAccountId"]
        self.here, self.elsewhere = ((f"{a}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}", agent)
                                     for a, agent in zip(rng.sample((18, 34, 52, 81, 193), 2), rng.sample(AGENTS, 2)))
        changes = {r["eventName"] for r in attack if not r.get("readOnly")}
        innocent = [task for task in TASKS if not any(event.rstrip("!") in changes for _, event in task)]
        self.tasks = rng.sample(innocent, 4)
        self.sessions_per_day = 5 * 6 ** rng.random()

    def records(self):
        at, rng = BEGIN, self.rng
        while True:
            at += timedelta(days=rng.expovariate(self.sessions_per_day))
            if at >= BEGIN + timedelta(days=DAYS):
                return
            task = rng.choices(self.tasks, (12, 6, 4, 3))[0]
            who, ts = self.session(at), at
            for service, event in task:
                # Whoever waits for something asks again.
                for _ in range(1 if event.endswith("!") else rng.choice((1, 1, 1, 2, 4))):
                    yield self.record(who, ts, service, event)
                    ts += timedelta(seconds=1 + rng.expovariate(1 / 4))

    def session(self, at):
        """A role's every session has a key of its own."""
        who = copy.deepcopy(self.who)
        if who.get("accessKeyId", "").startswith("ASIA"):
            who["accessKeyId"] = f"ASIAEXAMPLE{self.rng.randrange(10**9):09}"
            who.get("sessionContext", {}).get("attributes", {})["creationDate"] = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        return who

    def record(self, who, ts, service, event):
        return {
            "eventVersion": "1.08", "eventID": f"{self.rng.getrandbits(128):032x}", "eventTime": f"{ts:%Y-%m-%dT%H:%M:%SZ}",
            "eventSource": f"{service}.amazonaws.com", "eventName": event.rstrip("!"), "readOnly": not event.endswith("!"),
            "eventType": "AwsApiCall", "awsRegion": "eu-west-1", "recipientAccountId": self.account, "userIdentity": who,
            "sourceIPAddress": self.here[0], "userAgent": self.here[1],
        }


def lives(seed, techniques):
    of = defaultdict(list)
    for records in techniques.values():
        for record in records:
            of[identity(record)].append(record)
    return {who: Life(random.Random(f"{seed} {who}"), attack) for who, attack in of.items()}


def moved(records, begin, callers):
    """The attack at another time, and from where `callers` says."""
    first = datetime.fromisoformat(records[0]["eventTime"])
    for record in records:
        ts = begin + (datetime.fromisoformat(record["eventTime"]) - first)
        address, agent = callers(identity(record))
        yield {**record, "eventTime": f"{ts:%Y-%m-%dT%H:%M:%SZ}", "sourceIPAddress": address, "userAgent": agent}


def played(seed, techniques, callers, people, life):
    """Technique -> calls and minutes until the step-up budget is passed, infinite if never; the days on which an agent passed it; and
    the bits of every call."""
    rng = random.Random(f"{seed} attacks")
    begins = {t: BEGIN + timedelta(days=14, hours=4 * i + 4 * rng.random()) for i, t in enumerate(techniques)}
    hits = [r for t, begin in begins.items() for r in moved(techniques[t], begin, lambda who: callers(people[who]))]
    records = sorted(life + hits, key=lambda r: r["eventTime"])
    out = replay([write(f"{OUT}/records.ndjson", records)], f"{OUT}/scored")
    calls = read(f"{out}/calls.ndjson")
    bits = {call["event_id"]: call["bits"] for call in calls}
    over = {event for event, reached in bits.items() if reached >= STEP_UP}
    days = {(call["agent_id"], call["ts"][:10]) for call in calls if call["event_id"] in over}
    at = lambda record: datetime.fromisoformat(record["eventTime"])
    minutes = lambda records, record: (at(record) - at(records[0])).total_seconds() / 60
    found = lambda records: next(((i, minutes(records, r)) for i, r in enumerate(records, 1) if r["eventID"] in over), (inf, inf))
    return {t: found(records) for t, records in techniques.items()}, days, bits


def sessions(records):
    """What an identity calls without a pause of a quarter of an hour, as the rivals read calls."""
    all_of_them, latest = [], {}
    for record in sorted(records, key=lambda r: r["eventTime"]):
        who, ts = identity(record), datetime.fromisoformat(record["eventTime"])
        session, last = latest.get(who, (None, ts))
        if session is None or ts - last > timedelta(minutes=15):
            session = []
            all_of_them.append(session)
        latest[who] = session, ts
        session.append({"agent_id": who, "endpoint": f"{record['eventSource']}:{record['eventName']}", "event_id": record["eventID"]})
    return all_of_them


def over_usual(usual, week, odd, techniques):
    """How many techniques have a call over what one in a hundred of the week's own sessions reaches by `usual`."""
    peaks = sorted((max(usual(session)) for session in week), reverse=True)
    limit = peaks[len(peaks) // 100]
    return sum(any(max(odd(session)) > limit for session in sessions(records)) for records in techniques.values())


def report(rows, techniques, delays):
    for way, of in delays.items():
        found = [calls for runs in of.values() for calls, _ in runs if calls < inf]
        name = f"recorded AWS attacks in a SIMULATED life, {way}"
        # What happens to one technique in several lives is much alike, so the interval is that of so many techniques.
        rows.share(f"{name}, found, share", len(found) / len(SEEDS), len(of))
        rows.add(f"{name}, calls until found, median of those found", median_low(found), (min(found), max(found)))
    for technique, records in techniques.items():
        for way, of in delays.items():
            name = f"{technique} ({len(records)} calls) in a SIMULATED life, {way}"
            rows.share(f"{name}, found, share", sum(calls < inf for calls, _ in of[technique]), len(SEEDS))
            for what, delays_of in zip(("calls", "minutes"), zip(*of[technique])):
                value, low, high = (None if x == inf else round(x, 2) for x in (f(delays_of) for f in (median_low, min, max)))
                rows.add(f"{name}, median {what} until found", value, (low, high))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    rows, techniques = Rows(sys.argv[1], "python3 tests/prove/cloudtrail.py FILE"), attacks()
    delays = {"from inside": defaultdict(list), "from elsewhere": defaultdict(list)}
    false_days, agents, found_beside = [0, 0], 0, Counter()
    for seed in SEEDS:
        people = lives(seed, techniques)
        life = [record for who in people.values() for record in who.records()]
        third = f"{BEGIN + timedelta(weeks=2):%Y-%m-%d}"
        history = sessions(r for r in life if r["eventTime"] < third)
        week = sessions(r for r in life if r["eventTime"] >= third)
        for name, rival in RIVALS.items():
            odd = rival(history)
            found_beside[f"rival {name}"] += over_usual(odd, week, odd, techniques)
        # What stands over from an attack is none of the life's own.
        *_, quiet = played(seed, {}, None, people, life)
        for way, callers in (("from inside", lambda who: who.here), ("from elsewhere", lambda who: who.elsewhere)):
            found, days, bits = played(seed, techniques, callers, people, life)
            for technique, delay in found.items():
                delays[way][technique].append(delay)
            usual, odd = (lambda session, of=of: [of[call["event_id"]] for call in session] for of in (quiet, bits))
            found_beside[way] += over_usual(usual, week, odd, techniques)
        # No attack has begun by then, so both ways have the same days.
        for which in (0, 1):
            weeks = [f"{BEGIN + timedelta(weeks=w):%Y-%m-%d}" for w in (which, which + 1)]
            false_days[which] += sum(weeks[0] <= day < weeks[1] for _, day in days)
        agents += len(people)
    report(rows, techniques, delays)
    for who, n in found_beside.items():
        rows.share(f"recorded AWS attacks in a SIMULATED life, {who}, found at 1 % false sessions, share", n / len(SEEDS), len(techniques))
    for week, which in enumerate(("first", "second")):
        rows.add(f"SIMULATED life of AWS identities, {which} week, days over the step-up budget per agent in 90 days",
                 round(90 * false_days[week] / (7 * agents), 4),
                 [round(90 * share, 4) for share in wilson(false_days[week], 7 * agents)])


if __name__ == "__main__":
    main()
