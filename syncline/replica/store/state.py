"""The replica's state: the one row of `_sync_state`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from msgspec import Meta, convert

Amount = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=0, lt=2**62)]


@dataclass(frozen=True, slots=True)
class State:
    """`checkpoint` is the id of the latest checkpoint, `hlc` the highest clock known, `push` the last push
    number given out, `schema` JSON of `model.schema.to_plain`, `limits` JSON of `messages.Limits`, `hydrate`
    JSON of the cursor while hydrating, else None; `recovery` JSON of how far a recovery is (see
    `replica.recovery`), else None. `chain` is the chain's value after the last push that was answered (None
    in a file that is filled for another), `horizon` the newest position of which the file holds a value,
    `former` JSON of the ids that it had before, `carried` the checkpoint of the last edits made under one of
    them. `schema` has the hub's names; `names` is JSON of those that differ in this file, `retired` of what
    the hub has no more (see `replica.names`). `chosen` is 1 where the tables that take part were named
    (`track`): new ones of the hub do not come by themselves. `local_rows` is what this device was told to do
    with rows of its own that refer to deleted ones, else None. `chunk_bytes`: how large the chunks of a push
    may be, where less than usual gets through. `forms` is JSON of how the file spells values
    (see `replica.forms`)."""

    replica: str
    hub_url: str | None
    hub: str | None
    suppressed: Amount
    checkpoint: Amount
    hlc: Amount
    push: Number
    schema: str | None
    fingerprint: str | None
    watermark: str | None
    limits: str | None
    last_sync: str | None
    hydrate: str | None
    recovery: str | None
    chain: str | None
    horizon: str | None
    former: str
    carried: Amount
    names: str | None
    retired: str | None
    chosen: Amount
    local_rows: str | None
    chunk_bytes: Amount | None
    forms: str | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the replica had seen of the hub, and the highest clock it knew, from some moment on."""

    id: Amount
    watermark: str
    hlc: Amount


_FIELDS: dict[type, Any] = {
    kind: tuple[*get_type_hints(kind, include_extras=True).values()]  # type: ignore[misc]
    for kind in (State, Checkpoint)
}


def state_of(row: tuple[Any, ...]) -> State:
    """The state in a row of its columns. What msgspec raises, if a column holds what it cannot."""
    return State(*convert(row, _FIELDS[State]))


def checkpoint_of(row: tuple[Any, ...]) -> Checkpoint:
    """The checkpoint in a row, likewise."""
    return Checkpoint(*convert(row, _FIELDS[Checkpoint]))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a file stands with the hub: what only a sync changes.

    `outbox` and `digest` name the push in flight, `page` is the last one that is staged, `hydrate` is how far
    a file is filled."""

    replica: str
    push: int
    watermark: str | None
    outbox: int | None
    digest: str | None
    page: int | None
    hydrate: str | None
