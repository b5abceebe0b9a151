"""Thousands of values as a stranger would type them, in every type, as values and as keys, compared by query
on both sides (L8)."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg

import syncline

N = 12
"""Values a type, each in `WAYS` spellings at random."""
WAYS = 5

Random = random.Random


def _moment(n: int) -> datetime:
    return datetime(1999, 12, 31, 22, 58, tzinfo=UTC) + timedelta(
        hours=37 * n, microseconds=250_000 * (n % 5)
    )


def timestamptz(r: Random, n: int) -> Any:
    at = _moment(n)
    there = at.astimezone(timezone(timedelta(minutes=r.choice((-570, -60, 0, 120, 345)))))
    return r.choice(
        (
            at.isoformat().replace("+00:00", "Z"),
            str(there),
            there.strftime("%d %b %Y %H:%M:%S.%f %z"),
            there.strftime("%Y%m%dT%H%M%S.%f%z"),
            at.strftime("%Y-%m-%d %H:%M:%S.%f"),
            at.strftime("%B %d, %Y %H:%M:%S.%f UTC"),
        )
    )


def timestamp(r: Random, n: int) -> Any:
    at = _moment(n).replace(tzinfo=None)
    ways = ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S.%f", "%Y%m%d %H%M%S.%f")
    return at.strftime(r.choice((*ways, "%a %b %d %H:%M:%S.%f %Y")))


def date(r: Random, n: int) -> Any:
    day = _moment(20 * n)
    return day.strftime(r.choice(("%Y-%m-%d", "%Y%m%d", "%d %b %Y", "%B %d, %Y", "%Y-%m-%d 00:00", "%Y.%j")))


def time(r: Random, n: int) -> Any:
    at = datetime(2000, 1, 1) + timedelta(minutes=53 * n)
    return at.strftime(
        r.choice(("%H:%M:%S", "%H:%M", "%H%M%S", "%I:%M %p", "%H:%M:%S.000", "%I:%M:%S PM")[:5])
    )


def timetz(r: Random, n: int) -> Any:
    return time(r, n) + r.choice(("+02", " +02:00", "+0200", "+02:00:00", "+2"))


def interval(r: Random, n: int) -> Any:
    days, minutes = n, 61 * n
    hours, rest = divmod(minutes, 60)
    return r.choice(
        (
            f"{days} days {hours}:{rest:02}:00",
            f"P{days}DT{hours}H{rest}M",
            f"{days}d {minutes} minutes",
            f"@ {days} days {hours} hours {rest} mins",
            f"{rest} min {days * 1} day {hours} hours 0 sec",
        )
    )


def number(r: Random, n: int, digits: int = 2) -> Any:
    value = (n * 37 - 200) / 100
    ways = (f"{value:.{digits}f}", f" {value:+.{digits}f} ", f"{value * 100:.0f}e-2", repr(value), value)
    return r.choice(ways)


def integer(r: Random, n: int) -> Any:
    return r.choice((n - 5, str(n - 5), f" {n - 5} ", float(n - 5), f"{n - 5}.0"))


def money(r: Random, n: int) -> Any:
    return r.choice((f"{n}.50", f"${n}.50", f" {n}.5 ", f"{n}.500", f"${n},000.50"[: len(f"${n}")] + ".50"))


def truth(r: Random, n: int) -> Any:
    return r.choice((("t", "true", "YES", "on", "1", 1), ("f", "false", "NO", "off", "0", 0))[n % 2])


def identifier(r: Random, n: int) -> Any:
    one = uuid.UUID(int=0xA0EEBC999C0B4EF8BB6D6BB9BD380000 + n)
    return r.choice((str(one), str(one).upper(), f"{{{one}}}", one.hex, one.urn, one.bytes))


def letters(r: Random, n: int) -> Any:
    return f"é{n}"


def padded(r: Random, n: int) -> Any:
    return f"a{n}" + " " * r.randrange(5)


def caseless(r: Random, n: int) -> Any:
    return r.choice((str.upper, str.lower, str.title))(f"anna{n}")


def document(r: Random, n: int) -> Any:
    return r.choice(
        (
            f'{{"a":{n},"b":[1,2]}}',
            f'{{ "b" : [1, 2], "a" : {n} }}',
            f'{{"a": 0, "b":[1,2], "a":{n}}}',
            f'\n{{"\\u0061":{n},"b":[1,\t2]}}',
        )
    )


def numbers(r: Random, n: int) -> Any:
    return r.choice((f"[{n},2,null]", f"[ {n}, 2, null ]", f'["{n}","2",null]', f"[{n} ,2\n,null]"))


def words(r: Random, n: int) -> Any:
    return r.choice((f'["a,{n}","\\u00e9",""]', f'[ "a,{n}", "é", "" ]', f'["\\u0061,{n}" ,"é",""]'))


def span(r: Random, n: int) -> Any:
    return r.choice((f"[{n},{n + 3})", f"[{n},{n + 2}]", f"({n - 1},{n + 3})", f" ( {n - 1} , {n + 2} ] "))


def spanned(r: Random, n: int) -> Any:
    first, last = _moment(n), _moment(n + 1)
    return f"[{r.choice((first.isoformat(), str(first), first.strftime('%d %b %Y %H:%M:%S.%f UTC')))},{last})"


def address(r: Random, n: int) -> Any:
    v6 = (f"2001:db8::{n:x}", f"2001:DB8:0:0::{n:X}", f"2001:0db8:0:0:0:0:0:{n:04x}", f"2001:db8::{n:x}/128")
    return r.choice(v6 if n % 2 else (f"10.0.0.{n}", f"10.0.0.{n}/32"))


def network(r: Random, n: int) -> Any:
    return r.choice((f"10.{n}.0.0/16", f"10.{n}/16", f"10.{n}.0/16"))


def hardware(r: Random, n: int) -> Any:
    digits = f"08002b0102{n:02x}"
    pairs = [digits[i : i + 2] for i in range(0, 12, 2)]
    return r.choice((":".join(pairs), "-".join(pairs).upper(), digits, f"{digits[:6]}-{digits[6:]}"))


def bits(r: Random, n: int) -> Any:
    return r.choice((f"{n:04b}", f"b{n:04b}", f"x{n:x}", f"X{n:X}"))


def position(r: Random, n: int) -> Any:
    return r.choice((f"16/B37{n:03X}", f"16/b37{n:03x}", f"0016/0B37{n:03X}"))


def path(r: Random, n: int) -> Any:
    return f"top.a{n}"


def store(r: Random, n: int) -> Any:
    return r.choice((f"a=>{n},b=>NULL", f'"b"=>NULL, "a"=>"{n}"', f"b => null , a => {n}"))


def point(r: Random, n: int) -> Any:
    return r.choice((f"({n},1.5)", f" ( {n} , 1.50 ) ", f"{n},1.5", f"({n}.0,15e-1)"))


def vector(r: Random, n: int) -> Any:
    return r.choice((f"a:1 b{n}:2", f"'b{n}':2 'a':1", f"b{n}:2 a:1D", f" a:1   b{n}:2D,2 "))


TYPES: dict[str, Callable[[Random, int], Any]] = {
    "int": integer, "bigint": integer, "smallint": integer, "boolean": truth, "double precision": number,
    "real": number, "numeric": number, "numeric(8,2)": number, "numeric(8,1)": number, "money": money,
    "text": letters, "varchar(9)": letters, "char(6)": padded, "name": letters, "citext": caseless,
    "timestamp": timestamp, "timestamptz": timestamptz, "timestamptz(0)": timestamptz, "date": date,
    "time": time, "timetz": timetz, "interval": interval, "uuid": identifier, "jsonb": document,
    "int[]": numbers, "text[]": words, "int4range": span, "tstzrange": spanned, "inet": address,
    "cidr": network, "macaddr": hardware, "bit(4)": bits, "varbit": bits, "pg_lsn": position, "ltree": path,
    "hstore": store, "point": point, "tsvector": vector,
}  # fmt: skip
UNKEYED = frozenset(["boolean", "hstore", "point"])
"""Types whose values cannot be so many, or cannot be keys; a `hstore` is compared as text."""


KEPT = frozenset(["numeric", "citext"])
"""Types in which PostgreSQL keeps several spellings of one value."""
INTEGERS = frozenset(["int", "bigint", "smallint"])
ROUNDED = frozenset(["numeric(8,1)", "timestamptz(0)"])
"""Types that are keys alone here: a value that they round is another one, and counts as overruled."""


def test_whatever_is_typed_is_the_same_value_on_both_sides(postgres_url: str, tmp_path: Path) -> None:
    r = random.Random(42)
    names = {name: f"t{place}" for place, name in enumerate(TYPES)}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree")
        plain = [name for name in names if name not in ROUNDED]
        columns = ", ".join(f"{names[name]} {name}" for name in plain)
        connection.execute(f"CREATE TABLE v (id int PRIMARY KEY, {columns})")
        for name, column in names.items():
            if name not in UNKEYED:
                connection.execute(f"CREATE TABLE k_{column} (k {name} PRIMARY KEY, id int, typed text)")
    with syncline.Hub(postgres_url) as hub:
        hub.init()
        typed = {name: [make(r, i % N) for i in range(N * WAYS)] for name, make in TYPES.items()}
        with (
            syncline.clone(hub, tmp_path / "a.db") as device,
            syncline.clone(hub, tmp_path / "b.db") as other,
        ):
            with closing(sqlite3.connect(device.file, isolation_level=None)) as app:
                app.execute("BEGIN")
                for i, row in enumerate(zip(*(typed[name] for name in plain), strict=True)):
                    app.execute(f"INSERT INTO v VALUES ({', '.join('?' * (len(row) + 1))})", (i, *row))
                for name, column in names.items():
                    if name not in UNKEYED:
                        for i in range(N):
                            values = (typed[name][i], i, str(typed[name][i]))
                            app.execute(f"INSERT INTO k_{column} VALUES (?, ?, ?)", values)
                app.execute("COMMIT")
            report = device.sync()
            assert report.push.rejected == ()
            assert (report.push.overruled, report.push.conflicts, report.pending) == (0, 0, 0)
            assert report.push.sent == N * WAYS + N * (len(TYPES) - len(UNKEYED))
            with closing(sqlite3.connect(other.file, isolation_level=None)) as app:
                for (
                    name,
                    column,
                ) in names.items():  # in whatever spelling, a key is that of the row that is there
                    if name not in UNKEYED | INTEGERS:  # two inserts of one integer key are two things
                        for i in range(1, N, 2):
                            key = typed[name][N + i]
                            app.execute(f"INSERT INTO k_{column} VALUES (?, ?, 'again')", (key, i))
            assert other.sync().push.rejected == ()
            for one in (device, other):
                one.sync()
                found = one.verify()
                assert found.equal, found.differences
            _compare(postgres_url, device.file, names, typed)


def _compare(url: str, file: str, names: dict[str, str], typed: dict[str, list[Any]]) -> None:
    options = "-c timezone=UTC -c intervalstyle=iso_8601 -c datestyle=ISO"
    wrong: list[Any] = []
    with psycopg.connect(url, options=options) as centre, closing(sqlite3.connect(file)) as app:
        for name, column in names.items():
            texts = [value.hex() if isinstance(value, bytes) else str(value) for value in typed[name]]
            literals = _literals(name, texts)
            if name not in ROUNDED:
                same = f"v.{column} {'~=' if name == 'point' else '='} s.t::{name}"
                wrong += centre.execute(
                    f"SELECT '{name}', v.id, s.t, v.{column}::text FROM v JOIN unnest(%s::text[])"
                    f" WITH ORDINALITY s(t, n) ON v.id = s.n - 1 WHERE ({same}) IS NOT TRUE",
                    (literals,),
                ).fetchall()
                here = app.execute(f"SELECT count(DISTINCT {column}) FROM v").fetchone()[0]
                if name not in KEPT and here != (2 if name == "boolean" else N):
                    wrong.append((name, "spellings in the file", here))
            if name not in UNKEYED:
                counted = f"SELECT count(*), count(DISTINCT id) FROM k_{column}"
                counts = [side.execute(counted).fetchone() for side in (centre, app)]
                keys = centre.execute(
                    f"SELECT count(*) FROM k_{column} JOIN unnest(%s::text[]) WITH ORDINALITY s(t, n)"
                    f" ON k_{column}.id = s.n - 1 AND k = s.t::{name}",
                    (literals[:N],),
                ).fetchone()
                if counts != [(N, N), (N, N)] or keys != (N,):
                    wrong.append((name, "keys", counts, keys))
    assert wrong == [], wrong


def _literals(name: str, texts: list[str]) -> list[str]:
    """The same as PostgreSQL's own literals: it reads no `2.0` as an integer, and arrays in braces."""
    if name in INTEGERS:
        return [str(int(float(text))) for text in texts]
    if name == "uuid":
        return [text.removeprefix("urn:uuid:") for text in texts]
    if name.endswith("[]"):
        found = [json.loads(text) for text in texts]
        return [
            "{" + ",".join("NULL" if x is None else json.dumps(x, ensure_ascii=False) for x in row) + "}"
            for row in found
        ]
    return texts
