"""Steps 10 and 11 of the path: fetch what is new, page by page, up to one instant of the centre.

No lock is held while the network is waited for (law L1). Pages before the last are staged in the file;
a pull that was cut off goes on from there.
"""

from __future__ import annotations

from syncline.errors import ProtocolError
from syncline.protocol.body import open_groups
from syncline.protocol.flows import Flow
from syncline.protocol.messages import Changes, Pull
from syncline.replica.device import Device
from syncline.replica.progress import Progress
from syncline.replica.session import ask_known
from syncline.replica.stage import add_page, last_page


def next_pull(device: Device) -> Pull:
    """The request that goes on from the last staged page, or from the watermark."""
    state = device.store.state()
    page = last_page(device.store)
    after = state.watermark or "" if page is None else page.watermark or ""
    return Pull(after, device.limits().pull_rows, state.replica, device.schema.fingerprint)


def fetch_rest(device: Device, page: Changes | None, progress: Progress) -> Flow[Changes]:
    """Fetch until the last page and return it; those before it are staged. `page`: the one at hand."""
    fetched = 0
    while True:
        if page is None:
            page = yield from ask_known(device.store, next_pull(device), Changes)
        fetched += 1
        progress("pull", fetched, None)
        if not page.more:
            return page
        if page.watermark is None:
            raise ProtocolError("the hub says that there is more, and not from where")
        open_groups(page.groups, page.digest)  # a damaged page must not be staged
        with device.store.repeatable() as store:
            add_page(store, page)
        page = None
