"""Following the hub to its present schema: what is new is fetched and staged, one transaction takes all in.

    the hub answers with the fingerprint of its schema -> fetch the schema -> compare, by numbers -> fetch new
    tables, and new columns of others -> pull once more, up to one instant after that -> migrate

Nothing is locked while the hub is waited for (law L1). If the schema changes again meanwhile, it begins
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from syncline.errors import SchemaChanged
from syncline.model.schema import Schema
from syncline.protocol.flows import Flow
from syncline.protocol.messages import (
    Changes,
    SchemaAnswer,
    SchemaQuery,
)
from syncline.replica.apply import Answer, Applied, Step, apply, keep_held, run_steps
from syncline.replica.definitions import read_schema
from syncline.replica.device import Device
from syncline.replica.filling import clear_filling, fetch_filling
from syncline.replica.lost import lost
from syncline.replica.migrate import adapt, migrate
from syncline.replica.noticed import notice_again
from syncline.replica.plan import Plan, completable, plan
from syncline.replica.progress import Progress
from syncline.replica.pull import fetch_rest
from syncline.replica.session import ask
from syncline.replica.stage import add_page, clear_stage, is_staged_otherwise, last_page

ROUNDS = 5
"""How often the schema may change while it is followed."""


class Overtaken(Exception):
    """The verdict is of a schema of the past. Caught by the flow that pushes, which asks again."""


def take_in(device: Device, answer: Answer, progress: Progress, before: Step | None = None) -> Flow[Applied]:
    """`apply`, of an answer of whichever schema. Overtaken if the verdict must be asked for again. `before`:
    a step that comes before the hub's rows are taken in."""
    named = _named(device, answer)
    followed = named == device.hub.fingerprint and not is_staged_otherwise(device.store, named)
    if followed and not completable(device):
        if before is not None:
            run_steps(device, Answer(last=answer.last), (before, keep_held))
        return apply(device, answer)
    made, last = yield from _fetched(device, answer.last, progress)
    verdict, present = answer.verdict, made.hub.fingerprint
    if verdict is not None and verdict.digest and present != (verdict.schema or device.hub.fingerprint):
        raise Overtaken
    applied = migrate(device, Answer(verdict, last), made, before)
    if device.aside:
        notice_again(device)  # tables that did not fit may fit what the centre has now
        device.came_back = bool(lost(device.store)) or device.store.state().recovery is not None
    return applied


def adapted(device: Device) -> Flow[None]:
    """Bring the file to the hub's present schema, without the rows: it is about to be filled again."""
    made = plan(device, (yield from _present_schema(device)))
    if made.hub.fingerprint != device.hub.fingerprint:
        adapt(device, made)


def _named(device: Device, answer: Answer) -> str:
    """The fingerprint of the newest schema that the answer is of."""
    verdict, last = answer.verdict, answer.last
    return (last and last.schema) or (verdict and verdict.schema) or device.hub.fingerprint


def _fetched(device: Device, last: Changes | None, progress: Progress) -> Flow[tuple[Plan, Changes]]:
    """The plan, and the last page of a pull; all else is staged in the file."""
    note: Callable[[str, int, int | None], None] = progress
    for _ in range(ROUNDS):
        made = plan(device, (yield from _present_schema(device)))
        present = made.hub.fingerprint
        _keep_pages(device, last, present)
        try:
            made = replace(made, filled=(yield from _fetch_new(device, made, progress)))
            last = yield from fetch_rest(device, None, note, present)
        except SchemaChanged:
            last = None
            continue
        if last.schema == present and not is_staged_otherwise(device.store, present):
            before = last_page(device.store)
            reached = last.watermark or (before and before.watermark)
            return made, msgspec.structs.replace(last, watermark=reached or None)
    raise SchemaChanged(
        "the hub's schema changes again and again",
        remedy="Sync again when the centre's tables stay as they are.",
    )


def _present_schema(device: Device) -> Flow[Schema]:
    query = SchemaQuery(device.store.state().replica)
    answer = yield from ask(query, SchemaAnswer)
    device.changed = dict(answer.changed)
    return read_schema(answer)


def _keep_pages(device: Device, last: Changes | None, present: str) -> None:
    """The pages that are there are gone on from, if they are of this schema; otherwise fetched again."""
    with device.store.transaction() as store:
        if last is not None and last.watermark is not None:
            add_page(store, last)
        if is_staged_otherwise(store, present):
            clear_stage(store)
        clear_filling(store)


def _fetch_new(device: Device, made: Plan, progress: Progress) -> Flow[str]:
    wanted = {n: ",".join(map(str, columns)) for n, columns in made.fetched.items()}
    return (yield from fetch_filling(device, made.hub, wanted, lambda n: progress("migrate", n, None)))
