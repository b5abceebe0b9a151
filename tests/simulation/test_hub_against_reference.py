"""The real hub over SQLite beside the reference hub: same verdicts, same rows (laws L3, L6, L7)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec import Raw

from syncline import Hub, Table
from syncline.databases.sqlite import open_database
from syncline.model.actor import ANYONE
from syncline.protocol import messages as m
from syncline.protocol.body import delta, open_groups, seal
from syncline.testing.outside import outside
from syncline.testing.reference import Change, ReferenceHub, ReferenceReplica, Rules

COLUMNS = ("a", "b", "n", "t")
DEFAULTS = {"t": "made"}
"""Of a column that takes no NULL; devices leave it out of new rows."""
Rows = dict[int, dict[str, Any]]


def middle(base: Any, ours: Any, theirs: Any) -> Any:
    return (ours or 0) + (theirs or 0) - (base or 0)


POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"a": "lww", "b": "lww", "n": "sum"}, "newer_wins"),
    ({"a": "max", "b": "min", "n": "sum"}, "newer_wins"),
    ({"a": "hub_wins", "b": "replica_wins", "n": "sum"}, "delete_wins"),
    ({"a": "review", "b": middle, "n": "sum"}, "update_wins"),
]


class Pair:
    """Reference replicas that push to both hubs."""

    def __init__(self, seed: int, policies: dict[str, Any], deletes: str) -> None:
        self.rng, self.now = random.Random(seed), 1_000_000
        policies = {**policies, "t": "lww"}
        self.rules = Rules(policies, deletes, DEFAULTS)
        self.reference = ReferenceHub(self.rules)
        self.database = open_database("sqlite:///:memory:", clock=lambda: self.now)
        with outside(self.database) as connection:
            connection.execute(
                "CREATE TABLE item (id INTEGER PRIMARY KEY, a, b, n INTEGER NOT NULL DEFAULT 0,"
                " t TEXT NOT NULL DEFAULT 'made')"
            )
        table = Table(merge=policies, deletes=deletes, inserts="same_row")
        self.hub = Hub(self.database, {"item": table}, clock_tolerance=1e6)
        self.hub.init()
        self.fingerprint = self.hub.schema.fingerprint
        self.replicas = [ReferenceReplica(f"r{i}", self.rules) for i in range(self.rng.randint(2, 4))]
        self.skew = {replica.name: self.rng.choice([0, 0, -5, 7, 1000]) for replica in self.replicas}
        self.hlc = dict.fromkeys(self.skew, 0)
        self.tokens: dict[str, dict[int, str]] = {}
        for replica in self.replicas:
            answer: Any = self.hub.handle(ANYONE, m.Register(replica.name))
            self.tokens[replica.name] = {0: answer.watermark}

    def tick(self, replica: ReferenceReplica) -> int:
        wall = (self.now + self.skew[replica.name]) << 16
        self.hlc[replica.name] = max(self.hlc[replica.name] + 1, wall)
        return self.hlc[replica.name]

    def values(self) -> dict[str, Any]:
        return {"a": self.rng.randint(1, 99), "b": self.rng.randint(1, 99), "n": self.rng.randint(1, 9)}

    def edit(self) -> None:
        self.now += self.rng.randint(0, 2)
        replica, key = self.rng.choice(self.replicas), self.rng.randint(1, 3)
        if key not in replica.rows:
            replica.write("I", key, {**self.values(), "t": None}, self.tick(replica))
        elif self.rng.random() < 0.25:
            replica.write("D", key, {}, self.tick(replica))
        else:
            values = {**self.values(), "t": f"t{self.rng.randint(1, 9)}"}
            some = dict(self.rng.sample(sorted(values.items()), self.rng.randint(1, 2)))
            changed = {k: v for k, v in some.items() if replica.rows[key][k] != v}
            if changed:
                replica.write("U", key, changed, self.tick(replica))

    def edit_centre(self) -> None:
        """A direct write, stamped as the real hub's trigger stamps it."""
        self.now += 1
        key = self.rng.randint(1, 3)
        values = self.values()
        with outside(self.database) as connection:
            if key not in self.reference.rows:
                op = "I"
                connection.execute(
                    "INSERT INTO item (id, a, b, n) VALUES (?, ?, ?, ?)", (key, *values.values())
                )
                values |= DEFAULTS
            elif self.rng.random() < 0.25:
                op, values = "D", {}
                connection.execute("DELETE FROM item WHERE id = ?", (key,))
            else:
                op, values = "U", {"b": 1000 + self.rng.randint(1, 99)}
                if self.reference.rows[key]["b"] == values["b"]:
                    return
                connection.execute("UPDATE item SET b = ? WHERE id = ?", (values["b"], key))
            (hlc,) = connection.execute("SELECT hlc FROM _sync_hub_log ORDER BY seq DESC LIMIT 1").fetchone()
        self.reference.direct(op, key, values, hlc)

    def sync(self) -> None:
        replica = self.rng.choice(self.replicas)
        push = replica.freeze()
        if push and self.rng.random() < 0.8:
            expected = self.reference.push(replica.name, push[0], push[1])
            assert self.push(replica, push[0], push[1], self.rng.random() < 0.5) == expected
            if self.rng.random() < 0.7:
                replica.verdict(expected)
        if self.rng.random() < 0.8:
            self.pull(replica)

    def push(self, replica: ReferenceReplica, number: int, changes: list[Change], eager: bool) -> Any:
        bases = sorted({c.base for c in changes} | {b for c in changes for _, _, b, _ in c.columns.values()})
        tokens = [self.tokens[replica.name][base] for base in bases]
        groups = [_group(change, bases) for change in changes]
        body, digest = seal(groups)
        details = [_detail(change) for change in changes]
        request = m.Push(
            replica.name, number, self.fingerprint, tokens, digest, Raw(body), details if eager else []
        )
        verdict: Any = self.hub.handle(ANYONE, request)
        if verdict.wanted:
            wanted = {key[0] for _, key in verdict.wanted}
            chosen = [detail for detail in details if detail.key[0] in wanted]
            verdict = self.hub.handle(
                ANYONE,
                m.Push(replica.name, number, self.fingerprint, tokens, digest, Raw(body), chosen),
            )
        assert not verdict.wanted and not verdict.rejected
        return _rows(open_groups(verdict.overrides, verdict.digest))

    def pull(self, replica: ReferenceReplica) -> None:
        rows, touched, watermark, newest = self.reference.pull(replica.name, replica.watermark)
        token = self.tokens[replica.name][replica.watermark]
        answer: Any = self.hub.handle(ANYONE, m.Pull(token, 1000, replica.name, self.fingerprint))
        found = _rows(open_groups(answer.groups, answer.digest)) if answer.watermark else {}
        expected = {
            key: None if row is None else {c: row[c] for c in COLUMNS if c in touched[key]}
            for key, row in rows.items()
        }
        assert found == expected
        replica.apply(rows, touched, watermark)
        self.tokens[replica.name][watermark] = answer.watermark or token
        self.hlc[replica.name] = max(self.hlc[replica.name], newest)

    def check(self) -> None:
        with outside(self.database) as connection:
            rows = {
                row[0]: dict(zip(COLUMNS, row[1:], strict=True))
                for row in connection.execute("SELECT * FROM item")
            }
        assert rows == self.reference.rows


def _group(change: Change, bases: list[int]) -> m.PushGroup:
    columns: list[int] = []
    values: list[Any] = []
    column_hlc, column_base = None, None
    if change.kind in "IR":
        assert change.image is not None
        columns, values = [0, 1, 2, 3], [change.image[c] for c in COLUMNS]
    elif change.kind == "U":
        columns = [COLUMNS.index(c) for c in change.columns]
        values = [v for v, _, _, _ in change.columns.values()]
        column_hlc = [[h for _, h, _, _ in change.columns.values()]]
        column_base = [[bases.index(b) for _, _, b, _ in change.columns.values()]]
    return m.PushGroup(
        0, change.kind, columns, [[change.key, *values]], delta([change.hlc]), [bases.index(change.base)],
        column_hlc, column_base,
    )  # fmt: skip


def _detail(change: Change) -> m.Detail:
    columns = [COLUMNS.index(c) for c in change.columns]
    before = [b for _, _, _, b in change.columns.values()]
    image = None if change.image is None else [change.image[c] for c in COLUMNS]
    return m.Detail(0, [change.key], columns, before, image)


def _rows(groups: list[m.Group]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for group in groups:
        for key, *values in group.rows:
            names = [COLUMNS[column] for column in group.columns]
            found[key] = None if group.op == "D" else dict(zip(names, values, strict=True))
    return found


@pytest.mark.parametrize(("policies", "deletes"), POLICIES)
def test_the_hub_answers_every_push_and_pull_as_the_reference_does_l6(
    policies: dict[str, Any], deletes: str
) -> None:
    for seed in range(100):
        pair = Pair(seed, policies, deletes)
        for _ in range(pair.rng.randint(5, 50)):
            pair.rng.choice([pair.edit, pair.edit, pair.edit_centre, pair.sync, pair.sync])()
            pair.check()
