"""Deletes that a trigger of the centre turned into updates, its way of deleting: what the log says of them.

Capture logs the update behind the delete, which the engine has logged itself and which then is none.
"""

from __future__ import annotations

from typing import Any

from syncline.databases.base.statements import joined
from syncline.databases.base.typed import TypedShape
from syncline.model.operations import DELETES


def held_back(shape: TypedShape[Any]) -> str:
    """The numbers of rows that are there although deleted, unless that was turned into an update."""
    return f"SELECT s.n FROM {joined(shape)} WHERE NOT EXISTS ({_updated_instead(shape)})"


def unlog(shape: TypedShape[Any]) -> str:
    """Take out the log entries of deletes that were turned into updates. They are looked for in a table of
    their own, which DISTINCT keeps apart: MySQL reads none that it deletes from."""
    there = f"{_same_key(shape, 't', 'l')} AND EXISTS ({_updated_instead(shape)})"
    gone = (
        f"SELECT DISTINCT l.seq FROM {shape.log} AS l WHERE {shape.is_own('l')} AND l.op IN {DELETES}"
        f" AND EXISTS (SELECT 1 FROM {joined(shape)} WHERE {there})"
    )
    return (
        f"DELETE FROM {shape.log} WHERE {shape.is_own(shape.log)}"
        f" AND seq IN (SELECT gone.seq FROM ({gone}) AS gone)"
    )


def _updated_instead(shape: TypedShape[Any]) -> str:
    update, deletion = (f"{_same_key(shape, 't', entry)} AND {shape.is_own(entry)}" for entry in "ud")
    return (
        f"SELECT 1 FROM {shape.log} AS u WHERE {update} AND u.op = 'U' AND u.origin = 'hub'"
        f" AND u.seq > (SELECT max(d.seq) FROM {shape.log} AS d WHERE {deletion} AND d.op IN {DELETES})"
    )


def _same_key(shape: TypedShape[Any], row: str, entry: str) -> str:
    pairs = enumerate(zip(shape.key_names, shape.log_keys, strict=True))
    return " AND ".join(
        f"{shape.into_log(place, f'{row}.{name}')} = {entry}.{key}" for place, (name, key) in pairs
    )
