"""What the hub answers to Verify: digests of tables and ranges, rows, the changes up to that instant."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from syncline.errors import Malformed, ProtocolError
from syncline.hub import verify as answering
from syncline.hub.verify import Budget
from syncline.protocol import messages as m
from syncline.protocol.body import open_groups
from syncline.protocol.canonical import canonical_row
from syncline.protocol.jsonform import key_text
from tests.unit.hub.desk import Desk

SCRIPT = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, qty);
CREATE TABLE spot (a TEXT NOT NULL, b INTEGER NOT NULL, c, PRIMARY KEY (a, b));
CREATE TABLE word (w TEXT PRIMARY KEY COLLATE NOCASE);
INSERT INTO spot VALUES ('b', 1, 1.5), ('B', 2, x'00'), ('a', -1, NULL);
INSERT INTO word VALUES ('b'), ('A'), (NULL), ('a!');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
INSERT INTO item SELECT i, 'item ' || i, i * 0.5 FROM n;
"""


@pytest.fixture
def desk() -> Desk:
    return Desk(SCRIPT)


class Asking:
    """A replica's questions; `after` stays where it registered."""

    def __init__(self, desk: Desk) -> None:
        self.device = desk.device("r1")
        self.schema = self.device.schema

    def ask(self, table: str | None = None, **fields: Any) -> m.Verified:
        number = None if table is None else self.schema.number_of(table)
        for name in ("from_key", "to_key"):
            if name in fields:
                fields[name] = key_text(fields[name])
        message = m.Verify("r1", self.schema.fingerprint, self.device.watermark, number, **fields)
        answer = self.device.send(message)
        assert isinstance(answer, m.Verified)
        return answer

    def rows(self, table: str, **fields: Any) -> list[list[Any]]:
        answer = self.ask(table, **fields)
        return [row for group in open_groups(answer.groups, answer.digest) for row in group.rows]


def digest(rows: list[list[Any]]) -> str:
    return hashlib.sha256(b"".join(bytes(canonical_row(row)) for row in rows)).hexdigest()


def test_every_table_has_a_digest_over_its_rows_in_canonical_order(desk: Desk) -> None:
    asking = Asking(desk)
    parts = dict(zip([t.name for t in asking.schema.tables], asking.ask().tables, strict=True))
    spots = [["B", 2, b"\0"], ["a", -1, None], ["b", 1, 1.5]]
    assert parts["spot"] == m.Part(None, 3, digest(spots))
    items = [[i, f"item {i}", i * 0.5] for i in range(1, 101)]
    assert parts["item"] == m.Part(None, 100, digest(items))


def test_rows_without_a_key_are_left_out_and_collations_do_not_matter(desk: Desk) -> None:
    assert Asking(desk).rows("word") == [["A"], ["a!"], ["b"]]


def test_parts_cover_the_table_without_gap(desk: Desk) -> None:
    asking = Asking(desk)
    answer = asking.ask("item", size=30)
    assert [(part.to, part.rows) for part in answer.parts] == [([30], 30), ([60], 30), ([90], 30), (None, 10)]
    assert not answer.more
    assert answer.parts[1].digest == digest(asking.rows("item", from_key=(30,), to_key=(60,)))


def test_the_last_part_goes_on_to_the_end_of_the_range(desk: Desk) -> None:
    asking = Asking(desk)
    assert [p.to for p in asking.ask("item", size=50).parts] == [[50], [100], None]
    assert [p.to for p in asking.ask("item", size=5, from_key=(92,), to_key=(1000,)).parts] == [[97], [1000]]
    empty = asking.ask("item", size=5, from_key=(200,))
    assert empty.parts == [m.Part(None, 0, digest([]))]


def test_a_part_ends_only_at_a_key_that_fits_into_a_question(desk: Desk) -> None:
    desk.sql("INSERT INTO word SELECT substr('000' || id, -3) || printf('%.*c', 800 + id, 'x') FROM item")
    asking = Asking(desk)
    parts = asking.ask("word", size=10).parts
    assert [part.rows for part in parts] == [10] * 10 + [3]
    desk.sql("UPDATE word SET w = w || printf('%.*c', 300, 'y') WHERE w LIKE '0%'")
    parts = asking.ask("word", size=10).parts
    assert [part.rows for part in parts] == [100, 3]


def test_too_many_parts_end_with_the_key_to_go_on_from(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "ANSWER_PARTS", 4)
    asking = Asking(desk)
    covered, after = 0, {}
    while True:
        answer = asking.ask("item", size=10, **after)
        covered += sum(part.rows for part in answer.parts)
        if not answer.more:
            break
        after = {"from_key": answer.end}
    assert covered == 100


def test_l11_an_answer_ends_where_its_budget_does(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(desk)
    monkeypatch.setattr(answering, "Budget", lambda *_, **__: Budget(rows=102))
    assert [type(part) for part in asking.ask().tables] == [m.Part, m.Part, type(None)]
    monkeypatch.setattr(answering, "Budget", lambda *_, **__: Budget(rows=50))
    answer = asking.ask("item", size=1000)
    assert answer.more
    assert answer.end == answer.parts[-1].to
    rows = asking.rows("item")
    assert 50 <= len(rows) < 100
    assert asking.ask("item").end == [rows[-1][0]]


def test_l5_the_answer_is_of_the_instant_that_its_changes_lead_to(desk: Desk) -> None:
    asking = Asking(desk)
    desk.sql("UPDATE item SET name = 'new' WHERE id = 7")
    answer = asking.ask("item", from_key=(6,), to_key=(7,))
    (group,) = open_groups(answer.changes.groups, answer.changes.digest)
    assert group.rows == [[7, "new"]]
    assert open_groups(answer.groups, answer.digest)[0].rows == [[7, "new", 3.5]]
    asking.device.watermark = answer.changes.watermark or ""
    assert asking.ask().changes == m.Changes()


def test_with_more_to_pull_than_fits_there_is_nothing_else_in_the_answer(desk: Desk) -> None:
    asking = Asking(desk)
    desk.hub.limits = m.Limits(pull_rows=10)
    desk.sql("UPDATE item SET qty = 0")
    answer = asking.ask("item")
    assert answer.changes.more
    assert (answer.tables, answer.parts, answer.digest, answer.more) == ([], [], "", False)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"table": 3}, "no_such_table"),
        ({"table": 0, "from_key": "[1,2,3]"}, "bad_range"),
        ({"table": 0, "to_key": "[]"}, "bad_range"),
        ({"table": 0, "to_key": "1"}, "bad_range"),
        ({"table": 0, "from_key": "[2]", "to_key": "[1]"}, "bad_range"),
        ({"table": 0, "from_key": "[1]", "to_key": "[1.0]"}, "bad_range"),
        ({"from_key": "[1]"}, "bad_range"),
        ({"size": 5}, "bad_range"),
        ({"after": "nonsense"}, "watermark_garbled"),
        ({"schema": "old"}, "schema_changed"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_a_code(
    desk: Desk, fields: dict[str, Any], code: str
) -> None:
    asking = Asking(desk)
    plain = {"replica": "r1", "schema": asking.schema.fingerprint, "after": asking.device.watermark}
    with pytest.raises(ProtocolError) as caught:
        asking.device.send(m.Verify(**{**plain, **fields}))
    assert caught.value.code == code
    assert isinstance(caught.value, Malformed) == (code in ("no_such_table", "bad_range"))
