"""Which ids replicas may have. Every request that makes an id known, or names one that a file had before, is
checked here (law L10): lineages tell ids from names that are longer than any (`hub.lineages`)."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.errors import Malformed
from syncline.model.actor import Actor

LONGEST = 100
"""Characters of an id."""

BUILT = "snapshot-"
"""Ids of files that the hub builds for devices to copy begin so; see `replica.copying`."""


def check_new(replica: str, actor: Actor) -> None:
    """Raise Malformed unless the actor may make this id known."""
    if not replica or len(replica) > LONGEST or replica == "hub":
        raise Malformed(f"a replica id is 1 to {LONGEST} characters and not 'hub'")
    if replica.startswith(BUILT) and not actor.operator:
        raise Malformed(f"ids that begin with {BUILT} are the hub's own")


def check_former(names: Iterable[str]) -> None:
    """Raise Malformed if one of these, which a file says that it had, is longer than an id may be."""
    if any(len(name) > LONGEST for name in names):
        raise Malformed(f"a replica id, also one that a file had before, is 1 to {LONGEST} characters")
