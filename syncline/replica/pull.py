"""Steps 10 and 11 of the path: fetch what is new, page by page, up to one instant of the centre.

No lock is held while the network is waited for (law L1). Pages before the last are staged in the file;
a pull that was cut off goes on from there.
"""

from __future__ import annotations

import msgspec

from syncline.errors import ProtocolError
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Changes, Pull
from syncline.replica.answers import NOTHING, groups_of
from syncline.replica.device import Device
from syncline.replica.identity import pushes_made
from syncline.replica.pending import waiting_edits
from syncline.replica.progress import Progress
from syncline.replica.session import ask
from syncline.replica.stage import add_page, last_page
from syncline.replica.store import State

EMPTY = 1_000
"""Pages without a row, one after the other, that are followed: a hub skips what it told already."""


def carried_pull(device: Device) -> Pull:
    """That which goes with a push of everything that is pending: no edit waits after it."""
    return next_pull(device, carried=True)


def next_pull(device: Device, fingerprint: str = "", start: str = "", *, carried: bool = False) -> Pull:
    """The request that goes on from the last staged page, or from the watermark, or from `start` in place of
    that. `fingerprint` of the schema that is asked with; the file's own if empty. `carried`: see
    `carried_pull`."""
    state = device.store.state()
    page = last_page(device.store)
    horizon = "" if state.horizon in (None, state.watermark) else state.horizon or ""
    after = start or state.watermark or "" if page is None else page.watermark or ""
    waiting = 0 if carried else waiting_edits(device)
    return _pull(device, state, after, fingerprint, horizon, waiting)


def _pull(device: Device, state: State, after: str, fingerprint: str, horizon: str, waiting: int) -> Pull:
    asked = fingerprint or device.hub.fingerprint
    push, chain = pushes_made(device, state)
    return Pull(
        after,
        device.limits(state).pull_rows,
        state.replica,
        asked,
        waiting,
        push=push,
        chain=chain,
        horizon=horizon,
    )


def prove(device: Device, horizon: str, fingerprint: str = "", start: str = "") -> Flow[None]:
    """See to it that the centre still has all that rows were told as of, which are not pulled: those of a
    whole table, or of a verdict. `fingerprint` and `start`: as for `next_pull`. WatermarkRefused if it has
    gone back to before that."""
    state = device.store.state()
    asked = _pull(device, state, start or state.watermark or "", fingerprint, horizon, waiting_edits(device))
    yield from ask(msgspec.structs.replace(asked, limit=1), Changes)


def fetch_rest(
    device: Device, page: Changes | None, progress: Progress, fingerprint: str = "", start: str = ""
) -> Flow[Changes]:
    """Fetch until the last page and return it; those before it are staged. `page`: the one at hand. `start`:
    as for `next_pull`. What follows a page at hand was carried, see `carried_pull`.

    Each page says of which schema it is, whether the hub did (it is another one than that which was asked
    with, `fingerprint` or the file's own) or not.
    """
    fetched, empty, asked = 0, 0, fingerprint or device.hub.fingerprint
    carried, seen = page is not None, set[int]()
    while True:
        if page is None:
            page = yield from ask(next_pull(device, asked, start, carried=carried), Changes)
        page = msgspec.structs.replace(page, schema=page.schema or asked)
        fetched += 1
        progress("pull", fetched, None)
        if not page.more:
            return page
        if page.watermark is None:
            raise ProtocolError("the hub says that there is more, and not from where")
        empty = empty + 1 if bytes(page.groups) in NOTHING else 0
        if empty > EMPTY:
            raise ProtocolError(f"{EMPTY} pages of changes, one after the other, held nothing")
        if hash(page.watermark) in seen:
            raise ProtocolError("pages of changes that say that there is more lead back to where one was")
        seen.add(hash(page.watermark))
        schema = device.hub if page.schema == device.hub.fingerprint else None
        groups_of(page.groups, page.digest, schema)  # a damaged page must not be staged
        with device.store.repeatable() as store:
            add_page(store, page)
        page = None
