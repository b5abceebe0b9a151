"""Large pushes at the hub: chunk by chunk, in one transaction (laws L2, L3, L9, L11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from syncline.databases.sqlite.write import RowWriter
from syncline.errors import (
    DigestMismatch,
    Malformed,
    PushOutOfStep,
    SchemaChanged,
    TooLarge,
    UnknownReplica,
    UnknownUpload,
)
from syncline.hub.contract import UploadedChunk, WriteTransaction
from syncline.hub.large import Chunks
from syncline.hub.named import Keys
from syncline.protocol import messages as m
from syncline.protocol.body import seal, whole_digest
from tests.unit.hub.desk import Desk, Device, hlc, overrides

SCRIPT = """
CREATE TABLE shelf (id INTEGER PRIMARY KEY, name TEXT UNIQUE, above INTEGER REFERENCES shelf (id),
    height INTEGER CHECK (height < 100));
CREATE TABLE book (id INTEGER PRIMARY KEY, shelf INTEGER NOT NULL REFERENCES shelf (id), title TEXT);
"""
Fill = Callable[[Device], None]


@pytest.fixture
def desk() -> Desk:
    return Desk(SCRIPT)


class Large:
    """The chunks of one large push, each filled as a small push is."""

    def __init__(self, device: Device, *fills: Fill, number: int | None = None) -> None:
        self.device, self.number = device, number or device.number + 1
        self.chunks = []
        for fill in fills:
            fill(device)
            self.chunks.append((*seal(device.groups), sum(len(group.rows) for group in device.groups)))
            device.groups = []
        self.digest = whole_digest(digest for _, digest, _ in self.chunks)

    def begin(self, **fields: Any) -> m.PushBegun:
        device = self.device
        rows = sum(rows for _, _, rows in self.chunks)
        plain: dict[str, Any] = {
            "bases": device.bases,
            "digest": self.digest,
            "chunks": len(self.chunks),
            "rows": rows,
            **fields,
        }
        answer = device.send(m.BeginPush(device.name, self.number, device.schema.fingerprint, **plain))
        assert isinstance(answer, m.PushBegun)
        return answer

    def put(self, chunk: int, details: Sequence[m.Detail] = (), **fields: Any) -> None:
        body, digest, _ = self.chunks[chunk - 1]
        plain: dict[str, Any] = {"push": self.digest, "digest": digest, "groups": Raw(body), **fields}
        self.device.send(m.PushChunk(self.device.name, self.number, chunk, details=list(details), **plain))

    def upload(self) -> Large:
        self.begin()
        for chunk in range(1, len(self.chunks) + 1):
            self.put(chunk)
        return self

    def prepare(self) -> m.Verdict:
        return self._verdict(m.PreparePush)

    def commit(self, **fields: Any) -> m.Verdict:
        return self._verdict(m.CommitPush, **fields)

    def _verdict(self, kind: Any, **fields: Any) -> m.Verdict:
        device = self.device
        plain = {"details": device.details, **fields}
        answer = device.send(kind(device.name, self.number, device.schema.fingerprint, self.digest, **plain))
        assert isinstance(answer, m.Verdict)
        return answer


def shelves(*numbers: int, above: int | None = None, height: int = 1) -> Fill:
    def fill(device: Device) -> None:
        for number in numbers:
            device.insert("shelf", number, f"s{number}", above, height)

    return fill


def books(shelf: int, *numbers: int) -> Fill:
    def fill(device: Device) -> None:
        for number in numbers:
            device.insert("book", number, shelf, f"b{number}")

    return fill


def gone(table: str, *numbers: int) -> Fill:
    def fill(device: Device) -> None:
        for number in numbers:
            device.delete(table, number)

    return fill


def ids(desk: Desk, table: str) -> list[int]:
    return [key for (key,) in desk.sql(f"SELECT id FROM {table} ORDER BY id")]


def rejections(verdict: m.Verdict) -> list[tuple[int, list[Any], str]]:
    return sorted((r.table, r.key, r.code) for r in verdict.rejected)


def test_chunks_are_one_push_with_one_verdict(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1, 2), books(1, 1, 2), books(2, 3)).upload()
    assert ids(desk, "shelf") == []
    verdict = push.commit()
    assert (verdict.number, verdict.rejected, verdict.repeat) == (1, [], False)
    assert (ids(desk, "shelf"), ids(desk, "book")) == ([1, 2], [1, 2, 3])


def test_the_hub_says_which_chunks_it_has(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2), shelves(3))
    assert push.begin().have == []
    push.put(1)
    push.put(3)
    push.put(3)
    assert push.begin().have == [1, 3]
    push.put(2)
    push.commit()
    assert ids(desk, "shelf") == [1, 2, 3]


def test_chunks_sent_before_the_whole_was_known_stay(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2), shelves(3))
    draft = "d" * 64
    push.begin(digest=draft, chunks=100, rows=1000)
    for chunk in (1, 2):
        push.put(chunk, push=draft)
    assert push.begin(draft=draft).have == [1, 2]
    push.put(3)
    push.commit()
    assert ids(desk, "shelf") == [1, 2, 3]


@pytest.mark.parametrize("fields", [{"draft": "e" * 64}, {"draft": ""}, {}])
def test_chunks_of_another_draft_go(desk: Desk, fields: dict[str, str]) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2))
    draft = "d" * 64
    push.begin(digest=draft, chunks=100, rows=1000)
    push.put(1, push=draft)
    assert push.begin(**fields).have == []
    with pytest.raises(UnknownUpload):
        push.put(1, push=draft)


def test_a_draft_cannot_be_committed(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2))
    complete, push.digest = push.digest, "d" * 64
    push.begin(chunks=2)
    push.put(1)
    push.put(2)
    with pytest.raises(DigestMismatch):
        push.commit()
    assert ids(desk, "shelf") == []
    push.digest = complete
    assert push.begin(draft="d" * 64).have == [1, 2]
    push.commit()
    assert ids(desk, "shelf") == [1, 2]


def test_prepare_shows_the_verdict_and_does_nothing(desk: Desk) -> None:
    device = desk.device("r1")
    push = Large(device, shelves(1), shelves(2, height=100), books(2, 1)).upload()
    shown = push.prepare()
    assert rejections(shown) == [(0, [2], "check_violation"), (1, [1], "parent_rejected")]
    assert (ids(desk, "shelf"), ids(desk, "book")) == ([], [])
    state = device.send(m.StateQuery("r1"))
    assert isinstance(state, m.StateAnswer) and state.push == 0
    done = push.commit()
    assert rejections(done) == rejections(shown)
    assert ids(desk, "shelf") == [1]


def test_l3_a_repeated_commit_gives_the_same_verdict_with_rows_as_they_are_now(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1, 2), shelves(3, height=100)).upload()
    first = push.commit()
    desk.sql("UPDATE shelf SET name = 'renamed' WHERE id = 2", at=9)
    again = push.commit()
    assert again.repeat and rejections(again) == rejections(first)
    assert (0, "U", [[2, "renamed", None, 1]]) in overrides(again)
    assert ids(desk, "shelf") == [1, 2]


def test_l3_a_repeat_after_the_upload_was_forgotten_begins_again(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2)).upload()
    push.commit()
    push.device.send(m.ForgetPush("r1", 1))
    with pytest.raises(UnknownUpload):
        push.commit()
    assert push.upload().commit().repeat
    assert ids(desk, "shelf") == [1, 2]


def test_l9_a_row_may_come_before_its_parent_in_a_later_chunk(desk: Desk) -> None:
    push = Large(
        desk.device("r1"),
        shelves(1, 2, above=7),
        shelves(3, above=1),
        books(3, 1),
        shelves(7, above=9),
        shelves(9),
    ).upload()
    assert push.commit().rejected == []
    assert (ids(desk, "shelf"), ids(desk, "book")) == ([1, 2, 3, 7, 9], [1])


def test_rows_below_one_that_is_rejected_in_a_later_chunk_are_rejected_with_it(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1, above=7), shelves(7, height=100), shelves(8)).upload()
    verdict = push.commit()
    assert rejections(verdict) == [(0, [1], "parent_rejected"), (0, [7], "check_violation")]
    assert ids(desk, "shelf") == [8]


def test_what_points_at_a_unique_value_of_a_taken_row_in_an_earlier_chunk_goes_to_no_other() -> None:
    """The centre has a shop of that code, too, which is another's."""
    desk = Desk(
        "CREATE TABLE shop (id INTEGER PRIMARY KEY, code TEXT UNIQUE);"
        "CREATE TABLE desk (id INTEGER PRIMARY KEY, shop INTEGER REFERENCES shop);"
        "CREATE TABLE box (id INTEGER PRIMARY KEY, code TEXT REFERENCES shop (code));"
    )
    device, number = desk.device("r1"), desk.hub.schema.number_of
    desk.sql("INSERT INTO shop VALUES (1, 'theirs'), (5, 'mine')")

    def first(device: Device) -> None:
        device.insert("shop", 1, "mine")
        device.insert("desk", 1, 1)

    def second(device: Device) -> None:
        device.insert("box", 1, "mine")
        device.insert("box", 2, "theirs")

    verdict = Large(device, first, second).upload().commit()
    assert rejections(verdict) == sorted(
        [
            (number("shop"), [1], "key_taken"),
            (number("desk"), [1], "parent_rejected"),
            (number("box"), [1], "parent_rejected"),
        ]
    )
    assert ids(desk, "box") == [2]


def test_l9_a_long_chain_towards_a_later_chunk_waits_at_once(desk: Desk) -> None:
    def chain(first: int, last: int) -> Fill:
        def fill(device: Device) -> None:
            for number in range(first, last):
                device.insert("shelf", number, None, number + 1, 1)

        return fill

    attempts = []
    apply = RowWriter.apply
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowWriter, "apply", lambda *args: attempts.append(1) or apply(*args))
        push = Large(desk.device("r1"), chain(0, 300), chain(300, 600), shelves(600)).upload()
        assert push.commit().rejected == []
    assert ids(desk, "shelf") == list(range(601))
    assert len(attempts) < 10


def test_a_contested_row_that_must_wait_is_written_as_it_was_decided(desk: Desk) -> None:
    desk.sql("INSERT INTO shelf VALUES (1, 'a', NULL, 1)")
    device = desk.device("r1")
    desk.sql("UPDATE shelf SET height = 50 WHERE id = 1", at=5)

    def change(device: Device) -> None:
        device.update("shelf", [1], {"above": 9, "height": 2}, at=3)
        device.insert("shelf", 2, "b", None, 1)

    device.detail("shelf", [1], {"above": None, "height": 1}, ["a", None, 1])
    push = Large(device, change, shelves(9)).upload()
    verdict = push.commit()
    assert (verdict.wanted, verdict.rejected) == ([], [])
    assert desk.sql("SELECT above, height FROM shelf WHERE id = 1") == [(9, 50)]


def test_l7_a_row_that_must_wait_keeps_the_clocks_of_its_columns(desk: Desk) -> None:
    desk.sql("INSERT INTO shelf VALUES (1, 'a', NULL, 1)")
    device, other = desk.device("r1"), desk.device("r2")

    def change(device: Device) -> None:
        device.update("shelf", [1], {"above": 9, "height": 2}, at=5)
        device.insert("shelf", 2, "b", 9, 1)
        changed, inserted = device.groups
        own = [[hlc(1), hlc(5)]]
        device.groups = [msgspec.structs.replace(changed, column_hlc=own, column_base=[[0, 0]]), inserted]

    assert Large(device, change, shelves(9)).upload().commit().rejected == []
    other.update("shelf", [1], {"above": None, "height": 3}, at=3)
    other.detail("shelf", [1], {"above": None, "height": 1}, ["a", None, 3])
    assert not other.push().wanted
    assert desk.sql("SELECT above, height FROM shelf WHERE id = 1") == [(None, 2)]


def test_rows_that_the_centre_changed_on_their_way_are_told_whatever_chunk_they_were_in() -> None:
    desk = Desk(
        SCRIPT + "CREATE TRIGGER neat AFTER INSERT ON shelf WHEN new.height > 50"
        " BEGIN UPDATE shelf SET height = 50 WHERE id = new.id; END;"
    )
    first, last = shelves(1, height=70), shelves(3, above=2, height=60)
    verdict = Large(desk.device("r1"), first, shelves(4), last, shelves(2)).upload().commit()
    assert verdict.rejected == []
    assert sorted(row for _, _, rows in overrides(verdict) for row in rows) == [
        [1, "s1", None, 50],
        [3, "s3", 2, 50],
    ]


def test_l9_deletes_wait_for_each_other_and_writes_come_before_them(desk: Desk) -> None:
    desk.sql("INSERT INTO shelf (id, above) VALUES (1, NULL), (2, 1), (3, 2)")
    desk.sql("INSERT INTO book VALUES (1, 3, 'x')")

    def move(device: Device) -> None:
        device.update("book", [1], {"shelf": 5})

    device = desk.device("r1")
    push = Large(device, move, shelves(5), gone("shelf", 1), gone("shelf", 2), gone("shelf", 3)).upload()
    assert push.commit().rejected == []
    assert (ids(desk, "shelf"), desk.sql("SELECT shelf FROM book")) == ([5], [(5,)])


def test_a_unique_value_may_move_from_a_row_that_a_later_chunk_deletes(desk: Desk) -> None:
    desk.sql("INSERT INTO shelf (id, name) VALUES (1, 's2')")
    push = Large(desk.device("r1"), shelves(2), shelves(3), gone("shelf", 1)).upload()
    assert push.commit().rejected == []
    assert ids(desk, "shelf") == [2, 3]


def test_details_come_with_the_commit_or_with_a_chunk(desk: Desk) -> None:
    desk = Desk("CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER, note TEXT)")
    desk.sql("INSERT INTO item VALUES (1, 1, 'a'), (2, 1, 'a')")
    device = desk.device("r1")
    desk.sql("UPDATE item SET qty = 5", at=1)

    def change(number: int) -> Fill:
        return lambda device: device.update("item", [number], {"qty": 7}, at=2)

    push = Large(device, change(1), change(2)).upload()
    assert push.commit().wanted == [[0, [1]], [0, [2]]]
    assert desk.sql("SELECT qty FROM item") == [(5,), (5,)]
    device.detail("item", [1], {"qty": 1}, [1, "a"])
    push.put(2, [m.Detail(0, [2], [0], [1], [1, "a"])])
    assert not push.commit().wanted
    assert desk.sql("SELECT qty FROM item") == [(7,), (7,)]


def test_what_a_push_deletes_is_read_once_more_however_many_rows_go_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no values of rows that the push deletes as the device had seen them."""
    reads: list[int] = []
    images: list[Any] = []
    read, find = Chunks._read, RowWriter.find

    def counted(chunks: Chunks, transaction: WriteTransaction, number: int) -> UploadedChunk:
        reads.append(number)
        return read(chunks, transaction, number)

    def found(rows: RowWriter, table: int, keys: Any, columns: Sequence[int]) -> Any:
        result = find(rows, table, keys, columns)
        images.extend(result if columns else [])
        return result

    desk = Desk(SCRIPT.replace("REFERENCES shelf (id)", "REFERENCES shelf (id) ON DELETE CASCADE"))
    desk.sql("INSERT INTO shelf (id, above) VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, 4)")
    desk.sql("INSERT INTO book VALUES (1, 4, 'x')")
    device = desk.device("r1")
    device.pull()
    monkeypatch.setattr(Chunks, "_read", counted)
    monkeypatch.setattr(RowWriter, "find", found)
    verdict = (
        Large(device, gone("book", 1), *(gone("shelf", number) for number in range(1, 6))).upload().commit()
    )
    assert (verdict.rejected, verdict.conflicts, ids(desk, "shelf"), ids(desk, "book")) == ([], [], [], [])
    assert (sorted(reads), images) == (sorted([1, 2, 3, 4, 5, 6] * 2), [])


def test_l2_a_chunk_that_is_missing_leaves_everything_as_it_was(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2))
    push.begin()
    push.put(1)
    with pytest.raises(UnknownUpload, match="of 2 chunks of push 1 the hub has 1"):
        push.commit()
    assert ids(desk, "shelf") == []


TWICE = "table shelf: a row stands twice in the push"


@pytest.mark.parametrize(
    ("fills", "announced", "words"),
    [
        ((shelves(1), shelves(1)), 2, TWICE),
        ((gone("shelf", 1), shelves(2)), 2, "push 1: a write follows a delete"),
        ((shelves(1), gone("shelf", 1)), 2, TWICE),
        ((shelves(1), shelves(2)), 3, "push 1: 2 rows, announced were 3"),
    ],
    ids=["the same row twice", "a write after a delete", "a row written and deleted", "less than announced"],
)
def test_what_cannot_be_one_push_is_refused_as_a_whole(
    desk: Desk, fills: tuple[Fill, ...], announced: int, words: str
) -> None:
    push = Large(desk.device("r1"), *fills)
    push.begin(rows=announced)
    for chunk in (1, 2):
        push.put(chunk)
    with pytest.raises(Malformed, match=words):
        push.commit()
    assert ids(desk, "shelf") == []


def test_rows_that_share_a_number_by_chance_are_told_apart(desk: Desk) -> None:
    assert hash((0, (-1,))) == hash((0, (-2,)))
    push = Large(desk.device("r1"), shelves(-1), shelves(-2)).upload()
    push.commit()
    assert ids(desk, "shelf") == [-2, -1]


def test_damage_is_noticed(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2))
    push.begin()
    with pytest.raises(DigestMismatch):
        push.put(1, digest="0" * 64)
    push.put(1)
    body, digest, _ = push.chunks[0]
    push.put(2, digest=digest, groups=Raw(body))
    with pytest.raises(DigestMismatch):
        push.commit()
    push.put(2)
    push.commit()


def test_another_push_takes_the_place_of_an_upload(desk: Desk) -> None:
    device = desk.device("r1")
    old, new = Large(device, shelves(1), shelves(2)), Large(device, shelves(3), shelves(4))
    old.begin()
    old.put(1)
    assert new.begin().have == []
    with pytest.raises(UnknownUpload):
        old.put(2)
    new.upload().commit()
    with pytest.raises(PushOutOfStep) as refused:
        old.begin()
    assert refused.value.code == "replica_copied"
    with pytest.raises(PushOutOfStep) as refused:
        Large(device, shelves(9), number=7).begin()
    assert refused.value.code == "push_ahead"


def test_who_is_unknown_or_outdated_cannot_begin(desk: Desk) -> None:
    device = desk.device("r1")
    push = Large(device, shelves(1), shelves(2))
    device.name = "stranger"
    with pytest.raises(UnknownReplica):
        push.begin()
    device.name = "r1"
    with pytest.raises(SchemaChanged):
        device.send(m.BeginPush("r1", 1, "other", device.bases, push.digest, 2, 2))


@pytest.mark.parametrize("fields", [{"rows": 10**9}, {"chunks": 10**6}])
def test_l11_an_upload_is_bounded(desk: Desk, fields: dict[str, int]) -> None:
    with pytest.raises(TooLarge):
        Large(desk.device("r1"), shelves(1), shelves(2)).begin(**fields)


def test_l11_the_bytes_of_an_upload_are_bounded(desk: Desk) -> None:
    desk.hub.limits = m.Limits(push_total_bytes=60)
    push = Large(desk.device("r1"), shelves(1), shelves(2))
    push.begin()
    push.put(1)
    push.put(1)
    with pytest.raises(TooLarge):
        push.put(2)


def test_l11_an_upload_is_forgotten_after_a_day(desk: Desk) -> None:
    push = Large(desk.device("r1"), shelves(1), shelves(2))
    push.begin()
    push.put(1)
    desk.now += 25 * 3_600_000
    Large(desk.device("r2"), shelves(1), shelves(2)).begin()
    with pytest.raises(UnknownUpload):
        push.put(2)
    assert push.begin().have == []


def test_l11_the_keys_of_a_push_take_eight_bytes_each() -> None:
    keys = Keys()
    assert keys.suspects() == set()
    assert sum(bucket.itemsize for bucket in keys._buckets) == 8 * len(keys._buckets)
