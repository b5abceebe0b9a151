"""Edits of a file that was copied or put back, which nobody can tell: what is kept of them (law L2)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.errors import UsageError
from syncline.protocol.body import chained, each_stamp, open_push, undelta
from syncline.protocol.messages import Rejection
from syncline.replica.draft import sealed
from syncline.replica.entries import entries_of
from syncline.replica.freeze import Frozen, clear_outbox, freeze, in_flight
from syncline.replica.identity import provenance
from syncline.replica.offer import is_offered, offer_next, offered_made, offered_marks, take_apart
from syncline.replica.overlay import Key, Overlay
from syncline.replica.reconciled import BEHIND, UNTOLD, _keep_edit
from syncline.replica.rejected import newest_rejected, rejected, retry, wait
from syncline.replica.rekey import retry_with_new_key
from syncline.replica.sent import (
    Kept,
    forget_sent,
    kept_marks,
    kept_pushes,
    kept_stamps,
    lose,
    next_lost,
    parts_of,
    read_part,
    sent_bases,
    sent_schemas,
    waiting,
)
from syncline.replica.settled import PUSH
from syncline.replica.statements import Statements
from tests.support.device import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "device.db", "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)")
    made.pull(made.put("person", (1, "before")))
    made.app.execute("UPDATE person SET name = 'mine' WHERE id = 1")
    yield made
    made.close()


def keep(bench: Bench, t: Statements, key: Key, condition: str) -> None:
    ((_, entries),) = entries_of(Overlay(bench.store), t, [key], condition)
    _keep_edit(bench.device, t, key, entries, UNTOLD)


@pytest.mark.parametrize(("is_parked", "values"), [(True, {"name": "mine"}), (False, {})])
def test_l2_an_edit_of_a_row_that_is_not_in_its_table_is_kept_with_its_values_or_none(
    bench: Bench, is_parked: bool, values: dict[str, str]
) -> None:
    t = bench.table("person")
    with bench.store.transaction() as store:
        store.set_state(suppressed=1)
        if is_parked:
            overlay = Overlay(store)
            overlay.park(t, overlay.pending(t, [(1,)]))
        store.execute(t.delete, (1,))
        store.set_state(suppressed=0)
        keep(bench, t, (1,), "1")
    (kept,) = rejected(bench.device)
    assert (kept.op, kept.values, kept.base) == ("U", values, {"name": "before"})


def test_l2_an_edit_is_not_retried_while_its_row_shows_it_still(bench: Bench) -> None:
    """To write it once more would change nothing, until the file is filled again; then it does."""
    with bench.store.transaction() as store:
        store.set_state(recovery=json.dumps({"reason": "copied", "step": "fill"}))
    bench.entered(replica="replica-2", since=2**60)
    (kept,) = rejected(bench.device)
    assert bench.all("person") == [(1, "mine")]
    for new_key in (False, True):
        with pytest.raises(UsageError, match="finding its place") as refused:
            (retry_with_new_key if new_key else retry)(bench.device, kept.id)
        assert (refused.value.code, refused.value.remedy[:10]) == ("retry_refused", "Sync first")
    wait(bench.device, [replace(kept, code="row_locked")])
    assert rejected(bench.device) == [kept]
    with bench.store.transaction() as store:
        store.set_state(recovery=None)
    bench.pull(bench.put("person", (1, "before")))
    retry(bench.device, kept.id)
    assert bench.all("person") == [(1, "mine")]
    assert bench.rows(f"SELECT op FROM {bench.log('person')}") == [("U",)]


STATEMENTS = {
    "note": "UPDATE owner SET note = note || '!' WHERE id = ?",
    "both": "UPDATE owner SET note = 'both', name = name || '.' WHERE id = ?",
    "count": "UPDATE owner SET n = n + 5 WHERE id = ?",
    "delete": "DELETE FROM owner WHERE id = ?",
    "insert": "INSERT INTO owner VALUES (?, 'new', 'made', 1)",
}
TOUCHED = {"note": {"note"}, "both": {"note", "name"}, "count": {"n"}}
COLUMNS = ("name", "note", "n")


def histories(is_there: bool, length: int) -> Iterator[tuple[str, ...]]:
    """All edits of one row that can follow each other."""
    if length == 0:
        yield ()
        return
    for edit in STATEMENTS:
        if (edit == "insert") != is_there:
            for rest in histories(edit != "delete", length - 1):
                yield (edit, *rest)


def test_l2_edits_that_nobody_can_tell_are_kept_as_they_would_have_been_sent_whatever_came_later(
    tmp_path: Path,
) -> None:
    """Of every row the first edits are set aside and the later ones are not, which may hide what the first
    had made of it."""
    ddl = "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT, note TEXT, n INTEGER)"
    bench = Bench(tmp_path / "owners.db", ddl, increments=["n"])
    plans: dict[int, tuple[tuple[str, ...], int]] = {}
    for is_there in (True, False):
        for length, told in ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2)):
            for edits in histories(is_there, length):
                key = len(plans) + 1 + (0 if is_there else 1000)
                plans[key] = edits, told
    there = [key for key in plans if key < 1000]
    bench.pull(bench.put("owner", *([key, "name", "old", 10 * key] for key in there)))
    before = {row[0]: row[1:] for row in bench.all("owner")}
    run(bench, [(key, edit) for key, (edits, told) in plans.items() for edit in edits[:told]])
    sent = {row[0]: row[1:] for row in bench.all("owner")}
    (last,) = bench.rows(f"SELECT max(seq) FROM {bench.log('owner')}")[0]
    run(bench, [(key, edit) for key, (edits, told) in plans.items() for edit in edits[told:]])
    t = bench.table("owner")
    for key, (edits, told) in plans.items():
        number = newest_rejected(bench.store)
        with bench.store.transaction():
            keep(bench, t, (key,), f"l.seq <= {last}")
        (kept,) = rejected(bench.device, number)
        assert (kept.table, kept.key, kept.code, kept.push) == ("owner", (key,), "edit_untold", None)
        first = edits[:told]
        old = dict(zip(COLUMNS, before.get(key, ()), strict=False))
        new = dict(zip(COLUMNS, sent.get(key, ()), strict=False))
        if first[-1] == "delete":
            assert (kept.op, kept.values) == ("D", {}), edits
            if key in before:
                assert kept.base == old, edits
        elif first[0] == "insert":
            assert (kept.op, kept.values, kept.base) == ("I", new, {}), edits
        else:
            touched = set().union(*(TOUCHED.get(edit, set(COLUMNS)) for edit in first))
            assert kept.op == "U" and kept.base == {name: old[name] for name in touched}, edits
            counted = {**new, "n": new["n"] - old["n"]}  # an increment travels
            assert kept.values == {name: counted[name] for name in touched}, edits
    bench.close()


def run(bench: Bench, edits: list[tuple[int, str]]) -> None:
    bench.app.execute("BEGIN")
    for key, edit in edits:
        bench.app.execute(STATEMENTS[edit], (key,))
    bench.app.execute("COMMIT")


def test_l2_edits_that_another_push_has_brought_are_kept_as_they_would_have_been_sent(
    tmp_path: Path,
) -> None:
    """Whatever came later, as a push that the centre may lose: with their values, clocks and bases."""
    ddl = "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT, note TEXT, n INTEGER)"
    bench = Bench(tmp_path / "owners.db", ddl, increments=["n"])
    plans = [
        (is_there, edits, told)
        for is_there in (True, False)
        for length, told in ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2))
        for edits in histories(is_there, length)
    ]
    keyed = {place + (0 if one[0] else 1000): one[1:] for place, one in enumerate(plans, 1)}
    bench.pull(bench.put("owner", *([key, "name", "old", 10 * key] for key in keyed if key < 1000)))
    run(bench, [(key, edit) for key, (edits, told) in keyed.items() for edit in edits[:told]])
    number, frozen = bench.store.state().push, freeze(bench.device)
    assert frozen is not None
    sent = changes(bench, frozen.digest, frozen.body, frozen.bases)
    stamps = {stamp for (stamp,) in bench.rows(f"SELECT stamp FROM {bench.log('owner')}")}
    with bench.store.transaction():
        clear_outbox(bench.store)
        bench.store.set_state(push=number)
    run(bench, [(key, edit) for key, (edits, told) in keyed.items() for edit in edits[told:]])
    assert not bench.entered(done=stamps, horizon="seen")
    (kept,) = kept_pushes(bench.store)
    (place,) = parts_of(bench.store, kept.number)
    part = read_part(bench.store, place)
    assert changes(bench, part.digest, part.body, part.bases) == sent
    assert (kept.horizon, set(each_stamp(kept_stamps(bench.store, kept.number)))) == ("seen", stamps)
    assert bench.store.state().push == number and in_flight(bench.store) is None
    bench.close()


def changes(bench: Bench, digest: str, body: bytes, bases: list[str]) -> dict[Any, Any]:
    """By key: the operation, and each column's value, clock and base. What comes to nothing is left out."""
    found = {}
    for group in open_push(body, digest):
        for place, (key, *values) in enumerate(group.rows):
            stamp = undelta(group.hlc)[place]
            clocks = group.column_hlc[place] if group.column_hlc else [stamp] * len(values)
            base = group.base[place] if group.base else 0
            stands = group.column_base[place] if group.column_base else [base] * len(values)
            row = zip(values, clocks, (bases[one] for one in stands), strict=True)
            told = dict(zip(group.columns, row, strict=True))
            if group.op != "-":
                found[key] = group.op, stamp, bases[base], told
    return found


def test_edits_that_are_not_meant_are_not_kept(bench: Bench) -> None:
    with bench.store.transaction():
        keep(bench, bench.table("person"), (1,), "l.seq < 0")
        keep(bench, bench.table("person"), (2,), "1")
    assert rejected(bench.device) == []


OWNERS = [[key, f"name {key}", "old", 10] for key in range(1, 6)]
PUSHED = (
    "UPDATE owner SET note = 'mine', n = n + 5 WHERE id = 1",
    "UPDATE owner SET note = 'refused' WHERE id = 2",
    "DELETE FROM owner WHERE id = 3",
    "DELETE FROM owner WHERE id = 4",
    "INSERT INTO owner VALUES (4, 'again', 'again', 4), (6, 'new', 'new', 6)",
)


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[tuple[Bench, Kept, list[bytes]]]:
    """A device whose push was taken, all but one row of it; the kept push, and the stamps of its edits."""
    ddl = "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT, note TEXT, n INTEGER)"
    made = Bench(tmp_path / "owners.db", ddl, increments=["n"])
    made.pull(made.put("owner", *OWNERS))
    for statement in PUSHED:
        made.app.execute(statement)
    assert freeze(made.device) is not None
    number = made.schema.number_of("owner")
    made.verdict(made.put("owner", OWNERS[1]), rejected=[Rejection(number, [2], "check", "no", "Mend it.")])
    (kept,) = kept_pushes(made.store)
    yield made, kept, list(each_stamp(kept_stamps(made.store, kept.number)))
    made.close()


Sent = tuple[Bench, Kept, list[bytes]]


def test_a_push_that_the_centre_has_lost_waits_to_be_offered_again(sent: Sent) -> None:
    bench, kept, stamps = sent
    assert bench.entered(lost=[kept], done={b"another's"}, horizon="now")
    assert len(waiting(bench.store)) == 1
    assert [edit.code for edit in rejected(bench.device)] == ["check"]
    assert bench.store.state().horizon == "now"
    # One that waits already is not lost a second time.
    assert not bench.entered() and len(waiting(bench.store)) == 1
    # Until all of it is there: it came from a copy of this file.
    assert not bench.entered(done=set(stamps), horizon="later")
    assert waiting(bench.store) == []
    assert [(one.horizon, one.imprint) for one in kept_pushes(bench.store)] == [("later", kept.imprint)]


def test_a_push_that_the_centre_has_got_another_way_is_kept_with_the_position_that_has_seen_it(
    sent: Sent,
) -> None:
    bench, kept, stamps = sent
    assert not bench.entered(lost=[kept], done=set(stamps), horizon="later")
    assert waiting(bench.store) == []
    assert [(one.horizon, one.imprint) for one in kept_pushes(bench.store)] == [("later", kept.imprint)]
    assert [edit.code for edit in rejected(bench.device)] == ["check"]


@pytest.mark.parametrize("why", ["a part is there", "it is too old to tell"])
def test_l2_a_lost_push_of_which_a_part_may_be_there_is_kept_for_a_person_change_by_change(
    sent: Sent, why: str
) -> None:
    """Of a part: where nobody knows which stamps are of which row."""
    bench, kept, stamps = sent
    bench.store.execute("UPDATE _sync_sent SET marks = NULL")
    before, old = bench.all("owner"), why == "it is too old to tell"
    assert not bench.entered(lost=[kept], done=set() if old else {stamps[0]}, since=2**60 if old else 0)
    assert waiting(bench.store) == [] and kept_pushes(bench.store) == []
    refused, *found = rejected(bench.device)
    assert (refused.key, refused.code) == ((2,), "check")  # that is known
    assert {edit.code for edit in found} == {"edit_untold"}
    assert sorted((edit.key[0], edit.op, edit.values, edit.base, edit.push) for edit in found) == [
        (1, "U", {"note": "mine", "n": 5}, {}, None),
        (3, "D", {}, {}, None),
        (4, "I", {"name": "again", "note": "again", "n": 4}, {}, None),
        (6, "I", {"name": "new", "note": "new", "n": 6}, {}, None),
    ]
    assert bench.all("owner") == before
    own = bench.rows(f"SELECT DISTINCT part, stamps FROM _sync_rejected WHERE code = '{UNTOLD.code}'")
    assert own == [(PUSH, b"".join(stamps))]  # which of the stamps are of which change is not known


def test_the_stamps_of_a_lost_push_of_one_change_are_that_changes_own(sent: Sent) -> None:
    bench, *_ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    assert freeze(bench.device) is not None
    bench.verdict()
    kept = max(kept_pushes(bench.store), key=lambda one: one.number)
    stamps = kept_stamps(bench.store, kept.number)
    assert not bench.entered(lost=[kept], since=2**60)
    own = bench.rows(f"SELECT part, stamps FROM _sync_rejected WHERE code = '{UNTOLD.code}'")
    assert own == [(None, stamps)]


def test_l2_of_a_lost_push_of_which_rows_are_there_those_are_kept_and_the_others_wait(sent: Sent) -> None:
    """Of row 4, which was deleted and made anew, the delete alone has come: that is for a person."""
    bench, kept, stamps = sent
    one, three, deleted, again, six = stamps
    assert bench.entered(lost=[kept], done={one, deleted}, horizon="later")
    (place,) = waiting(bench.store)
    assert kept_stamps(bench.store, place) == three + six
    (there,) = kept_pushes(bench.store)
    assert (kept_stamps(bench.store, there.number), there.horizon) == (one, "later")
    refused, untold = rejected(bench.device)
    assert (refused.key, refused.code) == ((2,), "check")
    assert (untold.key, untold.code) == ((4,), "edit_untold")
    assert bench.rows(f"SELECT stamps FROM _sync_rejected WHERE id = {untold.id}") == [(deleted + again,)]
    with bench.store.transaction():
        assert offer_next(bench.device, "w0")
    ((_, digest, body),) = sealed(bench.store)
    assert sorted(row[0] for group in open_push(body, digest) for row in group.rows) == [3, 6]
    assert provenance(bench.device).stamps == three + six


def test_l3_edits_that_are_done_are_pending_no_longer_and_the_others_are(sent: Sent) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    bench.app.execute("UPDATE owner SET note = 'five' WHERE id = 5")
    log = bench.log("owner")
    done = {stamp for (stamp,) in bench.rows(f"SELECT stamp FROM {log} WHERE k0 = 1")}
    assert not bench.entered(done=done)
    assert bench.rows(f"SELECT k0 FROM {log}") == [(5,)]
    assert [edit.code for edit in rejected(bench.device)] == ["check"]
    assert bench.all("owner")[0][2] == "one"  # shown until the file is filled again


@pytest.mark.parametrize("is_new", [False, True])
def test_a_push_in_flight_is_taken_apart_if_something_of_it_is_decided_or_the_file_gets_a_new_id(
    sent: Sent, is_new: bool
) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    bench.app.execute("UPDATE owner SET note = 'five' WHERE id = 5")
    frozen, log = freeze(bench.device), bench.log("owner")
    assert frozen is not None
    me = bench.store.state()
    assert not bench.entered() and in_flight(bench.store) == frozen  # nothing is known of it
    if is_new:
        assert not bench.entered(replica="replica-2")
        assert bench.rows(f"SELECT k0 FROM {log} ORDER BY 1") == [(1,), (5,)]
        state = bench.store.state()
        assert (state.replica, state.former, state.carried) == ("replica-2", '["replica-1"]', me.checkpoint)
    else:
        done = {stamp for (stamp,) in bench.rows(f"SELECT stamp FROM {log} WHERE k0 = 1")}
        assert not bench.entered(done=done)
        assert bench.rows(f"SELECT k0 FROM {log}") == [(5,)]
        assert bench.store.state().replica == me.replica
    assert in_flight(bench.store) is None
    assert bench.store.state().push == frozen.number - 1 and bench.store.state().chain == me.chain


def test_l3_a_push_in_flight_that_the_hub_has_taken_waits_for_its_verdict_or_is_done_for_a_new_id(
    sent: Sent,
) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    frozen = freeze(bench.device)
    assert frozen is not None
    bench.app.execute("UPDATE owner SET note = 'later' WHERE id = 5")
    chain = bench.store.state().chain or ""
    assert not bench.entered(taken=True) and in_flight(bench.store) == frozen
    assert not bench.entered(taken=True, replica="replica-2")
    assert in_flight(bench.store) is None
    assert bench.rows(f"SELECT k0 FROM {bench.log('owner')}") == [(5,)]
    state = bench.store.state()
    assert (state.push, state.chain) == (frozen.number, chained(chain, frozen.digest))


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_push_in_flight_of_a_schema_that_the_hub_has_lost_is_taken_apart(
    sent: Sent, is_taken: bool
) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    frozen, before = freeze(bench.device), bench.store.state().push
    assert frozen is not None
    assert not bench.entered(taken=is_taken, unknown=frozenset({"another", frozen.fingerprint}))
    assert in_flight(bench.store) is None
    assert bench.rows(f"SELECT k0 FROM {bench.log('owner')}") == ([] if is_taken else [(1,)])
    assert bench.store.state().push == (before if is_taken else frozen.number - 1)


def test_l7_a_push_is_offered_again_as_it_was_sent_but_for_what_was_rejected(sent: Sent) -> None:
    bench, kept, stamps = sent
    part, (_, marks) = read_part(bench.store, (kept.number, 0)), kept_marks(bench.store, kept.number)
    before = changes(bench, part.digest, part.body, part.bases)
    assert before.pop(2)
    assert bench.entered(lost=[kept])
    for _ in range(2):  # the second time after it was taken apart
        with bench.store.transaction():
            frozen = offered(bench)
            assert is_offered(bench.store)
        assert (frozen.number, frozen.fingerprint) == (2, part.fingerprint)
        assert changes(bench, frozen.digest, frozen.body, frozen.bases) == before
        assert (frozen.bases, offered_made(bench.store)) == (part.bases, kept.made)
        assert bench.rows("SELECT stamps FROM _sync_outbox") == [(b"".join(stamps),)]
        assert offered_marks(bench.store) == (b"".join(stamps), marks)
        assert kept_pushes(bench.store) == [] and waiting(bench.store) == []
        with bench.store.transaction():
            take_apart(bench.store)
            bench.store.set_state(push=1)
    assert len(waiting(bench.store)) == 1


def offered(bench: Bench) -> Frozen:
    """The push that is offered now."""
    assert offer_next(bench.device, "now")
    frozen = in_flight(bench.store)
    assert frozen is not None
    return frozen


def test_a_push_of_which_nothing_is_left_is_not_offered_again_but_the_next_one(sent: Sent) -> None:
    bench, first, _ = sent
    for key in (1, 5):
        bench.app.execute("UPDATE owner SET note = 'one' WHERE id = ?", (key,))
        assert freeze(bench.device) is not None
        number = bench.schema.number_of("owner")
        bench.verdict(rejected=[Rejection(number, [1], "check", "no", "Mend it.")] if key == 1 else [])
    with bench.store.transaction():
        lose(bench.store, [2, 3])
        frozen = offered(bench)
    assert [*changes(bench, frozen.digest, frozen.body, frozen.bases)] == [5]
    assert waiting(bench.store) == [] and [one.number for one in kept_pushes(bench.store)] == [first.number]


@pytest.mark.parametrize("is_taken_apart", [False, True])
def test_the_oldest_push_that_was_lost_is_offered_first_whenever_it_was_lost(
    sent: Sent, is_taken_apart: bool
) -> None:
    bench, first, _ = sent
    made = [read_part(bench.store, (first.number, 0)).digest]
    for _ in range(3):
        bench.app.execute("UPDATE owner SET note = note || '!' WHERE id = 1")
        frozen = freeze(bench.device)
        assert frozen is not None
        made.append(frozen.digest)
        bench.verdict()
    bases = [read_part(bench.store, (number, 0)).bases for number in (4, 3, 2, 1)]
    assert sent_bases(bench.store, 9) == bases and sent_bases(bench.store, 2) == bases[:2]
    assert sent_schemas(bench.store) == [bench.schema.fingerprint]
    with bench.store.transaction():
        lose(bench.store, [4, 3])
        lose(bench.store, [1, 2])
        if is_taken_apart:
            made[0] = offered(bench).digest
            take_apart(bench.store)
        order = []
        while parts := next_lost(bench.store):
            order.append(read_part(bench.store, parts[0]).digest)
            forget_sent(bench.store, parts[0][0])
        assert order == made and not offer_next(bench.device, "now")


@pytest.mark.parametrize("why", ["nothing", "a part is there", "it is too old to tell"])
def test_a_push_that_is_offered_again_is_taken_apart_if_a_part_of_it_may_be_there(
    sent: Sent, why: str
) -> None:
    bench, kept, stamps = sent
    bench.store.execute("UPDATE _sync_sent SET marks = NULL")  # nobody knows which stamps are of which row
    assert bench.entered(lost=[kept])
    before = bench.store.state().push
    with bench.store.transaction():
        assert offer_next(bench.device, "w0")
    done, since = {stamps[0]} if why == "a part is there" else set(), 2**60 if "old" in why else 0
    bench.entered(done=done, since=since)
    assert (in_flight(bench.store) is None) == (why != "nothing")
    assert bench.store.state().push == before + (why == "nothing")
    assert {edit.code for edit in rejected(bench.device)} == {"check"} | (
        set() if why == "nothing" else {UNTOLD.code}
    )


def test_of_a_file_that_keeps_its_id_what_it_had_under_a_former_one_alone_is_too_old_to_tell(
    sent: Sent,
) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    assert not bench.entered(replica="replica-2")
    bench.store.advance("later", 0)
    bench.app.execute("UPDATE owner SET note = 'five' WHERE id = 5")
    assert not bench.entered(since=2**60)
    assert bench.rows(f"SELECT k0 FROM {bench.log('owner')}") == [(5,)]
    assert [(edit.key, edit.code) for edit in rejected(bench.device)[1:]] == [((1,), UNTOLD.code)]


def test_l12_edits_of_text_that_is_not_utf_8_are_set_aside_like_others(sent: Sent) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = CAST(x'ff61' AS TEXT) WHERE id = 1")
    bench.app.execute("UPDATE owner SET note = 'five' WHERE id = 5")
    assert not bench.entered(replica="replica-2", since=2**60)
    assert [(edit.key, edit.code) for edit in rejected(bench.device)[1:]] == [
        ((1,), UNTOLD.code),
        ((5,), UNTOLD.code),
    ]


@pytest.mark.parametrize(("ahead", "is_old"), [(0, False), (120_000, True)])
def test_edits_of_a_clock_that_is_ahead_are_older_than_they_look(
    sent: Sent, ahead: int, is_old: bool
) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one' WHERE id = 1")
    bench.entered(replica="replica-2", since=int(time.time() * 1000) - 60_000, ahead=ahead)
    assert bench.rows(f"SELECT k0 FROM {bench.log('owner')}") == ([] if is_old else [(1,)])
    assert [edit.code for edit in rejected(bench.device)[1:]] == ([UNTOLD.code] if is_old else [])


def test_a_hidden_row_whose_edits_are_all_done_is_the_devices_no_longer(sent: Sent) -> None:
    bench, _, _ = sent
    for key in (1, 5):
        bench.app.execute("UPDATE owner SET note = 'mine' WHERE id = ?", (key,))
    bench.pull(bench.gone("owner", 1, 5))
    log = bench.log("owner")
    done = {stamp for (stamp,) in bench.rows(f"SELECT stamp FROM {log} WHERE k0 = 1")}
    assert not bench.entered(done=done)
    assert bench.rows("SELECT count(*) FROM _sync_parked") == [(1,)]
    assert bench.rows(f"SELECT k0 FROM {log}") == [(5,)]


def test_l2_a_done_edit_that_was_rejected_is_kept_with_the_reason_the_hub_remembers(sent: Sent) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one', n = n + 2 WHERE id = 1")
    bench.app.execute("UPDATE owner SET note = 'five' WHERE id = 5")
    log, number = bench.log("owner"), bench.schema.number_of("owner")
    done = {stamp for (stamp,) in bench.rows(f"SELECT stamp FROM {log} WHERE k0 = 1")}
    told = [Rejection(number, [key], "unique", f"row {key}", "Mend it.") for key in (1, 5)]
    assert not bench.entered(done=done, rejected=[(frozenset(done), told)])
    _, edit = rejected(bench.device)  # of row 5 nothing was sent
    assert (edit.key, edit.op, edit.code, edit.detail, edit.remedy) == (
        (1,),
        "U",
        "unique",
        "row 1",
        "Mend it.",
    )
    assert (edit.values, edit.base) == ({"note": "one", "n": 2}, {"note": "mine", "n": 15})


def test_l2_edits_older_than_what_the_hub_remembers_are_set_aside_by_a_file_that_gets_a_new_id(
    sent: Sent,
) -> None:
    bench, _, _ = sent
    bench.app.execute("UPDATE owner SET note = 'one', n = n + 2 WHERE id = 1")
    bench.app.execute("DELETE FROM owner WHERE id = 5")
    assert not bench.entered(replica="replica-2", since=2**60)
    assert bench.rows(f"SELECT * FROM {bench.log('owner')}") == []
    _, *found = rejected(bench.device)
    assert [(edit.key, edit.op, edit.code, edit.values) for edit in found] == [
        ((1,), "U", UNTOLD.code, {"note": "one", "n": 2}),
        ((5,), "D", UNTOLD.code, {}),
    ]
    assert all((edit.detail, edit.remedy) == (UNTOLD.detail, UNTOLD.remedy) for edit in found)


def test_hidden_rows_whose_edits_are_done_are_no_longer_the_devices(tmp_path: Path) -> None:
    ddl = "CREATE TABLE one (id INTEGER PRIMARY KEY, a); CREATE TABLE two (id INTEGER PRIMARY KEY, a)"
    bench = Bench(tmp_path / "device.db", ddl)
    done, tables = set[bytes](), ("one", "two")
    for table in tables:
        bench.pull(bench.put(table, [1, ""], [2, ""], [3, ""]), watermark=f"put {table}")
        bench.app.execute(f"UPDATE {table} SET a = 'mine'")
        bench.pull(bench.gone(table, 1, 2, 3), watermark=f"gone {table}")
        stamps = bench.rows(f"SELECT stamp FROM {bench.log(table)} WHERE k0 < 3")
        done |= {stamp for (stamp,) in stamps}
    assert not bench.entered(done=done)
    overlay = Overlay(bench.store)
    for table in tables:
        hidden = [overlay.parked(bench.table(table), (key,)) for key in (1, 2, 3)]
        assert hidden == [None, None, ["mine"]] and bench.all(table) == []
    bench.close()


@pytest.mark.parametrize(("behind", "is_said"), [(0, False), (BEHIND, False), (BEHIND + 1, True)])
def test_that_the_clock_is_behind_is_said_of_an_edit_that_is_too_old_by_it(
    bench: Bench, behind: int, is_said: bool
) -> None:
    bench.entered(replica="replica-2", since=2**60, behind=behind)
    (kept,) = rejected(bench.device)
    assert (kept.detail != UNTOLD.detail) == is_said and kept.code == UNTOLD.code
