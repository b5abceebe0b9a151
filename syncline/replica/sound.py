"""What may stand in Syncline's own tables of a file: one rule for each column.

Whoever reads these tables takes it that Syncline wrote them. Where a verb fails all the same, and when
`doctor` looks, every row is compared with the rules here: what somebody has altered by hand is said by table,
row and column, under the code of a damaged file, and is no failure of Python's. Nothing is read as long as
nothing fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from syncline.errors import (
    DigestMismatch,
    ProtocolError,
    StoreDamaged,
    StoreError,
    SynclineError,
    ValueRefused,
)
from syncline.model.masks import split_mask
from syncline.model.schema import from_plain
from syncline.model.values import INTEGER_MAX
from syncline.protocol.messages import NAME_LENGTH, STAMP_BYTES, ConflictNote, Limits
from syncline.replica.forms import read_forms
from syncline.replica.names import read_names, read_retired
from syncline.replica.recovery import Recovery
from syncline.replica.store import LAYOUT, PUT_BACK, Store, quote, unpack


@dataclass(frozen=True, slots=True)
class Rule:
    """`kinds`: storage classes of SQLite. `holds`: a condition, as SQL, on `{c}` where that is not NULL.
    `reads`: raises what `json`, msgspec and Python raise if the content cannot be read."""

    kinds: str
    holds: str = "1"
    reads: Callable[[Any], object] | None = None

    def broken(self, column: str) -> str:
        """As SQL: a value that this is not true of."""
        kinds = ", ".join(f"'{kind}'" for kind in self.kinds.split())
        holds = self.holds.format(c=column)
        return f"typeof({column}) NOT IN ({kinds}) OR {column} IS NOT NULL AND NOT coalesce({holds}, 0)"


@dataclass(frozen=True, slots=True)
class Unsound:
    """A place in Syncline's own tables that is not as Syncline writes it, and what is wrong with it."""

    table: str
    row: str
    column: str
    what: str

    def __str__(self) -> str:
        where = f"{self.column} of row {self.row}" if self.row else self.column
        return f"{self.table}: {where} was altered: {self.what}"


# The rules ----------------------------------------------------------------------------------------------


def _packed(*lengths: int, body: bytes) -> list[Any]:
    """A packed list, of one of these lengths if some are given."""
    found = unpack(body)
    if not isinstance(found, list) or (lengths and len(found) not in lengths):
        raise TypeError("it is another thing than a list of so many values")
    return found


def _key(body: bytes) -> None:
    if not _packed(body=body):
        raise ValueError("a key without values")


def _image(body: bytes) -> None:
    """Numbers of columns, and a value for each."""
    columns, values = _packed(2, body=body)
    if len(msgspec.convert(columns, list[int])) != len(values):
        raise ValueError("not a value for each column")


def _state(body: bytes) -> None:
    if unpack(body) is not None:
        _image(body)


class _Edit(msgspec.Struct):
    columns: list[int]
    values: list[Any]
    base: list[Any]
    names: list[str]
    table: str
    local: list[tuple[str, list[str], list[str], list[tuple[list[Any], bytes]]]] = []


def _edit(body: bytes) -> None:
    edit = msgspec.msgpack.decode(body, type=_Edit)
    if len(edit.names) != len(edit.columns) or len(edit.values) not in (0, len(edit.columns)):
        raise ValueError("not a value for each column")


def _parent(body: bytes) -> None:
    named = _packed(2, 3, body=body)
    if not isinstance(named[0], (str, int)) or not isinstance(named[1], list):
        raise TypeError("it is no row")


def _sent(body: bytes) -> None:
    """The rows of a push; none where it is in chunks."""
    if body:
        _packed(body=body)


def _places(body: bytes) -> None:
    msgspec.msgpack.decode(body, type=list[tuple[int, list[Any]]])


def _page(body: bytes) -> None:
    if len(_packed(body=body)) < 1:
        raise ValueError("an empty page")


def _written(text: str) -> None:
    text.encode()


def _json(kind: Any, text: str) -> None:
    msgspec.json.decode(text, type=kind)


def _hydrate(text: str) -> None:
    if not isinstance(json.loads(text), dict):
        raise TypeError("it is not how far a file is filled")


ID = Rule("integer")
AMOUNT = Rule("integer", f"{{c}} BETWEEN 0 AND {INTEGER_MAX}")
NUMBER = Rule("integer", f"{{c}} BETWEEN 1 AND {INTEGER_MAX}")
CLOCK = Rule("integer", "{c} >= 0")
TRUTH = Rule("integer", "{c} IN (0, 1)")
TEXT, TEXT_OR_NULL = Rule("text", reads=_written), Rule("text null", reads=_written)
TOKEN_OR_NULL = Rule("text null", f"length({{c}}) <= {NAME_LENGTH}", _written)
BLOB, BLOB_OR_NULL = Rule("blob"), Rule("blob null")
KEY = Rule("blob", reads=_key)
STAMPS = Rule("blob null", f"length({{c}}) % {STAMP_BYTES} = 0")
NAMES, NUMBERS = Rule("text", reads=partial(_json, list[str])), Rule("text", reads=partial(_json, list[int]))
SEEN = Rule("integer", "{c} IN (SELECT id FROM _sync_checkpoint)")
TRACKED = Rule("integer", "{c} IN (SELECT n FROM _sync_table)")
BODY = Rule("integer null", "{c} IN (SELECT id FROM _sync_body)")

RULES: Mapping[str, Mapping[str, Rule]] = {
    "_sync_state": {
        "id": ID,
        "replica": TEXT,
        "hub_url": TEXT_OR_NULL,
        "hub": TEXT_OR_NULL,
        "suppressed": TRUTH,
        "checkpoint": SEEN,
        "hlc": CLOCK,
        "push": Rule("integer", f"{{c}} BETWEEN 0 AND {INTEGER_MAX - 1}"),
        "schema": Rule("text null", reads=lambda text: from_plain(json.loads(text))),
        "fingerprint": TEXT_OR_NULL,
        "names": Rule("text null", reads=read_names),
        "retired": Rule("text null", reads=read_retired),
        "forms": Rule("text null", reads=read_forms),
        "chosen": TRUTH,
        "local_rows": TEXT_OR_NULL,
        "watermark": TEXT_OR_NULL,
        "limits": Rule("text null", reads=partial(_json, Limits)),
        "last_sync": TEXT_OR_NULL,
        "hydrate": Rule("text null", reads=_hydrate),
        "recovery": Rule("text null", reads=partial(_json, Recovery)),
        "chain": TOKEN_OR_NULL,
        "horizon": TEXT_OR_NULL,
        "former": NAMES,
        "carried": CLOCK,
        "chunk_bytes": Rule("integer null", "{c} > 0"),
        "rejected": Rule("integer", "{c} >= 0 AND {c} >= (SELECT coalesce(max(id), 0) FROM _sync_rejected)"),
    },
    "_sync_checkpoint": {"id": CLOCK, "watermark": TEXT, "hlc": CLOCK},
    "_sync_table": {"n": AMOUNT, "name": TEXT},
    "_sync_lost": {
        "n": AMOUNT,
        "seq": CLOCK,
        "replaced": Rule("integer", "{c} IN (0, 1, 2)"),
        "aside": Rule("integer", "{c} IN (0, 1, 2)"),
        "since": TEXT_OR_NULL,
        "lacked": NUMBERS,
        "due": NUMBERS,
    },
    "_sync_outbox": {
        "number": NUMBER,
        "digest": TEXT,
        "body": Rule("blob", reads=_sent),
        "bases": NAMES,
        "frozen": TEXT,
        "fingerprint": TEXT,
        "stamps": STAMPS,
        "marks": BLOB_OR_NULL,
        "made": CLOCK,
    },
    "_sync_outbox_chunk": {
        "chunk": NUMBER,
        "push": Rule("integer", "{c} IN (SELECT number FROM _sync_outbox)"),
        "row_count": AMOUNT,
        "digest": TEXT,
        "body_id": BODY,
    },
    "_sync_body": {"id": ID, "body": BLOB},
    "_sync_outbox_cut": {"n": AMOUNT, "seq": CLOCK},
    "_sync_parked": {"n": TRACKED, "key": KEY, "image": Rule("blob", reads=_image)},
    "_sync_held": {
        "n": TRACKED,
        "key": KEY,
        "state": Rule("blob", reads=_state),
        "since": SEEN,
        "reason": Rule("blob null", reads=lambda body: _packed(2, body=body)),
    },
    "_sync_rejected": {
        "id": ID,
        "n": AMOUNT,
        "key": KEY,
        "op": Rule("text", "{c} IN ('I', 'R', 'U', 'D', '-')"),
        "edit": Rule("blob", reads=_edit),
        "code": TEXT,
        "detail": TEXT,
        "remedy": TEXT,
        "parent": Rule("blob null", reads=_parent),
        "at": TEXT,
        "push": Rule("integer null"),
        "stamps": STAMPS,
        "part": TEXT_OR_NULL,
        "first": Rule("blob null", reads=_key),
    },
    "_sync_retried": {
        "stamp": Rule("blob", f"length({{c}}) = {STAMP_BYTES}"),
        "told": Rule("blob", f"length({{c}}) % {STAMP_BYTES} = 0"),
        "made": Rule("integer null"),
    },
    "_sync_settled": {
        "id": ID,
        "n": AMOUNT,
        "key": KEY,
        "code": TEXT,
        "detail": TEXT,
        "remedy": TEXT,
        "at": TEXT,
        "stamps": Rule("blob", f"length({{c}}) % {STAMP_BYTES} = 0"),
        "part": TEXT_OR_NULL,
        "again": STAMPS,
    },
    "_sync_conflict": {
        "id": ID,
        "note": Rule("blob", reads=lambda body: msgspec.msgpack.decode(body, type=ConflictNote)),
    },
    "_sync_stage": {"page": ID, "schema": TEXT_OR_NULL, "body": Rule("blob", reads=_page)},
    "_sync_fill": {"page": ID, "body": Rule("blob", reads=_page)},
    "_sync_index": {"n": AMOUNT, "what": TEXT, "name": TEXT},
    "_sync_reference": {"n": AMOUNT, "what": TEXT},
    "_sync_sent": {
        "number": Rule("integer"),
        "part": AMOUNT,
        "at": TEXT,
        "made": CLOCK,
        "again": TRUTH,
        "fingerprint": TEXT_OR_NULL,
        "refused": Rule("blob null", reads=_places),
        "stamps": STAMPS,
        "marks": BLOB_OR_NULL,
        "imprint": BLOB_OR_NULL,
        "bases": NAMES,
        "horizon": TEXT_OR_NULL,
        "digest": TEXT,
        "body_id": BODY,
        "body": BLOB_OR_NULL,
    },
}
"""By table and column. What has none of its own, the former values in a change log, may be anything."""

LOG: Mapping[str, Rule] = {
    "seq": ID,
    "op": Rule("text", "{c} IN ('I', 'U', 'D', 'M')"),
    "at": Rule("integer real"),
    "checkpoint": SEEN,
    "stamp": Rule("blob", f"length({{c}}) = {STAMP_BYTES}"),
    "ref": Rule("integer null"),
}
"""Of every change log; masks besides."""


def _masks(names: Sequence[str]) -> dict[str, Rule]:
    """The rules of the masks of a change log with these columns: a bit for each that has former values."""
    values = [int(name[1:]) for name in names if name[0] == "o" and name[1:].isdigit()]
    masks = [name for name in names if name.startswith("mask")]
    words = split_mask(sum(1 << number for number in values), len(masks))
    return {
        name: Rule("integer null", f"{{c}} & ~{word} = 0") for name, word in zip(masks, words, strict=True)
    }


# Looking ------------------------------------------------------------------------------------------------


def unsound(store: Store) -> Iterator[Unsound]:
    """The places that are not as Syncline writes them. Memory does not grow with the file. StoreError where
    the file cannot be read at all. None in a file of another layout."""
    if not store.is_replica or store.layout() not in (LAYOUT, None):
        return
    for table, rules in RULES.items():
        yield from _of_table(store, table, rules)
    for kind, name in store.described(_UNWRITTEN):
        yield Unsound("sqlite_master", str(name), "sql", f"the definition of the {kind} is no text")
    if store.row("SELECT 1 FROM _sync_state") is None:
        yield Unsound("_sync_state", "", "the only row", "it is not there")
    for table in [name for (name,) in store.rows(_LOGS)]:
        names = [name for name, _ in _columns(store, table)]
        yield from _of_table(store, table, {**LOG, **_masks(names)})


_UNWRITTEN = "SELECT type, name FROM sqlite_master WHERE typeof(sql) NOT IN ('text', 'null') ORDER BY name"
_LOGS = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '_sync_log_[0-9]*' ORDER BY name"


def _columns(store: Store, table: str) -> list[tuple[str, int]]:
    """The columns of a table, and their places in its primary key, 0 for those that are not in it."""
    return store.described("SELECT name, pk FROM pragma_table_info(?)", (table,))


def _of_table(store: Store, table: str, rules: Mapping[str, Rule]) -> Iterator[Unsound]:
    columns = dict(_columns(store, table))
    absent = [name for name in rules if name not in columns]
    if absent:
        yield Unsound(table, "", absent[0], "it is not there")
        return
    keys = sorted((place, name) for name, place in columns.items() if place)
    named = " || ', ' || ".join(f"quote({quote(name)})" for _, name in keys) or "'?'"
    for name, rule in rules.items():
        column = quote(name)
        wrong = f"SELECT {named}, typeof({column}) FROM {quote(table)} WHERE {rule.broken(column)} LIMIT 1"
        for row, kind in store.rows(wrong):
            yield Unsound(table, row, name, f"it is {_said(kind)} that does not belong there")
            break
        else:
            yield from _unread(store, (table, named, name), rule)


def _said(kind: str) -> str:
    return {"null": "a NULL", "integer": "a number", "real": "a number"}.get(kind, f"a {kind}")


def _unread(store: Store, place: tuple[str, str, str], rule: Rule) -> Iterator[Unsound]:
    """The first row whose content cannot be read."""
    table, named, name = place
    if rule.reads is None:
        return
    sql = f"SELECT {named}, {quote(name)} FROM {quote(table)} WHERE {quote(name)} IS NOT NULL"
    with store.undecoded():
        for batch in store.batches(sql, size=100):
            for row, content in batch:
                try:
                    rule.reads(content)
                except Exception as error:  # of whatever kind: it is what was noted that cannot be read
                    why = error.detail if isinstance(error, SynclineError) else error
                    yield Unsound(table, row, name, f"it cannot be read ({why})")
                    return


def damage(store: Store) -> StoreDamaged | None:
    """What to raise if somebody has altered Syncline's own tables; None if they are sound, or cannot be
    looked at now."""
    try:
        found = next(unsound(store), None)
    except SynclineError:
        return None
    return None if found is None else StoreDamaged(f"{store.path}: {found}", remedy=PUT_BACK)


def _is_doubtful(error: Exception) -> bool:
    """Whether it may come of what was altered here."""
    if isinstance(error, DigestMismatch):
        return True
    return isinstance(error, (ProtocolError, StoreError, ValueRefused)) and not error.retry


@contextmanager
def looked_after(store: Store) -> Iterator[None]:
    """What fails inside is StoreDamaged if Syncline's own tables were altered; else it comes out as it is."""
    try:
        yield
    except Exception as error:
        is_known = isinstance(error, SynclineError)
        found = damage(store) if _is_doubtful(error) or not is_known else None
        if found is None:
            raise
        raise found from error


class Holder(Protocol):
    """Who has a file open."""

    _store: Store

    def _follow(self) -> None:
        """Go on with the file that is at the path by now."""


H = TypeVar("H", bound=Holder)
P = ParamSpec("P")
R = TypeVar("R")


def in_file(verb: Callable[Concatenate[H, P], R]) -> Callable[Concatenate[H, P], R]:
    """A method that works on the file that is at the path: what fails in it is `looked_after`."""

    @wraps(verb)
    def looked(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with looked_after(self._store):
            self._follow()
            return verb(self, *args, **kwargs)

    return looked
