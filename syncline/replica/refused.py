"""What the hub says of an edit that it refuses, as the file keeps it: with its own spelling of keys."""

from __future__ import annotations

import msgspec

from syncline.protocol.messages import Rejection
from syncline.replica.above import Above
from syncline.replica.device import Device
from syncline.replica.edge import inward_key
from syncline.replica.rejected import Reason


def as_here(device: Device, rejection: Rejection) -> Rejection:
    """A rejection with the keys as the file has them."""
    tables, parent = device.tables, rejection.parent
    if parent is not None:
        parent = [parent[0], list(inward_key(tables.get(parent[0]), parent[1]))]
    key = list(inward_key(tables.get(rejection.table), rejection.key))
    return msgspec.structs.replace(rejection, key=key, parent=parent)


def reason_of(rejection: Rejection) -> Reason:
    """Why it is, with the row that it depends on. The rejection has its keys as the file has them."""
    parent = None if rejection.parent is None else Above(rejection.parent[0], tuple(rejection.parent[1]))
    return Reason(rejection.code, rejection.detail, rejection.remedy, parent)
