"""What the hub keeps in the central database is read as it wrote it: LedgerDamaged, if it was altered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from syncline.errors import LedgerDamaged


@contextmanager
def as_kept(what: str) -> Iterator[None]:
    """Inside, and in what this decorates, nothing is done but to read what is kept: LedgerDamaged if that
    cannot be."""
    try:
        yield
    except (msgspec.MsgspecError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        detail = f"{what} that the hub keeps in the central database cannot be read, it was altered: {error}"
        raise LedgerDamaged(detail) from error


def kept_json(what: str, content: str) -> Any:
    """The value of a kept JSON text."""
    with as_kept(what):
        return json.loads(content)
