"""The device's rows in canonical order, compared with what the hub says it has. Reads, changes nothing.

Rows that need not be equal are set aside: those with pending edits, those hidden until the hub has decided.
One that is held back counts as different, whatever the reason: the device does not show what the centre
has. It is said to be held, since nothing of it is lost and nothing about it has to be repaired.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from syncline.model.order import is_sound, place, shown
from syncline.model.values import Value, identical
from syncline.protocol.canonical import Pace, RowsDigest, canonical_row
from syncline.replica.edge import inward_key, inward_rows, outward_rows
from syncline.replica.overlay import Key, Overlay
from syncline.replica.reports import Difference
from syncline.replica.statements import Statements
from syncline.replica.store import Store, pack

Row = Sequence[Value]

SLICE = 500
"""Rows read at a time, at most: so many stay in the cache of a processor until they are digested, which is a
tenth quicker than with thousands of them."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a table's keys, behind `after` up to and with `to`, to be asked for in parts of `size`
    rows, or with size 0 row by row. `counts`: its rows have not been counted before."""

    table: int
    after: Key | None
    to: Key | None
    size: int
    counts: bool = False


@dataclass(slots=True)
class Finding:
    """A row that was not the same; `span` is where it was found."""

    t: Statements
    span: Span
    key: Key
    here: Row | None
    centre: Row | None
    held: bool = False

    @property
    def is_equal(self) -> bool:
        if self.here is None or self.centre is None:
            return self.here is self.centre
        alike = _alike_when_lossy(self.t) if self.t.is_lossy else _alike
        return alike(self.here, self.centre)

    def described(self) -> Difference:
        """As a report says it."""
        names = [*self.t.table.key, *(column.name for column in self.t.table.values.values())]
        here, centre = self.here, self.centre
        key = tuple(map(shown, (centre or here or self.key)[: self.t.arity]))
        if here is None or centre is None:
            kind = "missing_here" if here is None else "not_in_centre"
            sides = [{} if row is None else _named(names, row, range(len(names))) for row in (here, centre)]
        else:
            kind = "differs"
            changed = [i for i in range(len(names)) if not identical(here[i], centre[i])]
            sides = [_named(names, row, changed) for row in (here, centre)]
        return Difference(self.t.table.name, key, kind, sides[0], sides[1], self.held)


def _named(names: Sequence[str], row: Row, columns: Iterable[int]) -> dict[str, Value]:
    return {names[i]: shown(row[i]) for i in columns}


class Range:
    """The rows of a range in canonical order, as they travel, taken up to one key after the other."""

    def __init__(self, store: Store, t: Statements, after: Key | None, to: Key | None) -> None:
        sql, bound = _select(store, t, after, to)
        take = store.reader(sql, bound)
        self._take: Callable[[int], list[tuple[Value, ...]]] = take
        if t.converts:
            columns = list(t.values)
            self._take = lambda count: list(map(tuple, outward_rows(t, columns, take(count))))
        self._arity, self._pace = t.arity, Pace(SLICE)
        self._rows: list[tuple[Value, ...]] = []

    def up_to(self, to: Key | None) -> Iterator[list[tuple[Value, ...]]]:
        """The next rows up to and with a key (None: all that are left), in slices."""
        limit = None if to is None else place(to)
        while True:
            rows = self._rows or self._take(self._pace.step)
            if not rows:
                return
            cut = len(rows)
            if limit is not None and place(rows[-1][: self._arity]) > limit:
                cut = bisect_right(rows, limit, key=lambda row: place(row[: self._arity]))
            self._rows = rows[cut:]
            yield rows[:cut]
            if self._rows:
                return

    def digest(self, to: Key | None) -> RowsDigest:
        """The digest of the next rows up to and with a key."""
        digest = RowsDigest()
        for rows in self.up_to(to):
            self._pace.note(len(rows), digest.add(rows))
        return digest


def _select(store: Store, t: Statements, after: Key | None, to: Key | None) -> tuple[str, list[Value]]:
    """Keys whose form has another order than they have on the wire are ordered by what they are there."""
    binary = " COLLATE BINARY" if t.folds else ""
    names = list(t.keys)
    for i, spelling in enumerate(t.key_spellings):
        if spelling is not None and spelling.converts:
            store.define(f"_sync_outward_{t.n}_{i}", 1, spelling.outward)
            names[i] = f"_sync_outward_{t.n}_{i}({t.keys[i]})"
    keys = ", ".join(f"{name}{binary}" for name in names)
    tests = [f"{name} IS NOT NULL" for name in t.keys]
    bound: list[Value] = []
    for key, compare in ((after, ">"), (to, "<=")):
        if key is not None:
            tests.append(f"({keys}) {compare} ({t.key_marks})")
            bound += key
    chosen, where = ", ".join([*t.keys, *t.value_names]), " AND ".join(tests)
    return f"SELECT {chosen} FROM {t.name} WHERE {where} ORDER BY {keys}", bound


def differing(
    store: Store, t: Statements, span: Span, to: Key | None, rows: Iterable[Row], most: int
) -> list[Finding]:
    """The rows of a range that are not what the hub has there (`rows`), about `most` of them."""
    theirs = {tuple(row[: t.arity]): row for row in rows}
    alike = _alike_when_lossy(t) if t.is_lossy else _alike
    found: list[Finding] = []
    for mine in Range(store, t, span.after, to).up_to(None):
        for row in mine:
            key = row[: t.arity]
            other = theirs.pop(key, None)
            if other is None or not alike(row, other):
                found.append(Finding(t, span, key, row, other))
        if len(found) > most:
            found = without_set_aside(store, t, found)
            if len(found) > most:
                return found
    found += [Finding(t, span, key, None, row) for key, row in theirs.items()]
    return without_set_aside(store, t, found)


def _alike(here: Row, centre: Row) -> bool:
    return canonical_row(here) == canonical_row(centre)


def _alike_when_lossy(t: Statements) -> Callable[[Row, Row], bool]:
    """The file has what the centre has, as far as its forms can hold it."""
    columns = list(t.values)

    def alike(here: Row, centre: Row) -> bool:
        held = outward_rows(t, columns, inward_rows(t, columns, [list(centre)]))[0]
        return canonical_row(here) == canonical_row(held)

    return alike


def read_again(store: Store, findings: Iterable[Finding]) -> list[Finding]:
    """Those that still differ, with what the device has now, in canonical order."""
    by_table: dict[int, list[Finding]] = {}
    for finding in findings:
        if all(map(is_sound, finding.key)):
            chosen = ", ".join([*finding.t.keys, *finding.t.value_names])
            t = finding.t
            row = store.row(f"SELECT {chosen} FROM {t.name} WHERE {t.by_key}", inward_key(t, finding.key))
            finding.here = None if row is None else outward_rows(t, list(t.values), [row])[0]
        if not finding.is_equal:
            by_table.setdefault(finding.t.rank, []).append(finding)
    left: list[Finding] = []
    for _, some in sorted(by_table.items()):
        some.sort(key=lambda finding: place(finding.key))
        left += without_set_aside(store, some[0].t, some)
    held = {(n, bytes(key)) for n, key in store.rows("SELECT n, key FROM _sync_held")} if left else set()
    for finding in left:
        finding.held = any((finding.t.n, key) in held for key in _packed_keys(finding))
    return left


def without_set_aside(store: Store, t: Statements, findings: list[Finding]) -> list[Finding]:
    """Without the rows that need not be equal now."""
    sql = "SELECT key FROM _sync_parked WHERE n = ?"
    hidden = {bytes(key) for (key,) in store.rows(sql, (t.n,))}
    sound = [finding for finding in findings if all(map(is_sound, finding.key))]
    keys = [inward_key(t, finding.key) for finding in sound]
    edited = {id(sound[i]) for i in Overlay(store).contested(t, keys)}
    return [
        finding
        for finding in findings
        if id(finding) not in edited and not (hidden and any(key in hidden for key in _packed_keys(finding)))
    ]


def _packed_keys(finding: Finding) -> list[bytes]:
    """Its key as the file keeps it of hidden and held rows: as it is here and as the centre has it."""
    keys = [row[: finding.t.arity] for row in (finding.here, finding.centre) if row is not None]
    return [pack(inward_key(finding.t, key)) for key in keys if all(map(is_sound, key))]
