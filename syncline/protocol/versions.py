"""Which version of the protocol a message speaks: the header of every message, and its `version`."""

from __future__ import annotations

from syncline.errors import VersionUnsupported
from syncline.protocol.messages import OLDEST_VERSION, PROTOCOL_VERSION

HEADER = "Syncline-Protocol"


def spoken(header: str | None) -> int:
    """The version a message announces in its header; without one, the current version.

    Raises VersionUnsupported for every version not spoken here, older or newer, and for what is no number.
    """
    if header is None:
        return PROTOCOL_VERSION
    text = header.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise VersionUnsupported(f"{HEADER}: {text[:40]!r} is not a version number; {_here()}")
    return supported(int(text))


def supported(version: int) -> int:
    """The version again; VersionUnsupported when it is not spoken here."""
    if OLDEST_VERSION <= version <= PROTOCOL_VERSION:
        return version
    older = version < OLDEST_VERSION
    raise VersionUnsupported(
        f"the message speaks protocol version {version}; {_here()}",
        remedy="Upgrade the side that sent it." if older else "Upgrade the side that answered.",
    )


def _here() -> str:
    if OLDEST_VERSION == PROTOCOL_VERSION:
        return f"this side speaks {PROTOCOL_VERSION}"
    return f"this side speaks {OLDEST_VERSION} to {PROTOCOL_VERSION}"
