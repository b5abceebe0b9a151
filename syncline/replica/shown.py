"""Edits of a row that is shown as it was before the hub's last word: they stand on what was shown.

A row that is held back (`Work.held`) shows older values than the watermark says. An edit of such a value is
made without having seen the newer one, and must meet it as a conflict (law L2), not go over it unseen.
"""

from __future__ import annotations

from syncline.model.masks import split_mask
from syncline.model.values import mask_of
from syncline.replica.device import Device
from syncline.replica.displaced import keep_displaced
from syncline.replica.statements import Statements
from syncline.replica.staying import keep_with_staying
from syncline.replica.store import Store, unpack

_UNSEEN = "SELECT DISTINCT n, 1 FROM _sync_held UNION ALL SELECT DISTINCT n, 0 FROM _sync_parked"
"""The tables that have rows which are held back, and those that have hidden ones."""


def look_at_hidden(device: Device) -> None:
    """Give captured edits of what is held back the checkpoint that the shown values are of, and keep those of
    hidden rows whose keys are others' now, and of rejected rows that stay. Inside a transaction, before edits
    are frozen and before what is held or hidden changes."""
    store, tables = device.store, device.tables
    for n, is_held in store.rows(_UNSEEN):
        if n in tables and store.row(f"SELECT 1 FROM {tables[n].log} LIMIT 1") is not None:
            if is_held:
                keep_with_staying(device, tables[n])
                _stand_on_shown(store, tables[n])
            else:
                keep_displaced(device, tables[n])


def _stand_on_shown(store: Store, t: Statements) -> None:
    masks = ", ".join(f"m{i}" for i in range(len(t.masks)))
    store.execute("DROP TABLE IF EXISTS temp._sync_shown")
    store.execute(
        f"CREATE TEMP TABLE _sync_shown ({t.key_columns}, since, {masks}, PRIMARY KEY ({t.key_columns}))"
        " WITHOUT ROWID"
    )
    marks = ", ".join("?" * (t.arity + 1 + len(t.masks)))
    store.executemany(
        f"INSERT INTO temp._sync_shown VALUES ({marks})",
        (
            (*unpack(key), since, *split_mask(_mask(t, state), len(t.masks)))
            for key, state, since in store.rows(
                "SELECT key, state, since FROM _sync_held WHERE n = ?", (t.n,)
            )
        ),
    )
    touched = " OR ".join(f"l.{mask} & s.m{i}" for i, mask in enumerate(t.masks))
    shown = f"temp._sync_shown s WHERE {t.same_key('s', 'l')} AND s.since < l.checkpoint"
    store.execute(
        f"UPDATE {t.log} AS l SET checkpoint = (SELECT s.since FROM {shown})"
        f" WHERE EXISTS (SELECT 1 FROM {shown} AND (l.op <> 'U' OR {touched}))"
    )
    store.execute("DROP TABLE temp._sync_shown")


def _mask(t: Statements, state: bytes) -> int:
    """The columns that are held; all of a row that is gone."""
    plain = unpack(state)
    return t.table.all_mask if plain is None else mask_of(plain[0])
