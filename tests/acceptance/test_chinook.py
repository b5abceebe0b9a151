"""The Chinook database in the centre, cloned, edited offline on two devices and in the centre, synced,
compared row by row and type by type (laws L2, L5, L8 and L9)."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import syncline
from tests.acceptance.places import KEYS, Place, PostgresPlace, SqlitePlace, camel
from tests.support.serving import Served

CHINOOK = Path(__file__).parents[3] / "shared" / "data" / "chinook"
EDITS = 150
"""In each of the three places."""

Edit = Callable[[Place, random.Random], None]
CENTRES = ("postgresql", "sqlite")


@pytest.fixture(params=CENTRES)
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The central database with Chinook in it."""
    if not CHINOOK.is_dir():
        pytest.skip(f"NOT TESTED: the Chinook database is not at {os.path.relpath(CHINOOK)}")
    if request.param == "sqlite":
        file = tmp_path / "central.db"
        shutil.copyfile(CHINOOK / "Chinook_Sqlite.sqlite", file)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        place: Any = SqlitePlace("centre", 30_000, file, of_sqlite=True)
        place.url = f"sqlite:///{file}"
    else:
        url = request.getfixturevalue("postgres_url")
        script = (CHINOOK / "Chinook_PostgreSql.sql").read_text(encoding="utf-8")
        with psycopg.connect(url) as connection:
            connection.execute(script[script.index("CREATE TABLE") :].encode())
        place = PostgresPlace("centre", 30_000, url)
        place.url = url
    yield place
    place.connection.close()


@pytest.fixture
def served(centre: Any, tmp_path: Path) -> Iterator[Served]:
    name = camel if isinstance(centre, SqlitePlace) else str
    configuration = tmp_path / "syncline.toml"
    lines = ["[hub]", f'database = "{centre.url}"']
    for table in KEYS:
        lines.append(f"[tables.{name(table)}]")
        if table == "invoice":
            lines.append(f'merge = {{ {name("total")} = "sum", {name("billing_city")} = "review" }}')
    configuration.write_text("\n".join(lines) + "\n")
    with Served(configuration) as server:
        yield server


def pick(place: Place, rng: random.Random, table: str) -> Any:
    return rng.choice(place.keys(table))


def new_album(place: Place, rng: random.Random) -> None:
    """Parents, then children."""
    artist, album = place.new_id(), place.new_id()
    place.insert("artist", artist_id=artist, name=f"Künstler {artist} — فرقة")
    place.insert("album", album_id=album, title=f"Live in {place.label}", artist_id=artist)
    for number in range(rng.randint(1, 3)):
        place.insert(
            "track",
            track_id=place.new_id(),
            name=f"Take {number} “π≈3.14” \u200f🎸",
            album_id=album,
            media_type_id=pick(place, rng, "media_type")[0],
            genre_id=rng.choice([None, pick(place, rng, "genre")[0]]),
            composer=rng.choice([None, "", "O'Hara; DROP TABLE track; --"]),
            milliseconds=rng.randint(1, 2**31 - 1),
            bytes=rng.choice([None, 0, 2**31 - 1]),
            unit_price=place.money(rng.choice(["0.99", "1.29", "10.00", "99999999.99"])),
        )


def new_invoice(place: Place, rng: random.Random) -> None:
    invoice = place.new_id()
    place.insert(
        "invoice",
        invoice_id=invoice,
        customer_id=pick(place, rng, "customer")[0],
        invoice_date=place.moment(f"2025-0{rng.randint(1, 9)}-10T12:34:56.{rng.randint(1, 9):03}"),
        billing_city="Zürich",
        total=place.money("5.94"),
    )
    for _ in range(rng.randint(0, 4)):
        place.insert(
            "invoice_line",
            invoice_line_id=place.new_id(),
            invoice_id=invoice,
            track_id=pick(place, rng, "track")[0],
            unit_price=place.money("1.98"),
            quantity=rng.randint(1, 5),
        )


def remove_invoice(place: Place, rng: random.Random) -> None:
    """Children, then their parent."""
    (invoice,) = pick(place, rng, "invoice")
    lines = f"SELECT {place.name('invoice_line_id')} FROM {place.name('invoice_line')}"
    for (line,) in place.run(f"{lines} WHERE {place.name('invoice_id')} = ?", [invoice]):
        place.delete("invoice_line", (line,))
    place.delete("invoice", (invoice,))


def earn(place: Place, rng: random.Random) -> None:
    """An increment of a counter."""
    key = pick(place, rng, "invoice")
    add(place, key, rng.choice(["0.01", "1.98", "-0.50"]))


def add(place: Place, key: tuple[Any, ...], amount: str) -> None:
    total = Decimal(str(place.get("invoice", key, "total"))) + Decimal(amount)
    place.update("invoice", key, total=place.money(format(total, "f")))


def change_track(place: Place, rng: random.Random) -> None:
    """One column of one row."""
    change: dict[str, Any] = rng.choice(
        [
            {"name": f"Renamed by {place.label}"},
            {"composer": None},
            {"composer": ""},
            {"milliseconds": rng.randint(0, 10**9)},
            {"unit_price": place.money(f"{rng.randint(0, 99)}.{rng.randint(0, 99):02}")},
            {"genre_id": pick(place, rng, "genre")[0]},
            {"bytes": None},
        ]
    )
    place.update("track", pick(place, rng, "track"), **change)


def change_customer(place: Place, rng: random.Random) -> None:
    place.update(
        "customer",
        pick(place, rng, "customer"),
        company=rng.choice([None, f"Büro {place.label}", "שלום בע״מ"]),
        support_rep_id=rng.choice([None, pick(place, rng, "employee")[0]]),
    )


def move_invoice(place: Place, rng: random.Random) -> None:
    date = place.moment(f"20{rng.randint(10, 29)}-02-28T23:59:59")
    place.update("invoice", pick(place, rng, "invoice"), invoice_date=date, billing_city=place.label)


def change_playlist(place: Place, rng: random.Random) -> None:
    """Composite keys: added, removed, changed."""
    dice = rng.randint(0, 3)
    if dice == 0:
        place.delete("playlist_track", pick(place, rng, "playlist_track"))
        return
    playlist, track = pick(place, rng, "playlist")[0], pick(place, rng, "track")[0]
    if dice == 1:
        place.update("playlist_track", pick(place, rng, "playlist_track"), track_id=track)
    else:
        place.insert("playlist_track", playlist_id=playlist, track_id=track)


def remake_playlist_track(place: Place, rng: random.Random) -> None:
    """Removed and made again: the same row in the end."""
    playlist, track = pick(place, rng, "playlist_track")
    place.delete("playlist_track", (playlist, track))
    place.insert("playlist_track", playlist_id=playlist, track_id=track)


def new_genre_under_another_key(place: Place, rng: random.Random) -> None:
    """A change of key."""
    genre = place.new_id()
    place.insert("genre", genre_id=genre, name="Zydeco")
    place.update("genre", (genre,), genre_id=place.new_id())


def rename_by_upsert(place: Place, rng: random.Random) -> None:
    place.put("playlist", pick(place, rng, "playlist"), name=f"Best of {rng.randint(1, 99)}")


def replace_media_type(place: Place, rng: random.Random) -> None:
    """REPLACE of a row without children, where there is REPLACE."""
    key = (place.new_id(),)
    place.insert("media_type", media_type_id=key[0], name="Wax cylinder")
    if isinstance(place, SqlitePlace):
        place.replace("media_type", key, {"name": "Tape"})


def hire(place: Place, rng: random.Random) -> None:
    """The self-reference: a boss and a report in any order of keys."""
    low, high = place.new_id(), place.new_id()
    boss, report = rng.sample([low, high], 2)
    for employee, above in ((boss, pick(place, rng, "employee")[0]), (report, boss)):
        place.insert(
            "employee",
            employee_id=employee,
            last_name=f"Ng{employee}",
            first_name="Ýr",
            reports_to=above,
            birth_date=place.moment("1969-12-31T23:59:59.999999"),
            hire_date=place.moment("2038-01-19T03:14:08"),
        )


def reorganise(place: Place, rng: random.Random) -> None:
    place.update("employee", pick(place, rng, "employee"), reports_to=pick(place, rng, "employee")[0])


def fire(place: Place, rng: random.Random) -> None:
    place.delete("employee", pick(place, rng, "employee"))


def remove_track(place: Place, rng: random.Random) -> None:
    place.delete("track", pick(place, rng, "track"))


EVERY_EDIT: list[Edit] = [
    new_album,
    new_invoice,
    remove_invoice,
    earn,
    change_track,
    change_track,
    change_customer,
    move_invoice,
    change_playlist,
    change_playlist,
    remake_playlist_track,
    new_genre_under_another_key,
    rename_by_upsert,
    replace_media_type,
    hire,
    reorganise,
    fire,
    remove_track,
]


def scramble(place: Place, rng: random.Random, count: int) -> None:
    """`count` edits; what the place's own constraints refuse does not count."""
    done = 0
    while done < count:
        try:
            rng.choice(EVERY_EDIT)(place, rng)
            done += 1
        except Place.Refused:
            pass


def device(label: str, first_id: int, file: Path, centre: Place) -> SqlitePlace:
    return SqlitePlace(label, first_id, file, of_sqlite=isinstance(centre, SqlitePlace))


def assert_equal(centre: Place, devices: list[SqlitePlace]) -> None:
    """Every table, every row, every value and its type."""
    for table in KEYS:
        expected = centre.rows(table)
        for place in devices:
            found = place.rows(table)
            missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
            assert not missing and not extra, f"{place.label}, {table}: lacks {missing}, has {extra}"
            for key, row in expected.items():
                ours = found[key]
                same = [type(value) for value in ours] == [type(value) for value in row] and ours == row
                assert same, f"{place.label}, {table} {key}:\n  centre {row}\n  device {ours}"


def assert_verified(replica: syncline.Replica) -> None:
    """The digests say what the comparison of all rows said."""
    report = replica.verify()
    assert (report.equal, report.differences) == (True, ())


def test_chinook_is_cloned_to_the_last_value(centre: Place, served: Served, tmp_path: Path) -> None:
    file = tmp_path / "field.db"
    syncline.clone(served.url, file).close()
    assert_equal(centre, [device("field", 1, file, centre)])


def test_hundreds_of_edits_of_every_kind_in_three_places_end_up_equal(
    centre: Place, served: Served, tmp_path: Path
) -> None:
    files = [tmp_path / "one.db", tmp_path / "two.db"]
    replicas = [syncline.clone(served.url, file) for file in files]
    devices = [
        device(label, first, file, centre)
        for label, first, file in zip(("one", "two"), (10_000, 20_000), files, strict=True)
    ]
    rng = random.Random(20_261_121)
    for _ in range(3):
        for place in (*devices, centre):
            scramble(place, rng, EDITS // 3)
        for replica in (replicas[0], replicas[1], replicas[0]):
            replica.sync()
        assert_equal(centre, devices)
        for replica in replicas:
            assert not replica.status().pending
            assert_verified(replica)
    for replica in replicas:
        for rejected in replica.rejected():
            assert rejected.code in ("foreign_key_violation", "parent_rejected", "unique_violation")
        replica.close()


def test_edits_that_have_a_known_end(centre: Place, served: Served, tmp_path: Path) -> None:
    """A counter from three sides, a review, two columns of one row, a delete, a moved key."""
    one, two = (syncline.clone(served.url, tmp_path / name) for name in ("one.db", "two.db"))
    left, right = (device(name, 1, tmp_path / f"{name}.db", centre) for name in ("one", "two"))
    for place, amount in ((left, "1.00"), (right, "2.50"), (centre, "0.25")):
        add(place, (1,), amount)
    left.update("track", (5,), name="Five")
    right.update("track", (5,), unit_price=right.money("1.49"))
    centre.update("track", (5,), composer="Nobody")
    before = centre.get("invoice", (2,), "billing_city")
    centre.update("invoice", (2,), billing_city="Basel")
    left.update("invoice", (2,), billing_city="Bern")
    right.delete("playlist_track", (1, 3402))
    left.update("playlist_track", (1, 3389), playlist_id=2)
    for replica in (one, two, one):
        replica.sync()
    assert_equal(centre, [left, right])
    assert Decimal(str(centre.get("invoice", (1,), "total"))) == Decimal("5.73")
    assert centre.get("track", (5,), "name") == "Five"
    assert Decimal(str(centre.get("track", (5,), "unit_price"))) == Decimal("1.49")
    assert centre.get("track", (5,), "composer") == "Nobody"
    assert centre.get("invoice", (2,), "billing_city") == "Basel"
    (note,) = one.conflicts(open_only=True)
    assert (note.base, note.sent, note.hub) == (before, "Bern", "Basel")
    keys = centre.keys("playlist_track")
    assert (1, 3402) not in keys and (1, 3389) not in keys and (2, 3389) in keys
    for replica in (one, two):
        assert replica.rejected() == []
        assert_verified(replica)
        replica.close()
