"""Any push over tables with constraints: what can be written is, what cannot is rejected with what points at
it, each with its reason (laws L2 and L9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncline.hub.contract.codes import remedy_of
from syncline.protocol import messages as m
from syncline.protocol.body import delta, undelta
from tests.unit.hub.desk import Desk, overrides

SCRIPT = """
CREATE TABLE unit (
    id INTEGER PRIMARY KEY, above INTEGER REFERENCES unit, code TEXT UNIQUE, n INTEGER NOT NULL CHECK (n >= 0)
);
CREATE TABLE part (id INTEGER PRIMARY KEY, unit INTEGER REFERENCES unit);
INSERT INTO unit VALUES (1, NULL, 'one', 1), (2, NULL, NULL, 1);
INSERT INTO part VALUES (1, 1);
"""
Place = tuple[str, int]
UNIT, PART = "unit", "part"


@dataclass
class Sent:
    """A push: new units by key (above, code, n), new parts by key (unit), and which old rows it deletes."""

    units: dict[int, tuple[int | None, str | None, int | None]]
    parts: dict[int, int | None]
    gone: set[Place]
    rejected: dict[Place, set[str]] = field(default_factory=dict)
    """What must be rejected, and for which reasons it may be."""

    @property
    def is_code_free(self) -> bool:
        return (UNIT, 1) in self.gone and (PART, 1) in self.gone

    def points_at(self, place: Place) -> int | None:
        table, key = place
        return self.units[key][0] if table == UNIT else self.parts[key]

    def judge(self) -> None:
        """Find out what cannot be there, until there is no more of it."""
        for key, (_, code, n) in self.units.items():
            why = {"not_null_violation"} if n is None else {"check_violation"} if n < 0 else set()
            if key == 2 and self.units[key] != (None, None, 1):
                why = {"key_taken"}
            elif code == "one" and not self.is_code_free:
                why |= {"unique_violation"}
            if why:
                self.rejected[UNIT, key] = why
        if (UNIT, 1) in self.gone and not self.is_code_free:
            self.rejected[UNIT, 1] = {"foreign_key_violation"}
        changed = True
        while changed:
            changed = False
            for place in [*((UNIT, key) for key in self.units), *((PART, key) for key in self.parts)]:
                above = self.points_at(place)
                there = above is None or above in (1, 2) or above in self.units
                if not there:
                    why = "foreign_key_violation"
                elif above in self.units and (UNIT, above) in self.rejected:
                    why = "parent_rejected"
                else:
                    continue
                known = self.rejected.setdefault(place, set())
                changed = changed or why not in known
                known.add(why)


@st.composite
def pushes(draw: st.DrawFn) -> Sent:
    gone = draw(st.sets(st.sampled_from([(UNIT, 1), (PART, 1)])))
    above = st.sampled_from([None, 2, 3, 4, 5, 6, 7] + [1] * ((UNIT, 1) not in gone))
    numbers = st.sampled_from([1, 1, 1, 0, -1, None])
    units = {
        key: (draw(above), draw(st.sampled_from([None, f"c{key}"])), draw(numbers))
        for key in draw(st.sets(st.integers(2, 6)))  # 2 is there already, and another's
    }
    if units and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(units)))
        units[key] = (units[key][0], "one", units[key][2])
    parts = {key: draw(above) for key in draw(st.sets(st.integers(2, 5)))}
    return Sent(units, parts, gone)


def joined(groups: list[m.PushGroup]) -> m.PushGroup:
    """One group with the rows of all."""
    rows, stamps = [group.rows[0] for group in groups], [undelta(group.hlc)[0] for group in groups]
    return msgspec.structs.replace(groups[0], rows=rows, hlc=delta(stamps), base=[0] * len(rows))


def send(desk: Desk, sent: Sent, order: list[int]) -> m.Verdict:
    device = desk.device("one")
    for key in sorted(sent.parts, reverse=True):
        device.insert(PART, key, sent.parts[key])
    for key in sorted(sent.units, reverse=True):
        device.insert(UNIT, key, *sent.units[key])
    for table, key in sorted(sent.gone, reverse=True):
        device.delete(table, key)
    kinds: dict[tuple[int, str], list[m.PushGroup]] = {}
    for group in device.groups:
        kinds.setdefault((group.table, group.op), []).append(group)
    together = [joined(groups) for groups in kinds.values()]  # as devices send them
    device.groups = [together[place] for place in order if place < len(together)]
    return device.push()


@settings(max_examples=80, deadline=None)
@example(Sent({3: (2, "one", 1), 4: (3, None, 1)}, {2: 4}, {(UNIT, 1), (PART, 1)}), list(range(12)))
@example(Sent({3: (2, "one", 1), 4: (3, None, 1)}, {2: 4}, {(UNIT, 1)}), list(range(12)))
@given(pushes(), st.permutations(range(12)))
def test_what_can_be_written_is_and_what_cannot_says_why(sent: Sent, order: list[int]) -> None:
    sent.judge()
    desk = Desk(SCRIPT)
    number = desk.hub.schema.number_of
    verdict = send(desk, sent, order)
    names = {number(table): table for table in (UNIT, PART)}
    found: dict[Place, m.Rejection] = {
        (names[one.table], int(str(one.key[0]))): one for one in verdict.rejected
    }
    assert found.keys() == sent.rejected.keys()
    for place, rejection in found.items():
        assert rejection.code in sent.rejected[place]
        if rejection.code == "parent_rejected":
            above = sent.points_at(place)
            assert rejection.parent == [number(UNIT), [above]]
            detail = f"depends on the row of unit with key [{above}], which was rejected"
            assert rejection.detail == detail
        else:
            assert rejection.parent is None
        assert rejection.remedy == remedy_of(rejection.code)
    units: dict[int, tuple[Any, ...]] = {1: (None, "one", 1), 2: (None, None, 1)}
    parts: dict[int, int | None] = {1: 1}
    for table, key in sent.gone - sent.rejected.keys():
        if table == UNIT:
            del units[key]
        else:
            del parts[key]
    units |= {key: row for key, row in sent.units.items() if (UNIT, key) not in sent.rejected}
    parts |= {key: row for key, row in sent.parts.items() if (PART, key) not in sent.rejected}
    assert {key: tuple(row) for key, *row in desk.sql("SELECT * FROM unit")} == units
    assert dict(desk.sql("SELECT * FROM part")) == parts
    told = {
        (names[table], int(row[0])): None if op == "D" else tuple(row[1:])
        for table, op, rows in overrides(verdict)
        for row in rows
    }
    assert told == {(table, key): units.get(key) if table == UNIT else None for table, key in sent.rejected}
    desk.hub.close()
