"""Keys whose spelling the central database alone can tell: it is asked, before the rows under them are sent.

An interval, a `jsonb`, a range or a `citext` has many spellings, and no device can read them all. So the keys
of rows that were inserted here are sent for their spelling first, a table at a time; the rows then get the
keys that they will have in the centre, with what points at them and the change log. Tables whose keys a
device can spell by itself are not looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from syncline.errors import StoreConstraint, ValueRefused
from syncline.model.order import is_sound
from syncline.model.values import identical
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Spell, Spelled
from syncline.replica.device import Device
from syncline.replica.edge import Key, inward_key, outward_key
from syncline.replica.freeze import in_flight
from syncline.replica.pending import settle
from syncline.replica.refusal import refuse
from syncline.replica.respell import Respelling, respell_as
from syncline.replica.session import ask
from syncline.replica.statements import Statements
from syncline.replica.store import Store

logger = logging.getLogger("syncline.replica")

KEYS = 5_000
"""Keys that are asked for at once, at most (law L11)."""


def spell_inserted(device: Device) -> Flow[None]:
    """Ask for the keys of rows that were inserted here, and respell them. Not while a push is in flight,
    whose keys stay as they were sent."""
    if not any(t.asked for t in device.tables.values()) or in_flight(device.store) is not None:
        return
    noted: list[Respelling] = []
    try:
        yield from note_inserted(device, noted)
        if noted:
            with device.store.transaction():
                device.check()
                take_in_now(device, noted)
    except StoreConstraint as error:  # the hub then refuses these rows, and no others
        logger.warning("keys stay as they are spelled here: %s", error, extra={"action": "spell"})
    finally:
        forget(noted)


def note_inserted(device: Device, noted: list[Respelling]) -> Flow[None]:
    """Ask for the keys of rows that were inserted here; note what is spelled otherwise."""
    yield from _note(device, device.tables.values(), lambda t: _inserted(device, t), noted)


def take_in_now(device: Device, noted: Sequence[Respelling]) -> None:
    """Respell what was noted. A row whose key another one has already is refused and kept. Inside a write
    transaction."""
    settle(device.store, [one.t for one in noted])
    for t, refused in respell_as(device, noted):
        if refused:
            refuse(device, t, refused, ValueRefused.code, ValueRefused.remedy)


def forget(noted: Iterable[Respelling]) -> None:
    """Let go of what was noted."""
    for one in noted:
        one.forget()


def spell_all(device: Device, tables: Sequence[Statements]) -> Flow[None]:
    """Ask for all keys of tables that begin to take part, as `respell.respell_all` does with what a device
    can spell by itself."""
    noted: list[Respelling] = []
    try:
        yield from _note(device, tables, lambda t: _present(device.store, t), noted)
        if noted:
            with device.store.transaction():
                device.check()
                respell_as(device, noted)
    finally:
        forget(noted)


def _note(
    device: Device,
    tables: Iterable[Statements],
    keys_of: Callable[[Statements], Iterator[list[Key]]],
    noted: list[Respelling],
) -> Flow[None]:
    """Ask for keys, some at a time; add what is spelled otherwise to `noted`, in temporary tables."""
    for t in [t for t in tables if t.asked]:
        respelling: Respelling | None = None
        for keys in keys_of(t):
            known = yield from _known(device, t, keys)
            if known:
                if respelling is None:
                    respelling = Respelling(device.store, t, device.tables.values())
                    noted.append(respelling)
                respelling.note_known(known)


def _inserted(device: Device, t: Statements) -> Iterator[list[Key]]:
    """The keys of rows that were inserted, in the order of the log."""
    store, after, most = device.store, 0, _most(device)
    upto = store.value(f"SELECT max(seq) FROM {t.log}") or 0
    while after < upto:
        with store.undecoded():
            rows = store.rows(
                f"SELECT seq, {t.key_columns} FROM {t.log} WHERE op = 'I' AND seq > ? AND seq <= ?"
                f" ORDER BY seq LIMIT {most}",
                (after, upto),
            )
        after = int(rows[-1][0]) if len(rows) == most else upto
        yield [tuple(row[1:]) for row in rows]


def _present(store: Store, t: Statements) -> Iterator[list[Key]]:
    """The keys of a table, in their order."""
    names, after = ", ".join(t.keys), ""
    bound: Key = ()
    while True:
        with store.undecoded():
            rows = store.rows(f"SELECT {names} FROM {t.name}{after} ORDER BY {names} LIMIT {KEYS}", bound)
        yield [tuple(row) for row in rows]
        if len(rows) < KEYS:
            return
        bound, after = tuple(rows[-1]), f" WHERE ({names}) > ({t.key_marks})"


def _most(device: Device) -> int:
    return min(KEYS, device.limits().push_rows)


def _known(device: Device, t: Statements, keys: Sequence[Key]) -> Flow[dict[Key, Key]]:
    """Those of the keys that the centre spells otherwise. Asked is for those alone that are not certain."""
    known: dict[Key, Key] = {}
    asked = {}
    for key in dict.fromkeys(keys):
        if all(value is not None and is_sound(value) for value in key):
            sent = outward_key(t, key)
            if not all(is_certain([sent[place]]) for place, is_certain in t.asked):
                asked[key] = sent
    if asked:
        replica = device.store.state().replica
        answer = yield from ask(Spell(replica, t.n, list(map(list, asked.values()))), Spelled)
        for key, spelled in zip(asked, answer.keys, strict=True):
            here = inward_key(t, spelled)
            if not all(map(identical, key, here)):
                known[key] = here
    return known
