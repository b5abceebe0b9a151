"""What may stand in Syncline's own tables of the central database.

Whoever reads them takes it that Syncline wrote them. Where something fails all the same, every cell is
compared with what belongs there: what somebody has altered by hand is said by table, row and column, under
the code `ledger_damaged`, and is no failure of Python's. Nothing is read as long as nothing fails.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from syncline.errors import DatabaseError, LedgerDamaged, NotPrepared, SynclineError
from syncline.hub import absent, apart, following, keys, names, returned, ruled
from syncline.hub.central import Central
from syncline.hub.conflicts import note_of
from syncline.hub.contract import Cell, ConflictRow
from syncline.hub.receive import Kept
from syncline.hub.watermark import KEY_BYTES
from syncline.model.clock import COUNTER_BITS, LAST_MOMENT
from syncline.model.schema import from_plain
from syncline.protocol.messages import STAMP_BYTES, Rejection

Read = Callable[[Any], object]
"""Raises, whatever it may be, if the content of a cell cannot be read."""


def _sized(most: int) -> Read:
    def read(value: int) -> None:
        if not 0 <= value <= most:
            raise ValueError("a number that is out of range")

    return read


def _stamps(body: bytes) -> None:
    if len(body) % STAMP_BYTES:
        raise ValueError("no whole stamps")


def _secret(text: str) -> None:
    if len(bytes.fromhex(json.loads(text))) != KEY_BYTES:
        raise ValueError("a secret of another length")


def _json(kind: Any) -> Read:
    return lambda text: msgspec.json.decode(text, type=kind)


def _packed(kind: Any) -> Read:
    return lambda body: msgspec.msgpack.decode(body, type=kind) if body else None


def _schema(text: str) -> None:
    from_plain(json.loads(text))


def _conflict(text: str) -> None:
    note_of(ConflictRow(0, "", 0, False, json.loads(text)))


def _apart(text: str) -> None:
    plain = json.loads(text)
    for one in plain["tables"].values():
        _schema(json.dumps(one))
    msgspec.convert(plain["reasons"], dict[int, str], strict=False)


class _Names(msgspec.Struct):
    tables: dict[str, int]
    columns: dict[int, dict[str, int]]


def _returned(text: str) -> None:
    msgspec.msgpack.decode(base64.b64decode(text), type=list[tuple[int, list[Any], dict[int, Any]]])


COUNT = _sized(2**53)
MOMENT = _sized(LAST_MOMENT)
CLOCK = _sized((LAST_MOMENT << COUNTER_BITS) + (1 << COUNTER_BITS) - 1)

RULES: Mapping[tuple[str, str], Read] = {
    ("state", "clock"): CLOCK,
    ("state", "kept_old"): lambda text: _json(dict[int, list[int]])(text) if text else None,
    ("state", "pruned"): MOMENT,
    ("state", "floor"): COUNT,
    ("state", "floor_hlc"): CLOCK,
    ("state", "compacted"): COUNT,
    ("state", "lost"): COUNT,
    ("log", "tbl"): COUNT,
    ("log", "op"): lambda op: {"I": 0, "U": 0, "D": 0, "R": 0, "M": 0, "i": 0, "d": 0}[op],
    ("log", "hlc"): CLOCK,
    ("tables", "n"): COUNT,
    ("tables", "columns"): _json(dict[str, int]),
    ("tables", "labels"): _json(dict[str, str]),
    ("tables", "log_key"): _json(list[tuple[int, str]]),
    ("tables", "attached"): _json(list[str]),
    ("clients", "push"): COUNT,
    ("clients", "pending"): COUNT,
    ("clients", "verdict"): _packed(Kept),
    ("clients", "own"): lambda text: _json(dict[str, str])(text) if text else None,
    ("stamps", "tails"): _stamps,
    ("stamps", "rejected"): _packed(list[Rejection]),
    ("claims", "hlc"): CLOCK,
    ("claims", "claim"): CLOCK,
    ("conflicts", "push"): COUNT,
    ("conflicts", "data"): _conflict,
    ("uploads", "push"): COUNT,
    ("uploads", "chunks"): COUNT,
    ("uploads", "row_count"): COUNT,
    ("uploads", "bases"): _json(list[str]),
    ("chunks", "chunk"): COUNT,
    ("chunks", "octets"): COUNT,
    ("moments", "place"): COUNT,
    ("given", "definition"): _schema,
    ("versions", "body"): _schema,
}
"""By table and column: what reads it, where more is to be said of it than what kind of value it is."""

SETTINGS: Mapping[str, Read] = {
    keys.NAME: _secret,
    names.SETTING: _json(_Names),
    returned.SETTING: _returned,
    absent.KEY: _json(list[str]),
    apart.KEY: _apart,
    following.CHOSEN: _json(bool),
    ruled.SETTING: lambda text: ruled.plain_of(text) if text else None,
    "told": _json(int),
    "forgotten": _json(int),
    "newest entries": _json(tuple[int, list[tuple[int, list[tuple[str, int]]]]]),
}
"""By name: what reads the content of a setting."""


def damage(central: Central) -> LedgerDamaged | None:
    """What to raise if somebody has altered Syncline's own tables; None if they are sound, or cannot be
    looked at now."""
    try:
        with central.database.reading_ledger() as ledger:
            found = next((said for cell in ledger.cells() if (said := _wrong(central, cell))), None)
    except SynclineError:
        return None
    return None if found is None else LedgerDamaged(found)


def _wrong(central: Central, cell: Cell) -> str | None:
    """A sentence, if the cell is not as Syncline writes it."""
    where = f"{cell.place}: the column {cell.column} was altered"
    if isinstance(cell.value, Exception):
        return f"{where}: it cannot be read ({cell.value})"
    if not cell.is_fit:
        kind = "NULL" if cell.value is None else type(cell.value).__name__
        return f"{where}: it holds {kind}, or a number, that does not belong there"
    read = RULES.get((cell.table, cell.column))
    if (cell.table, cell.column) == ("settings", "content"):
        read = SETTINGS.get(cell.key[0])
    if (cell.table, cell.column) == ("clients", "watermark") and cell.value:
        read = central.database.position
    if read is None or cell.value is None:
        return None
    try:
        read(cell.value)
    except Exception as error:  # of whatever kind: it is what is kept that cannot be read
        return f"{where}: it cannot be read ({getattr(error, 'detail', error)})"
    return None


@contextmanager
def looked_after(central: Central) -> Iterator[None]:
    """What fails inside is LedgerDamaged, with the place named, if Syncline's own tables were altered; else
    it comes out as it is."""
    try:
        yield
    except Exception as error:
        is_doubtful = isinstance(error, (DatabaseError, NotPrepared)) and not error.retry
        if isinstance(error, SynclineError) and not is_doubtful:
            raise
        found = damage(central)
        if found is None:
            raise
        raise found from error


class Holder(Protocol):
    """Who has a central database."""

    _central: Central


H = TypeVar("H", bound=Holder)
P = ParamSpec("P")
R = TypeVar("R")


def in_ledger(verb: Callable[Concatenate[H, P], R]) -> Callable[Concatenate[H, P], R]:
    """A method that works with the central database: what fails in it is `looked_after`."""

    @wraps(verb)
    def looked(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with looked_after(self._central):
            return verb(self, *args, **kwargs)

    return looked
