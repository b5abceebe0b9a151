"""Decisions equal the reference's, for random rows, logs and changes under every policy (law L6)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline import Table
from syncline.merge.decide import Base, Decision, Entry, Sent, decide
from syncline.merge.policies import COLUMN_POLICIES, DELETE_POLICIES
from syncline.merge.rules import resolve
from syncline.model.schema import ColumnSchema, TableSchema
from syncline.model.values import EVERYTHING, Value, mask_of
from syncline.testing.reference import Change, ReferenceHub, Rules
from syncline.testing.reference import Entry as LogEntry

NAMES = ("a", "b", "c")
TABLE = TableSchema(
    "t",
    (ColumnSchema("id", "integer", "INTEGER"), *(ColumnSchema(name, "integer", "INTEGER") for name in NAMES)),
    ("id",),
)
KEY = 1
VALUES = st.integers(0, 3)
HLCS = st.integers(1, 6)
POLICIES = st.sampled_from([*COLUMN_POLICIES, lambda base, ours, theirs: 9])
WRITES = st.tuples(
    st.sampled_from("IUUD"),
    st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1),
    HLCS,
    st.sampled_from(["hub", "me", "zed"]),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[ReferenceHub, Change]:
    """A hub with a log, and a change that replica `me` might send to it."""
    policies = {name: draw(POLICIES) for name in NAMES}
    deletes = draw(st.sampled_from(list(DELETE_POLICIES)))
    hub = ReferenceHub(Rules(policies, deletes))
    for op, values, hlc, origin in draw(st.lists(WRITES, max_size=6)):
        if (op == "I") == (KEY in hub.rows):
            continue
        row = dict.fromkeys(NAMES, 0) | values
        hub.direct(op, KEY, row if op == "I" else values, hlc)
        hub.log[-1] = replace(hub.log[-1], origin=origin)
    base = draw(st.integers(0, len(hub.log)))
    kind = draw(st.sampled_from("IRUUUD-"))
    image = {name: draw(VALUES) for name in NAMES} if kind in "IRU" else None
    columns = {}
    if kind == "U":
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
            own = draw(st.integers(base, len(hub.log)))
            columns[name] = ((image or {})[name], draw(HLCS), own, draw(VALUES))
    hlc = max((stamp for _, stamp, _, _ in columns.values()), default=draw(HLCS))
    return hub, Change(KEY, kind, base, hlc, columns, image)


def decision_of(hub: ReferenceHub, change: Change) -> Decision:
    """What the engine makes of the change."""
    rules = resolve(TABLE, Table(hub.rules.policies, hub.rules.deletes, inserts="same_row"))
    indices = sorted(NAMES.index(name) for name in change.columns)
    rivals = []
    for place, entry in enumerate(hub.log):
        if place < change.base or entry.origin == "me":
            continue
        mask = mask_of(NAMES.index(name) for name in entry.columns)
        unseen = mask_of(i for i in indices if change.columns[NAMES[i]][2] <= place)
        rivals.append(Entry(entry.op, mask, (entry.hlc, entry.origin), unseen))
    image: list[Value] | None = None if change.image is None else [change.image[name] for name in NAMES]
    before: dict[int, Value] = {i: change.columns[NAMES[i]][3] for i in indices}
    if change.kind == "U":
        values = [change.columns[NAMES[i]][0] for i in indices]
        stamps = [change.columns[NAMES[i]][1] for i in indices]
    else:
        indices, values, stamps = ([0, 1, 2], image or [], []) if change.kind in "IR" else ([], [], [])
    sent = Sent(
        change.kind,
        indices,
        values,
        change.hlc,
        stamps,
        "me",
        Base(before, None if image is None else dict(enumerate(image))),
    )
    present = hub.rows.get(KEY)
    row: list[Value] | None = None if present is None else [present[name] for name in NAMES]
    return decide(TABLE, rules, sent, None if row is None else dict(enumerate(row)), rivals)


def _mask(entry: LogEntry) -> int:
    return mask_of(NAMES.index(name) for name in entry.columns) if entry.op == "U" else EVERYTHING


@settings(max_examples=700, deadline=None)
@given(histories())
def test_a_decision_is_the_references(history: tuple[ReferenceHub, Change]) -> None:
    hub, change = history
    before, length = deepcopy(hub.rows), len(hub.log)
    decision = decision_of(hub, change)
    overrides = hub.push("me", 1, [change])
    assert decision.override == (KEY in overrides)
    written = {NAMES[i]: value for i, value in zip(decision.columns, decision.values, strict=True)}
    if decision.form == "delete":
        assert KEY not in hub.rows
    elif decision.form == "insert":
        assert KEY not in before and hub.rows[KEY] == written
    else:
        after = before if decision.form is None else {KEY: {**before[KEY], **written}}
        assert hub.rows == after
    recorded = [(_mask(entry), entry.hlc) for entry in hub.log[length:]]
    assert decision.entries == recorded
    if recorded:
        assert decision.op == hub.log[length].op


@settings(max_examples=200, deadline=None)
@given(histories())
def test_a_losing_or_contested_value_always_leaves_a_note(history: tuple[ReferenceHub, Change]) -> None:
    """L2: every edit that lost is kept with both values and the base."""
    hub, change = history
    if change.kind != "U" or KEY not in hub.rows:
        return
    decision = decision_of(hub, change)
    noted = {note.column for note in decision.notes}
    for name, (value, _, base, _) in change.columns.items():
        index = NAMES.index(name)
        touched = any(name in e.columns and e.origin != "me" for e in hub.log[base:])
        lost = index not in decision.columns and hub.rows[KEY][name] != value
        if touched and lost:
            assert index in noted
