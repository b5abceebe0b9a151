"""The centre's tables change while devices have edits: what reaches them by itself (L2, L5, L6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Raw

from syncline.errors import TransportError, UsageError
from syncline.protocol.body import seal
from syncline.protocol.flows import run
from syncline.protocol.messages import Group, Pull, Rejection, Request, SchemaQuery, Snapshot, Verdict
from syncline.replica import plan, sync, track
from syncline.replica.conflicts import conflicts
from syncline.replica.examine import examine
from syncline.replica.made import missing
from syncline.replica.noticed import notice_all
from syncline.replica.pending import pending_edits
from syncline.replica.progress import silent
from syncline.replica.rejected import rejected, retry
from syncline.replica.standing import status
from tests.support.changing import Changing as World
from tests.support.device import schema_of

__all__ = ["schema_of"]  # these tests run under every numbering


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "device.db")
    yield world
    world.close()


def test_l6_a_new_column_arrives_with_its_values_and_pending_edits_stay(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.app.execute("INSERT INTO thing VALUES (9, 'b', 'nine', NULL)")
    world.alter(
        "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 5; UPDATE thing SET size = id * 10"
    )
    world.pull()
    assert [(row["id"], row["note"], row["size"]) for row in world.all("thing")] == [
        (1, "mine", 10), (2, "n2", 20), (3, "n3", 30), (9, None, 5),
    ]  # fmt: skip
    assert pending_edits(world.device) == {"thing": 2}
    world.app.execute("UPDATE thing SET size = 11 WHERE id = 1")
    world.sync()
    (push,) = world.pushed()
    assert push.schema == world.peer.schema.fingerprint
    assert pending_edits(world.device) == {}


def test_l5_what_changes_while_the_schema_is_followed_is_there_too(world: World) -> None:
    world.alter("ALTER TABLE thing ADD COLUMN size INTEGER; UPDATE thing SET size = id")

    def meanwhile(request: object) -> None:
        if isinstance(request, Snapshot):
            world.peer.before = lambda request: None
            world.write("UPDATE thing SET size = 100 WHERE id = 2", "thing")

    world.peer.before = meanwhile
    world.sync()
    assert [row["size"] for row in world.all("thing")] == [1, 100, 3]


def test_a_new_table_arrives_and_is_captured(world: World) -> None:
    world.alter("CREATE TABLE tag (id INTEGER PRIMARY KEY, thing INTEGER REFERENCES thing (id), word TEXT);"
                "INSERT INTO tag VALUES (1, 2, 'red')")  # fmt: skip
    world.sync()
    assert world.all("tag") == [{"id": 1, "thing": 2, "word": "red"}]
    world.app.execute("INSERT INTO tag VALUES (2, 1, 'blue')")
    assert pending_edits(world.device) == {"tag": 1}


def test_l2_edits_of_a_dropped_column_are_kept_and_the_rest_stays_pending(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine', title = 'uno' WHERE id = 1")
    world.app.execute("UPDATE thing SET note = 'only' WHERE id = 2")
    world.app.execute("INSERT INTO thing VALUES (9, 'b', 'nine', 'new')")
    world.alter("ALTER TABLE thing DROP COLUMN note")
    world.pull()
    found = {edit.key: (edit.code, edit.values, edit.base) for edit in rejected(world.device)}
    assert found == {
        (1,): ("column_dropped", {"note": "mine"}, {"note": "n1"}),
        (2,): ("column_dropped", {"note": "only"}, {"note": "n2"}),
        (9,): ("column_dropped", {"note": "new"}, {"note": None}),
    }
    assert pending_edits(world.device) == {"thing": 2}
    assert [row["note"] for row in world.all("thing")] == ["mine", "only", "n3", "new"]
    world.app.execute("UPDATE thing SET note = 'nobody hears of it' WHERE id = 3")
    assert pending_edits(world.device) == {"thing": 2}


def test_l2_edits_of_a_dropped_table_are_kept(world: World) -> None:
    world.app.execute("UPDATE thing SET title = 'uno' WHERE id = 1")
    world.app.execute("INSERT INTO thing VALUES (9, 'b', 'nine', 'new')")
    world.app.execute("DELETE FROM thing WHERE id = 3")
    world.alter("DROP TABLE thing")
    world.pull()
    found = {edit.key: (edit.op, edit.code, edit.values.get("title")) for edit in rejected(world.device)}
    assert found == {
        (1,): ("U", "table_dropped", "uno"),
        (9,): ("I", "table_dropped", "nine"),
        (3,): ("D", "table_dropped", None),
    }
    assert len(world.all("thing")) == 3 and list(world.store.numbers()) == ["owner"]


def test_l2_a_verdict_of_a_new_schema_is_taken_in_with_it(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.alter("ALTER TABLE thing ADD COLUMN size INTEGER; UPDATE thing SET size = id")
    run(sync.push(world.device, silent), world.peer)
    assert [(row["note"], row["size"]) for row in world.all("thing")] == [("mine", 1), ("n2", 2), ("n3", 3)]
    assert pending_edits(world.device) == {}
    assert world.pushed()[0].schema != world.peer.schema.fingerprint


def test_a_renamed_column_keeps_its_name_here(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.alter("ALTER TABLE thing RENAME COLUMN note TO remark", {"thing": {"remark": "note"}})
    world.write("UPDATE thing SET remark = 'theirs' WHERE id = 2", "thing")
    world.pull()
    assert [row["note"] for row in world.all("thing")] == ["mine", "theirs", "n3"]
    assert world.device.hub == world.peer.schema


def test_a_renamed_table_keeps_its_name_here(world: World) -> None:
    world.alter("ALTER TABLE owner RENAME TO person", person="owner")
    world.write("UPDATE person SET name = 'Bo' WHERE id = 'b'", "person")
    world.sync()
    assert [row["name"] for row in world.all("owner")] == ["Ada", "Bo"]
    world.app.execute("UPDATE owner SET name = 'Eve' WHERE id = 'a'")
    assert pending_edits(world.device) == {"owner": 1}


CHANGES = """
ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 5;
UPDATE thing SET size = id * 10;
ALTER TABLE thing DROP COLUMN note;
CREATE TABLE tag (id INTEGER PRIMARY KEY, word TEXT);
INSERT INTO tag VALUES (1, 'red');
"""


def crashes(world: World, countdown: int) -> bool:
    """Whether a pull is ended by a kill before its statement of this number."""
    world.store.countdown = countdown
    try:
        world.pull()
    except BaseException as error:
        assert type(error).__name__ == "Crash", error
        return True
    finally:
        world.store.countdown = None
    return False


def test_l2_a_kill_at_any_statement_leaves_the_old_state_and_the_next_sync_does_it_again(
    tmp_path: Path,
) -> None:
    for countdown in range(10_000):
        world = World(tmp_path / f"device{countdown}.db")
        world.app.execute("UPDATE thing SET note = 'mine', title = 'uno' WHERE id = 1")
        world.alter(CHANGES)
        crashed = crashes(world, countdown)
        if crashed:
            names = [row[1] for row in world.app.execute("PRAGMA table_info(thing)")]
            state = world.store.state().fingerprint == world.peer.schema.fingerprint
            assert ("size" in names) == state
            world.pull()
        assert [(row["title"], row["size"]) for row in world.all("thing")] == [
            ("uno", 10), ("two", 20), ("three", 30),
        ]  # fmt: skip
        assert world.all("tag") == [{"id": 1, "word": "red"}]
        assert [edit.values for edit in rejected(world.device)] == [{"note": "mine"}]
        assert pending_edits(world.device) == {"thing": 1}
        assert world.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        world.close()
        if not crashed:
            return
    raise AssertionError("it never ended")


def described(world: World, table: str) -> dict[str, tuple[str, int]]:
    """Type and NOT NULL by column, as the file has them."""
    return {row[1]: (row[2], row[3]) for row in world.app.execute(f"PRAGMA table_info({table})")}


REBUILD = """
CREATE TABLE thing_2 (id INTEGER PRIMARY KEY, owner TEXT, title TEXT, note TEXT{more});
INSERT INTO thing_2 (id, owner, title, note) SELECT id, owner, title, note FROM thing;
DROP TABLE thing;
ALTER TABLE thing_2 RENAME TO thing;
"""


def test_what_the_centre_asks_no_longer_this_file_does_not_ask_either(world: World) -> None:
    world.alter(REBUILD.format(more=""))
    world.write("UPDATE thing SET title = NULL, owner = 'nobody' WHERE id = 2", "thing")
    world.sync()
    assert world.all("thing")[1] == {"id": 2, "owner": "nobody", "title": None, "note": "n2"}
    assert world.app.execute("PRAGMA foreign_key_list(thing)").fetchall() == []
    assert world.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert described(world, "thing") == {
        "id": ("INTEGER", 0), "owner": ("TEXT", 0), "title": ("TEXT", 0), "note": ("TEXT", 0),
    }  # fmt: skip


def test_a_wider_type_of_another_affinity_has_its_values_anew(world: World) -> None:
    world.app.execute("UPDATE owner SET score = 15 WHERE id = 'a'")
    world.alter(
        "CREATE TABLE o (id TEXT PRIMARY KEY, name TEXT, score DECIMAL_TEXT);"
        "INSERT INTO o SELECT id, name, score || '.50' FROM owner; DROP TABLE owner;"
        "ALTER TABLE o RENAME TO owner"
    )
    world.app.execute("CREATE INDEX own ON owner (score)")
    world.pull()
    assert described(world, "owner")["score"] == ("DECIMAL_TEXT", 0)
    assert [row["score"] for row in world.all("owner")] == ["15", "20.50"]
    assert world.app.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_dropped_column_that_must_have_a_value_gets_one_that_says_nothing(world: World) -> None:
    world.alter("ALTER TABLE thing DROP COLUMN title")
    world.write("INSERT INTO thing VALUES (7, 'a', 'seven')", "thing")
    world.sync()
    assert world.all("thing")[-1] == {"id": 7, "owner": "a", "title": "", "note": "seven"}


def test_indexes_come_and_go(world: World) -> None:
    world.alter("CREATE INDEX by_title ON thing (title); CREATE UNIQUE INDEX one_note ON thing (note)")
    world.sync()
    names = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql <> '' AND name NOT GLOB '_sync*'"
    assert {name for (name,) in world.app.execute(names)} == {"by_title", "one_note"}
    world.app.execute("CREATE INDEX own ON thing (title, note)")
    world.alter("DROP INDEX by_title")
    world.sync()
    assert {name for (name,) in world.app.execute(names)} == {"own", "one_note"}


def test_a_unique_index_that_pending_edits_stand_in_the_way_of_is_left_out(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'n2' WHERE id = 1")
    world.alter("CREATE UNIQUE INDEX one_note ON thing (note)")
    world.pull()
    assert [index.name for index in missing(world.device)] == ["one_note"]
    assert pending_edits(world.device) == {"thing": 1}


def test_an_index_of_a_renamed_column_has_its_name_here(world: World) -> None:
    world.alter(
        "ALTER TABLE thing RENAME COLUMN note TO remark; ALTER TABLE thing RENAME TO item;"
        "CREATE INDEX by_remark ON item (remark)",
        {"item": {"remark": "note"}},
        item="thing",
    )
    world.sync()
    assert world.app.execute("PRAGMA index_info(by_remark)").fetchall() == [(0, 3, "note")]


def test_a_column_that_the_application_had_before_the_centre_is_adopted(world: World) -> None:
    world.app.execute("ALTER TABLE thing ADD COLUMN size INTEGER")
    world.app.execute("UPDATE thing SET size = id * 10 WHERE id < 3")
    world.alter("ALTER TABLE thing ADD COLUMN size INT; UPDATE thing SET size = 10")
    world.sync()
    assert [row["size"] for row in world.all("thing")] == [10, 10, 10]
    (note,) = conflicts(world.store, open_only=False)
    assert (note.key, note.column, note.sent, note.hub) == ([2], "size", 20, 10)
    assert note.columns == [world.peer.schema.table("thing").column("size").number]


@pytest.mark.parametrize(
    ("here", "centre", "theirs"),
    [
        ("TEXT DEFAULT 'new'", "TEXT DEFAULT 'new'", "'done'"),
        ("TEXT NOT NULL DEFAULT ''", "TEXT", "'done'"),
        ("INTEGER DEFAULT '0'", "INT", "1"),
    ],
)
def test_what_a_column_of_the_application_has_by_default_is_no_conflict(
    world: World, here: str, centre: str, theirs: str
) -> None:
    """Nobody wrote it. What somebody wrote is kept, as it is where there is no default."""
    world.app.execute(f"ALTER TABLE thing ADD COLUMN state {here}")
    world.app.execute("UPDATE thing SET state = 7 WHERE id = 2")
    world.alter(f"ALTER TABLE thing ADD COLUMN state {centre}; UPDATE thing SET state = {theirs}")
    world.sync()
    assert len({row["state"] for row in world.all("thing")}) == 1
    (note,) = conflicts(world.store, open_only=False)
    assert (note.key, note.column, str(note.sent)) == ([2], "state", "7")


@pytest.mark.parametrize("more", ["", "ALTER TABLE thing ADD COLUMN more TEXT DEFAULT 'm';"])
def test_a_column_of_the_application_that_does_not_fit_is_said_and_nothing_is_lost(
    world: World, more: str
) -> None:
    world.app.execute("ALTER TABLE thing ADD COLUMN size TEXT")
    world.app.execute("UPDATE thing SET size = 'L', note = 'mine' WHERE id = 1")
    world.alter(
        f"ALTER TABLE thing ADD COLUMN size INTEGER; UPDATE thing SET size = 7; {more}"
        "CREATE TABLE crop (id INTEGER PRIMARY KEY); INSERT INTO crop VALUES (1)"
    )
    world.sync()
    assert world.all("crop") == [{"id": 1}], "all others go on"
    (waits,) = status(world.store).unable
    assert (waits.table, waits.code) == ("thing", "column_taken") and "RENAME COLUMN" in waits.remedy
    assert "size (INTEGER there, TEXT here)" in waits.detail and "declare" not in waits.detail
    assert [one.code for one in examine(world.store.path) if one.level == "trouble"] == ["column_taken"]
    assert world.all("thing")[0]["size"] == "L" and world.all("thing")[0]["note"] == "mine"
    world.app.execute("UPDATE thing SET note = 'later' WHERE id = 2")
    world.sync()
    world.app.execute("ALTER TABLE thing RENAME COLUMN size TO size_here")
    notice_all(world.device)
    for found in examine(world.store.path):
        assert "anew" not in found.sentence, "nobody made it anew"
    (regained,) = world.sync().regained
    assert (regained.table, regained.waited) == ("thing", True)
    notice_all(world.device)
    world.sync()
    assert not status(world.store).unable and not status(world.store).pending
    assert [(row["size_here"], row["size"], row["note"]) for row in world.all("thing")] == [
        ("L", 7, "mine"), (None, 7, "later"), (None, 7, "n3"),
    ]  # fmt: skip
    assert not more or {row["more"] for row in world.all("thing")} == {"m"}


def test_a_table_of_the_application_keeps_its_name_and_the_sync_goes_on(world: World) -> None:
    world.app.execute("CREATE TABLE tag (own TEXT)")
    world.alter("CREATE TABLE tag (id INTEGER PRIMARY KEY); ALTER TABLE thing ADD COLUMN size INTEGER")
    world.sync()
    assert world.all("tag") == [] and "size" in world.all("thing")[0]
    assert "tag" not in world.store.numbers()


def test_a_new_column_whose_name_an_old_one_still_has_gets_another(world: World) -> None:
    world.alter("ALTER TABLE thing RENAME COLUMN note TO remark", {"thing": {"remark": "note"}})
    world.sync()
    world.alter("ALTER TABLE thing ADD COLUMN note TEXT; UPDATE thing SET note = 'new'")
    world.sync()
    assert [(row["note"], row["note_2"]) for row in world.all("thing")] == [
        ("n1", "new"), ("n2", "new"), ("n3", "new"),
    ]  # fmt: skip


def test_l2_a_hidden_row_keeps_its_edits_and_has_the_new_column(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.peer.news.append([Group(world.peer.schema.number_of("thing"), "D", [], [[1]])])
    world.pull()
    assert [row["id"] for row in world.all("thing")] == [2, 3]
    world.alter("ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 5; UPDATE thing SET size = 7")
    world.pull()
    world.write("UPDATE thing SET title = 'back' WHERE id = 1", "thing")
    world.pull()
    assert world.all("thing")[0] == {"id": 1, "owner": "a", "title": "back", "note": "mine", "size": 7}


def test_a_schema_that_changes_again_while_it_is_followed_is_followed_too(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine' WHERE id = 1")
    world.alter("ALTER TABLE thing ADD COLUMN size INTEGER; UPDATE thing SET size = id")

    def again(request: object) -> None:
        if isinstance(request, Snapshot):
            world.peer.before = lambda request: None
            world.alter("ALTER TABLE thing ADD COLUMN weight INTEGER; UPDATE thing SET weight = id * 2")

    world.peer.before = again
    world.sync()
    assert [(row["note"], row["size"], row["weight"]) for row in world.all("thing")] == [
        ("mine", 1, 2), ("n2", 2, 4), ("n3", 3, 6),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [SchemaQuery, Snapshot, Pull])
def test_l2_a_connection_that_breaks_between_the_stages_leaves_the_old_state(
    world: World, kind: type[Request]
) -> None:
    world.app.execute("UPDATE thing SET note = 'mine', title = 'uno' WHERE id = 1")
    world.alter(CHANGES)
    world.peer.news.append([world.peer.group(world.peer.schema.table("thing"))])
    seen: list[Request] = []

    def cut(request: Request) -> None:
        seen.append(request)
        if isinstance(request, kind) and len(seen) > 1:
            raise TransportError("no network")

    world.peer.before = cut
    with pytest.raises(TransportError):
        world.pull()
    assert "size" not in world.all("thing")[0]
    world.peer.before = lambda request: None
    world.pull()
    assert [row["size"] for row in world.all("thing")] == [10, 20, 30]
    assert pending_edits(world.device) == {"thing": 1}
    assert world.store.state().watermark == "w1"
    assert [request.pending for request in world.peer.asked if isinstance(request, Pull)][-1] == 1


def test_the_rest_of_a_rejected_edit_is_retried_without_the_column_that_is_gone(world: World) -> None:
    world.app.execute("UPDATE thing SET note = 'mine', title = 'uno' WHERE id = 1")
    number = world.peer.schema.number_of("thing")
    body, digest = seal([world.peer.group(world.peer.schema.table("thing"))])
    refused = [Rejection(number, [1], "check", "no", "Mend it.")]
    world.peer.decide = lambda push: Verdict(push, [], digest, Raw(body), refused)
    world.sync()
    world.peer.decide = Verdict
    world.alter("ALTER TABLE thing DROP COLUMN note")
    world.sync()
    (edit,) = rejected(world.device)
    assert edit.values == {"note": "mine", "title": "uno"}
    retry(world.device, edit.id)
    (left,) = rejected(world.device)
    assert (left.values, left.code) == ({"note": "mine"}, "column_dropped")
    assert pending_edits(world.device) == {"thing": 1}
    with pytest.raises(UsageError) as caught:
        retry(world.device, left.id)
    assert caught.value.code == "column_dropped"


def test_rows_of_a_dropped_table_do_not_hold_back_those_that_they_point_at(world: World) -> None:
    world.alter("DROP TABLE thing; DELETE FROM owner WHERE id = 'b'")
    world.pull()
    owner = world.peer.schema.table("owner")
    world.peer.news.append([Group(owner.number, "D", [], [["b"]])])
    world.pull()
    assert [row["id"] for row in world.all("owner")] == ["a"]
    assert [row["owner"] for row in world.all("thing")] == ["a", "b", None]


def test_l9_a_deleted_parent_that_is_shown_again_has_the_new_columns(world: World) -> None:
    world.app.execute("DELETE FROM thing WHERE owner = 'b'")
    world.app.execute("DELETE FROM owner WHERE id = 'b'")
    world.alter("ALTER TABLE owner ADD COLUMN crop TEXT NOT NULL DEFAULT 'grass'")
    world.write("INSERT INTO thing VALUES (9, 'b', 'nine', NULL)", "thing")
    world.pull()
    assert [(row["id"], row["crop"]) for row in world.all("owner")] == [("a", "grass"), ("b", "grass")]
    assert pending_edits(world.device) == {"owner": 1, "thing": 1}


# A table that is taken out and put back -------------------------------------------------------------------

TAG = """
CREATE TABLE tag (id INTEGER PRIMARY KEY, word TEXT);
INSERT INTO tag VALUES (1, 'red'), (2, 'blue');
CREATE INDEX tag_word ON tag (word);
"""


def with_tag(world: World) -> int:
    world.alter(TAG)
    world.sync()
    return world.store.numbers()["tag"]


@pytest.mark.parametrize("seen", [True, False])
def test_l2_a_table_that_takes_part_again_is_taken_back_with_what_was_written_meanwhile(
    world: World, seen: bool
) -> None:
    former = with_tag(world)
    if not seen:
        world.app.execute("INSERT INTO tag VALUES (8, 'pending')")
    world.alter("DROP TABLE tag")
    if seen:
        world.sync()
    world.app.execute("INSERT INTO tag VALUES (7, 'written while it was out')")
    world.app.execute("UPDATE tag SET word = 'mine' WHERE id = 2")
    world.alter(f"{TAG}; INSERT INTO tag VALUES (3, 'green')")
    world.sync()
    number = world.store.numbers()["tag"]
    assert number != former and "tag_2" not in world.store.numbers()
    own = [] if seen else [{"id": 8, "word": "pending"}]
    assert world.all("tag") == [
        {"id": 1, "word": "red"}, {"id": 2, "word": "blue"}, {"id": 3, "word": "green"},
        {"id": 7, "word": "written while it was out"}, *own,
    ]  # fmt: skip
    (note,) = conflicts(world.store, open_only=False)
    assert (note.table, note.key, note.sent, note.hub) == ("tag", [2], ["mine"], ["blue"])
    assert pending_edits(world.device) == {"tag": 1 + len(own)}
    world.app.execute("INSERT INTO tag VALUES (9, 'as ever')")
    assert pending_edits(world.device) == {"tag": 2 + len(own)}
    world.sync()
    assert pending_edits(world.device) == {}
    assert [row["id"] for row in world.all("tag")] == [1, 2, 3, 7, *([8] if own else []), 9]
    indexes = world.app.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'tag'")
    assert indexes.fetchall() == [("tag_word",)]
    assert number in {n for (n,) in world.store.rows("SELECT n FROM _sync_index")}


def test_l2_a_kill_while_a_table_is_taken_back_leaves_it_out_and_the_next_sync_takes_it(
    tmp_path: Path,
) -> None:
    for countdown in range(10_000):
        world = World(tmp_path / f"device{countdown}.db")
        with_tag(world)
        world.alter("DROP TABLE tag")
        world.sync()
        world.app.execute("INSERT INTO tag VALUES (7, 'own')")
        world.app.execute("UPDATE tag SET word = 'mine' WHERE id = 2")
        world.alter(TAG)
        crashed = crashes(world, countdown)
        if crashed:
            world.pull()
        assert [row["word"] for row in world.all("tag")] == ["red", "blue", "own"]
        assert pending_edits(world.device) == {"tag": 1}
        assert [note.sent for note in conflicts(world.store, open_only=False)] == [["mine"]]
        world.close()
        if not crashed:
            return
    raise AssertionError("it never ended")


def test_l2_a_column_that_a_table_came_back_without_is_no_other_one_when_it_comes_back_again(
    world: World,
) -> None:
    world.alter(
        "CREATE TABLE tag (id INTEGER PRIMARY KEY, word TEXT, shade TEXT);"
        " INSERT INTO tag VALUES (1, 'a', 'b')"
    )
    world.sync()
    world.app.execute("UPDATE tag SET word = 'mine' WHERE id = 1")
    for again in range(3):
        world.alter("DROP TABLE tag")
        world.pull()
        if not again:
            world.app.execute("ALTER TABLE tag DROP COLUMN word")
        world.alter("CREATE TABLE tag (id INTEGER PRIMARY KEY, shade TEXT); INSERT INTO tag VALUES (1, 'b')")
        world.sync()
        assert "tag" in world.store.numbers()
        (kept,) = rejected(world.device)
        assert (kept.table, kept.values) == ("tag", {"word": "mine"})
        with pytest.raises(UsageError, match="no column word any more"):
            retry(world.device, kept.id)
    assert world.all("tag") == [{"id": 1, "shade": "b"}]


def test_a_table_that_fits_no_longer_is_left_out_said_and_made_one_by_track(world: World) -> None:
    with_tag(world)
    world.alter("DROP TABLE tag")
    world.sync()
    world.app.execute("INSERT INTO tag VALUES (7, 'own')")
    world.alter("CREATE TABLE tag (id INTEGER PRIMARY KEY, word TEXT, size INTEGER);"
                "INSERT INTO tag VALUES (1, 'red', 5)")  # fmt: skip
    world.sync()
    assert not {"tag", "tag_2"} & world.store.numbers().keys() and "tag_2" not in plan.tables_in(world.store)
    (finding,) = (one for one in examine(world.store.path) if one.code == "table_not_made")
    assert finding.level == "trouble" and "syncline track FILE tag" in finding.remedy
    assert "lacks the hub's columns size" in finding.sentence
    assert status(world.store).left_out == ("tag",)
    world.app.execute("ALTER TABLE tag ADD COLUMN size NUMERIC")  # fits for a person who says so
    world.sync()
    assert "tag" not in world.store.numbers()
    run(track.track(world.store, ["tag"], None, silent), world.peer)
    assert status(world.store).left_out == () and pending_edits(world.device) == {"tag": 2}
    world.sync()
    assert pending_edits(world.device) == {}
    assert [(row["id"], row["word"]) for row in world.all("tag")] == [(1, "red"), (2, "blue"), (7, "own")]


def test_a_table_is_made_once_the_one_that_has_its_name_is_out_of_the_way(world: World) -> None:
    world.app.execute("CREATE TABLE tag (own TEXT)")
    world.alter(TAG)
    world.sync()
    assert status(world.store).left_out == ("tag",)
    world.app.execute("ALTER TABLE tag RENAME TO label")
    assert {one.code for one in examine(world.store.path)} >= {"table_waits"}
    world.sync()
    assert [row["word"] for row in world.all("tag")] == ["red", "blue"] and status(world.store).left_out == ()
    world.app.execute("UPDATE tag SET word = 'pink' WHERE id = 1")
    assert pending_edits(world.device) == {"tag": 1}


@pytest.mark.parametrize("hidden", [False, True], ids=["deleted here", "hidden"])
@pytest.mark.parametrize(("own", "shown"), [("INTEGER NOT NULL DEFAULT 3", 3), ("INT DEFAULT (-4)", -4)])
@pytest.mark.parametrize("centre", ["INTEGER", "INTEGER NOT NULL DEFAULT 5"])
def test_l9_a_parent_that_is_shown_again_has_what_this_file_asks_of_a_column(
    world: World, centre: str, own: str, shown: int, hidden: bool
) -> None:
    """The application had the column before the centre, which may ask less of it."""
    world.app.execute("DELETE FROM thing WHERE owner = 'b'")
    if hidden:
        world.app.execute("UPDATE owner SET name = 'mine' WHERE id = 'b'")
        world.peer.news.append([Group(world.peer.schema.number_of("owner"), "D", [], [["b"]])])
        world.pull()
    else:
        world.app.execute("DELETE FROM owner WHERE id = 'b'")
    world.app.execute(f"ALTER TABLE owner ADD COLUMN size {own}")
    world.alter(
        f"ALTER TABLE owner ADD COLUMN size {centre}; INSERT INTO thing VALUES (9, 'b', 'nine', NULL);"
        "UPDATE owner SET size = 7"
    )
    if hidden:
        world.peer.rows["owner"].pop()
    world.peer.news.append([world.peer.group(world.peer.schema.table("thing"))])
    world.pull()
    assert [(row["id"], row["size"]) for row in world.all("owner")] == [("a", 7), ("b", shown)]
    assert pending_edits(world.device) == {"owner": 1, "thing": 1}


def test_a_column_without_a_default_that_the_application_requires_gets_a_value_that_says_nothing(
    world: World,
) -> None:
    world.app.execute("ALTER TABLE owner ADD COLUMN size TEXT NOT NULL DEFAULT 'x'")
    world.app.execute("PRAGMA writable_schema = ON")
    world.app.execute("UPDATE sqlite_master SET sql = replace(sql, ?, '')", (" DEFAULT 'x'",))
    world.app.execute("PRAGMA writable_schema = RESET")
    world.app.execute("DELETE FROM thing WHERE owner = 'b'")
    world.app.execute("DELETE FROM owner WHERE id = 'b'")
    world.alter("ALTER TABLE owner ADD COLUMN size TEXT; UPDATE owner SET size = 'seven'")
    world.write("INSERT INTO thing VALUES (9, 'b', 'nine', NULL)", "thing")
    world.pull()
    assert [(row["id"], row["size"]) for row in world.all("owner")] == [("a", "seven"), ("b", "")]
