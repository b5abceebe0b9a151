"""The contract `syncline.hub.contract` as a pytest suite. Every central database passes it.

    class TestMine(DatabaseConformance):
        CYCLE = (...)      # statements: tables hen(id, egg) and egg(id, hen) that point at each other
        TRIGGER = (...)    # statements: see DatabaseConformance.TRIGGER
        WORDS = MyWords()  # unless it speaks as SQLite does: types, upserts, ALTER TABLE

        @pytest.fixture
        def centre(self) -> Centre: ...    # an empty database: `open()` and `run(*statements)`

The tests are grouped by what they are about, in `testing/conforms/`; those of the ledger, which is written
once for all databases, hold what a dialect spells for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from syncline.testing.conforms.before import BeforeConformance
from syncline.testing.conforms.capturing import CaptureConformance
from syncline.testing.conforms.centre import Centre, Words, World
from syncline.testing.conforms.evolving import EvolvingConformance
from syncline.testing.conforms.hinting import HintConformance
from syncline.testing.conforms.ledger.clients import ClientConformance
from syncline.testing.conforms.ledger.clock import ClockConformance
from syncline.testing.conforms.ledger.conflicts import ConflictConformance
from syncline.testing.conforms.ledger.uploads import UploadConformance
from syncline.testing.conforms.paging import LogConformance
from syncline.testing.conforms.preparing import PrepareConformance
from syncline.testing.conforms.refusing import RefusalConformance
from syncline.testing.conforms.retaining import RetentionConformance
from syncline.testing.conforms.scanning import ScanConformance
from syncline.testing.conforms.scoping import ScopeConformance
from syncline.testing.conforms.writing import WriteConformance

__all__ = ["Centre", "DatabaseConformance", "Words", "World"]


class DatabaseConformance(
    PrepareConformance,
    CaptureConformance,
    LogConformance,
    ScanConformance,
    ScopeConformance,
    WriteConformance,
    RefusalConformance,
    RetentionConformance,
    ClientConformance,
    ConflictConformance,
    UploadConformance,
    ClockConformance,
    HintConformance,
    EvolvingConformance,
    BeforeConformance,
):
    """Derive from it, name the class Test..., and give it a fixture `centre`."""

    CYCLE: ClassVar[tuple[str, ...]]
    """`hen (id integer key, egg integer -> egg)` and `egg (id integer key, hen integer -> hen)`."""

    TRIGGER: ClassVar[tuple[str, ...]]
    """A trigger on `contact`: an insert makes `shown` upper(name) and adds its id to `audit`; an update
    that changes `name` makes `shown` upper(name); the name 'forbidden' is refused with its own error."""

    WORDS: ClassVar[Words] = Words()

    @pytest.fixture
    def world(self, centre: Centre) -> Iterator[World]:
        """The suite's tables, prepared and empty."""
        world = World.prepared(centre, self.WORDS, (*self.CYCLE, *self.TRIGGER))
        yield world
        world.database.close()
