"""What the hub finds out about a file from what it tells of its pushes and edits (laws L2, L3, L10)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from syncline.errors import Malformed, PushOutOfStep, ReplicaRevoked
from syncline.hub.contract import Client
from syncline.model.scope import UNBOUNDED
from syncline.protocol import messages as m
from syncline.protocol.body import chained, imprint, link_of, sealed
from syncline.testing.outside import outside
from tests.unit.hub.desk import Desk, Device

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'bad'), qty INTEGER);"
FIRST, SECOND, THIRD = (bytes([number]) * 8 for number in (1, 2, 3))


class Chained(Device):
    """A file that tells of each push what it follows, and the stamps of the edits in it."""

    chain = ""

    def insert_and_push(self, key: int, name: str, stamps: bytes) -> m.Verdict:
        self.insert("item", key, name, 1)
        message = self.message(before=self.chain, stamps=stamps)
        verdict = self.send(message)
        assert isinstance(verdict, m.Verdict)
        chain = sealed(chained(self.chain, message.digest), verdict.seal)
        self.number, self.chain, self.groups = self.number + 1, chain, []
        return verdict

    def copy(self) -> Chained:
        other = Chained(self.hub, self.name)
        other.number, other.chain, other.watermark, other.bases = (
            self.number,
            self.chain,
            self.watermark,
            list(self.bases),
        )
        return other

    def look(self, push: int | None, chain: str) -> m.Response:
        return self.send(
            m.Pull(self.watermark, 100, self.name, self.schema.fingerprint, push=push, chain=chain)
        )

    def ask(self, fresh: str = "new", **told: Any) -> m.Reconciled:
        plain: dict[str, Any] = {"former": [], "push": self.number, "chain": self.chain, **told}
        answer = self.send(m.Reconcile(fresh, self.name, **plain))
        assert isinstance(answer, m.Reconciled)
        return answer


@pytest.fixture
def desk() -> Desk:
    return Desk(ITEM)


@pytest.fixture
def file(desk: Desk) -> Chained:
    made = Chained(desk.hub, "one")
    made.insert_and_push(1, "nut", FIRST)
    made.insert_and_push(2, "cog", SECOND)
    return made


@contextmanager
def put_back(desk: Desk) -> Iterator[None]:
    """After the block the centre is as it was before it."""
    with sqlite3.connect(":memory:") as kept:
        with outside(desk.database) as centre:
            centre.backup(kept)
        yield
        with outside(desk.database) as centre:
            kept.backup(centre)
    kept.close()


def test_a_file_that_has_made_the_pushes_of_its_id_or_does_not_tell_pulls(file: Chained) -> None:
    assert isinstance(file.look(2, file.chain), m.Changes)
    assert isinstance(file.look(None, "whatever"), m.Changes)


@pytest.mark.parametrize(
    ("push", "chain", "code", "words"),
    [
        (1, "other", "push_behind", "replica one has made 2 pushes, and this file 1"),
        (2, "other", "replica_copied", "another file than this one goes on under the id one"),
        (3, "other", "push_ahead", "replica one has made 2 pushes, and this file 3"),
    ],
)
def test_a_file_whose_pushes_are_others_than_those_of_its_id_is_told_so(
    file: Chained, push: int, chain: str, code: str, words: str
) -> None:
    with pytest.raises(PushOutOfStep, match=words) as caught:
        file.look(push, chain)
    assert caught.value.code == code


def test_a_file_of_which_nothing_is_amiss_keeps_its_id(file: Chained) -> None:
    answer = file.ask(stamps=THIRD + SECOND)
    assert (answer.replica, answer.taken, answer.push) == ("one", False, 2)
    assert (answer.done, answer.rejected, answer.lost, answer.pruned) == (SECOND, [], [], [])
    assert isinstance(file.look(2, file.chain), m.Changes)


def test_a_push_whose_answer_was_lost_is_known_by_the_chain(file: Chained) -> None:
    before, flying = file.copy(), file.copy()
    flying.insert_and_push(3, "rod", THIRD)
    answer = before.ask(outbox=link_of(flying.chain))
    assert (answer.replica, answer.taken, answer.push) == ("one", True, 3)
    assert answer.seal and answer.seal == flying.chain.partition(".")[2]
    assert before.ask("other", outbox="another's").taken is False


def test_a_file_pulls_that_has_not_taken_the_verdict_in_yet_and_none_that_had_another(file: Chained) -> None:
    link = link_of(file.chain)
    assert link != file.chain and isinstance(file.look(2, link), m.Changes)
    with pytest.raises(PushOutOfStep):
        file.look(2, sealed(link, "another past's"))


def test_l3_of_two_files_of_one_id_both_take_another_and_hear_what_was_decided(file: Chained) -> None:
    copy = file.copy()
    rejected = file.insert_and_push(3, "bad", THIRD).rejected
    answer = copy.ask(stamps=THIRD + FIRST)
    assert (answer.replica, answer.taken, answer.push) == ("new", False, 3)
    assert (answer.done, answer.rejected) == (THIRD + FIRST, [(THIRD, rejected)])
    again = copy.ask(stamps=THIRD + FIRST)  # a repeat, before the new id has pushed
    assert (again.replica, again.push, again.done) == ("new", 3, THIRD + FIRST)
    with pytest.raises(PushOutOfStep, match="goes on under the id one") as caught:
        file.look(3, file.chain)
    assert caught.value.code == "replica_copied"
    assert file.ask("newer").replica == "newer"


def test_a_new_id_under_which_another_file_has_pushed_is_given_to_nobody_else(file: Chained) -> None:
    copy = file.copy()
    file.insert_and_push(3, "rod", THIRD)
    copy.ask()
    went_on = copy.copy()
    went_on.name = "new"
    went_on.insert_and_push(4, "pin", b"")
    with pytest.raises(
        PushOutOfStep, match="another file than this one goes on under the new id new"
    ) as caught:
        copy.ask()
    assert caught.value.code == "replica_copied"


def test_a_file_whose_id_the_hub_does_not_know_is_told_that(desk: Desk, file: Chained) -> None:
    stranger = file.copy()
    stranger.name = "lost"
    answer = stranger.ask()
    assert (answer.replica, answer.push) == ("new", -1)


def test_a_file_hears_of_the_conflicts_of_its_edits_and_of_pushes_that_it_does_not_know(
    desk: Desk, file: Chained
) -> None:
    copy = file.copy()
    desk.sql("UPDATE item SET name = 'theirs' WHERE id = 1", at=9)
    file.update("item", [1], {"name": "mine"}, at=3)
    file.detail("item", [1], {"name": "nut"}, ["mine", 1])
    message = file.message(before=file.chain, stamps=THIRD)
    verdict = file.send(message)
    assert isinstance(verdict, m.Verdict)
    expected = [("one", note.id) for note in verdict.conflicts]
    assert len(expected) == 1
    assert copy.ask().conflicts == copy.ask(stamps=THIRD).conflicts == expected
    copy.number, copy.chain = 3, sealed(chained(copy.chain, message.digest), verdict.seal)
    assert copy.ask("newer").conflicts == []  # it knows of the push, and asks for none of its edits
    assert copy.ask("newer", stamps=THIRD).conflicts == expected


@pytest.mark.parametrize("is_whole", [True, False])
def test_l2_a_push_of_a_past_that_the_centre_has_lost_is_named(
    desk: Desk, file: Chained, is_whole: bool
) -> None:
    """Unless all its edits have come back by another's push."""
    copy = file.copy()
    with put_back(desk):
        file.insert_and_push(3, "rod", THIRD)
        file.pull()
    if is_whole:
        copy.insert_and_push(3, "rod", THIRD)
    answer = file.ask(horizons=[file.watermark], sent=imprint(THIRD))
    assert (answer.lost, answer.pruned) == ([] if is_whole else [0], [])


def test_l2_a_file_whose_centre_has_lost_a_push_takes_another_id_though_its_last_one_is_there(
    desk: Desk, file: Chained
) -> None:
    with put_back(desk):
        desk.sql("UPDATE item SET qty = 5")
        file.pull()
    answer = file.ask(horizons=[file.watermark], sent=imprint(THIRD))
    assert (answer.replica, answer.push, answer.lost) == ("new", 2, [0])


def test_a_new_id_that_is_known_already_but_has_not_pushed_is_given(desk: Desk, file: Chained) -> None:
    copy = file.copy()
    copy.chain = "other"
    Chained(desk.hub, "new")
    assert copy.ask().replica == "new"


def test_a_push_of_a_past_that_the_log_does_not_tell_any_more_is_named_where_the_file_has_to_ask(
    desk: Desk, file: Chained
) -> None:
    copy, horizon = file.copy(), file.watermark
    desk.sql("UPDATE item SET qty = 5")
    with desk.database.write(UNBOUNDED) as transaction:
        transaction.log.prune([], 0, None, 1000)
    told = {"horizons": [horizon, horizon], "sent": imprint(THIRD) + imprint(FIRST)}
    assert (file.ask(**told).lost, file.ask(**told).pruned) == ([], [])  # it is what its id says
    copy.chain = "other"
    answer = copy.ask(**told)
    assert (answer.replica, answer.lost, answer.pruned) == ("new", [], [0])
    answer = file.ask("newer", **told)  # its id is another file's, too, but all of its pushes are here
    assert (answer.replica, answer.lost, answer.pruned) == ("newer", [], [])


def test_an_imprint_belongs_to_each_position(file: Chained) -> None:
    with pytest.raises(Malformed, match="an imprint belongs to each horizon"):
        file.ask(horizons=[file.watermark], sent=FIRST + SECOND)


def record(desk: Desk, name: str) -> Client:
    with desk.database.read(UNBOUNDED) as transaction:
        found = transaction.ledger.client(name)
    assert found is not None
    return found


def stray(file: Chained) -> Chained:
    """A file that went on otherwise under the same id."""
    made = file.copy()
    made.chain = "other"
    return made


def test_a_file_hears_what_was_decided_under_an_id_that_was_locked_out_since(
    desk: Desk, file: Chained
) -> None:
    heir = stray(file)
    assert heir.ask().replica == "new"
    heir.name = "new"
    desk.hub.revoke("one")
    answer = heir.ask("newer", former=["one"], stamps=FIRST)
    assert (answer.replica, answer.done) == ("new", FIRST)
    with pytest.raises(ReplicaRevoked, match="one was locked out"):
        file.ask()


def test_the_record_of_a_new_id_is_filled_in(desk: Desk, file: Chained) -> None:
    stray(file).ask(fingerprint="of the file")
    made = record(desk, "new")
    assert (made.fingerprint, made.number, made.chain, made.root) == ("of the file", 2, "other", "one")
    assert made.registered == record(desk, "one").registered and made.registered is not None
    again = stray(file)
    assert again.ask(fingerprint=None).replica == "new"
    assert record(desk, "new").fingerprint == "of the file"


def test_files_of_ids_that_nobody_knows_have_lineages_by_their_first_ones(desk: Desk, file: Chained) -> None:
    for name, fresh, first in (("a1", "a2", "a0"), ("b1", "b2", "b0")):
        stranger = stray(file)
        stranger.name = name
        stranger.ask(fresh, former=[first])
    roots = [record(desk, name).root for name in ("a2", "b2")]
    assert "a0" in roots[0] and "b0" in roots[1]


def refused(*stamps: bytes) -> m.Refusal:
    return m.Refusal(b"".join(stamps), 0, [7], "check_violation", "a detail", "a remedy")


def test_what_a_file_knows_to_be_rejected_is_remembered_and_told_to_its_copies(file: Chained) -> None:
    copy, other = stray(file), stray(file)
    assert copy.ask(stamps=THIRD + FIRST, refused=[refused(THIRD), refused(FIRST)]).replica == "new"
    answer = other.ask("newer", stamps=THIRD + FIRST)
    assert answer.done == THIRD + FIRST, "FIRST was accepted, and stays so"
    assert [stamps for stamps, _ in answer.rejected] == [THIRD]
    ((_, (rejection,)),) = answer.rejected
    assert (rejection.code, rejection.detail, rejection.remedy) == ("check_violation", "a detail", "a remedy")
