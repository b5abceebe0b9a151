"""What handlers know of the central database without asking it on anybody's behalf: no transaction, and
nobody's rows.

These they have from their `Caller` alone (`hub.gate`), so that a new handler cannot go round the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from syncline.hub.central import Central
from syncline.protocol.messages import Limits


class Knowledge:
    """The methods of a `Central` of these names, and what it says of itself as it is now."""

    __slots__ = (
        "_own", "checked", "hint", "known", "mint", "position", "sender", "still", "still_ruled", "told",
        "watermark",
    )  # fmt: skip

    def __init__(self, central: Central) -> None:
        self.checked, self.known, self.sender = central.checked, central.known, central.sender
        self.still, self.still_ruled, self.told = central.still, central.still_ruled, central.told
        self.mint, self.watermark, self.hint = central.mint, central.watermark, central.hint
        self.position = central.database.position
        self._own: Callable[[], Central] = lambda: central

    @property
    def id(self) -> str:
        """The hub's id. NotPrepared before `init`."""
        return self._own().id

    @property
    def key(self) -> bytes:
        """What watermarks are sealed with. NotPrepared before `init`."""
        return self._own().key

    @property
    def limits(self) -> Limits:
        """What replicas are held to."""
        return self._own().limits

    @property
    def tolerance(self) -> int:
        """Milliseconds that a replica's clock may run ahead."""
        return self._own().tolerance

    @property
    def changed(self) -> Mapping[int, str]:
        """Why tables are there no more, by number."""
        return self._own().changed
