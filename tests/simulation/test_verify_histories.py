"""Verify in the middle of simulated histories: nothing was damaged, so nothing may differ (laws L5, L6) but
rows that are held back behind edits which were made meanwhile; repairing them changes nothing.

Pushes are in flight, rows parked and held, edits are made on both sides between question and answer.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from syncline.model.actor import Actor
from syncline.protocol.flows import run
from syncline.protocol.messages import Request, Response
from syncline.replica import verify as verifying
from syncline.replica.conflicts import conflicts
from syncline.replica.progress import silent
from syncline.replica.verify import repair, verify
from syncline.testing.world import Phone, World
from syncline.transports.local import LocalTransport

BATCHES, BATCH = 4, 20


class _Busy:
    """A transport in whose every request both sides go on writing."""

    def __init__(self, world: World, phone: Phone) -> None:
        self.world, self.phone, self.inner = world, phone, LocalTransport(world.hub, Actor(phone.name))

    def send(self, request: Request) -> Response:
        self._meanwhile()
        answer = self.inner.send(request)
        self._meanwhile()
        return answer

    def _meanwhile(self) -> None:
        dice = self.world.rng.random()
        if dice < 0.3:
            self.world.edit(self.phone)
        elif dice < 0.5:
            self.world.edit_centre()

    def close(self) -> None: ...


class VerifiedWorld(World):
    """Every exchange under faults may be followed by a verify."""

    def exchange(self, phone: Phone, faults: bool) -> None:
        super().exchange(phone, faults)
        if not faults or self.rng.random() < 0.5:
            verb = self.rng.choice([verify, repair])
            plain = LocalTransport(self.hub, Actor(phone.name))
            report = run(verb(phone.device, silent), _Busy(self, phone) if faults else plain)
            assert all(row.held for row in report.differences)
            assert report.equal or (faults and report.pending)
            assert "repair" not in {note.policy for note in conflicts(phone.store, open_only=False)}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of a few rows are compared in parts, and those in parts again."""
    for name, rows in (("LEAF", 2), ("PARTS", 2), ("RUN", 3)):
        monkeypatch.setattr(verifying, name, rows)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_verify_at_any_moment_gives_no_false_alarm(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        with closing(VerifiedWorld(seed)) as world:
            try:
                world.run()
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
