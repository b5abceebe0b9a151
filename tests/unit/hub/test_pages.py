"""Pages of a pull and of a hydrate: complete, resumable, bounded by rows and by bytes (L4, L5, L11)."""

from __future__ import annotations

import pytest

from syncline.hub import pull
from syncline.protocol import messages as m
from syncline.protocol.body import open_groups
from tests.unit.hub.desk import Desk, Device

SCRIPT = """
CREATE TABLE folder (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE paper (id INTEGER PRIMARY KEY, folder INTEGER REFERENCES folder, scan BLOB);
"""


@pytest.fixture
def desk() -> Desk:
    return Desk(SCRIPT)


def pages_of_pull(device: Device, limit: int) -> list[m.Changes]:
    pages: list[m.Changes] = []
    while True:
        answer = device.send(m.Pull(device.watermark, limit, device.name, device.schema.fingerprint))
        assert isinstance(answer, m.Changes)
        pages.append(answer)
        if answer.watermark is not None:
            device.watermark = answer.watermark
        if not answer.more:
            return pages


def pages_of_snapshot(device: Device, limit: int) -> list[m.SnapshotPage]:
    pages: list[m.SnapshotPage] = []
    cursor: str | None = None
    while True:
        answer = device.send(m.Snapshot(device.name, device.schema.fingerprint, cursor, limit))
        assert isinstance(answer, m.SnapshotPage)
        pages.append(answer)
        cursor = answer.cursor
        if cursor is None:
            return pages


def rows_in(pages: list[m.Changes] | list[m.SnapshotPage]) -> list[tuple[int, object]]:
    found = []
    for page in pages:
        for group in open_groups(page.groups, page.digest) if page.digest else []:
            found += [(group.table, row[0]) for row in group.rows]
    return found


def fill(desk: Desk, papers: int, size: int) -> list[tuple[int, object]]:
    desk.sql("INSERT INTO folder VALUES (1, 'all')")
    for number in range(papers):
        desk.sql("INSERT INTO paper VALUES (?, 1, zeroblob(?))", number, size)
    return [(0, 1), *((1, number) for number in range(papers))]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_every_row_arrives_once_whatever_the_page(desk: Desk, limit: int) -> None:
    device = desk.device("one")
    everything = fill(desk, 20, 10)
    assert sorted(rows_in(pages_of_pull(device, limit))) == everything
    assert sorted(rows_in(pages_of_snapshot(device, limit))) == everything
    assert pages_of_pull(device, limit)[-1].watermark is None


def test_large_rows_make_smaller_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "PAGE_BYTES", 10_000)
    device = desk.device("one")
    everything = fill(desk, 400, 1_000)
    for pages in (pages_of_pull(device, 10_000), pages_of_snapshot(device, 10_000)):
        assert sorted(rows_in(pages)) == everything
        assert len(pages) > 4


def test_a_row_larger_than_a_page_arrives_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "PAGE_BYTES", 10_000)
    device = desk.device("one")
    everything = fill(desk, 4, 50_000)
    assert sorted(rows_in(pages_of_pull(device, 10_000))) == everything
    assert sorted(rows_in(pages_of_snapshot(device, 10_000))) == everything


def test_a_pull_brings_one_change_a_row_and_only_what_was_touched(desk: Desk) -> None:
    device = desk.device("one")
    fill(desk, 2, 4)
    pages_of_pull(device, 100)
    desk.sql("UPDATE paper SET folder = NULL WHERE id = 1")
    desk.sql("UPDATE paper SET folder = 1 WHERE id = 1")
    desk.sql("UPDATE folder SET name = 'some'")
    groups = device.pull()
    assert [(g.table, g.op, g.columns, g.rows) for g in groups] == [
        (0, "U", [0], [[1, "some"]]),
        (1, "U", [0], [[1, 1]]),
    ]


def test_deletes_come_last_and_children_first(desk: Desk) -> None:
    """L9."""
    device = desk.device("one")
    fill(desk, 2, 4)
    pages_of_pull(device, 100)
    desk.sql("DELETE FROM paper")
    desk.sql("DELETE FROM folder")
    desk.sql("INSERT INTO folder VALUES (2, 'new')")
    groups = device.pull()
    assert [(g.table, g.op, g.rows) for g in groups] == [
        (0, "U", [[2, "new"]]),
        (1, "D", [[0], [1]]),
        (0, "D", [[1]]),
    ]


def test_what_came_and_went_is_told_as_gone(desk: Desk) -> None:
    device = desk.device("one")
    desk.sql("INSERT INTO folder VALUES (5, 'brief')")
    desk.sql("DELETE FROM folder")
    assert [(g.op, g.rows) for g in device.pull()] == [("D", [[5]])]
