"""The rules of who an edit is, played: see `identity_rules`."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest

from tests.simulation.identity_rules import STORED, Hub, history, new_file, retry, sync


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_l3_every_edit_counts_once_whatever_is_copied_and_put_back(first: int) -> None:
    for seed in range(first, first + 100):
        history(seed)


class Played:
    """A centre, and files that sync when it is said."""

    def __init__(self, **rules: bool) -> None:
        self.rng = random.Random(1)
        self.hub: Any = Hub(self.rng, 1000, rules.get("sealed", True))
        self.hub.tick()
        self.file = new_file(self.hub, self.rng, rules.get("apart", True))

    def edit(self, *rows: int) -> None:
        for pk in rows:
            self.file["pending"].append(((self.rng.random(),), pk, 1, self.hub.now, False))

    def sync(self, *files: Any, sent: int = -1) -> None:
        """`sent`: so many answers arrive, and then the process ends."""
        for file in files:
            flow, answer = sync(file, self.rng), None
            while sent:
                try:
                    kind, arguments = flow.send(answer)
                except StopIteration:
                    break
                answer = getattr(self.hub, kind)(*arguments)
                sent -= 1
            else:
                flow.send(answer)

    def backup(self) -> list[Any]:
        return deepcopy([getattr(self.hub, name) for name in STORED])

    def put_back(self, backup: list[Any]) -> None:
        for name, value in zip(STORED, deepcopy(backup), strict=True):
            setattr(self.hub, name, value)

    def end(self, *files: Any) -> list[int]:
        """How often each edit counts, once what is rejected has been retried and all have synced."""
        for file in files:
            while file["refused"]:
                retry(file, self.rng, self.hub)
        self.sync(*files, *files, *files)
        return sorted(self.hub.accepted.values())


@pytest.mark.parametrize(("apart", "times"), [(True, [1, 1]), (False, [2, 2])])
def test_it_matters_that_it_is_known_which_stamps_of_a_kept_push_are_whose(
    apart: bool, times: list[int]
) -> None:
    """Two rows are rejected when they are offered again, and the centre is put back once more."""
    played = Played(apart=apart)
    played.edit(1, 2)
    twin, backup = deepcopy(played.file), played.backup()
    played.sync(played.file)
    played.put_back(backup)
    played.hub.shut = {1, 2}
    played.sync(played.file, played.file)
    played.put_back(backup)
    played.hub.shut = set()
    played.sync(played.file, twin, twin)
    assert played.end(played.file, twin) == times


@pytest.mark.parametrize(("sealed", "times"), [(True, [1]), (False, [2])])
def test_it_matters_that_the_chain_is_sealed(sealed: bool, times: list[int]) -> None:
    """One push of two copies is rejected in a past, accepted in the next, and the log is pruned."""
    played = Played(sealed=sealed)
    played.edit(2)
    played.sync(played.file, sent=0)
    twin, backup = deepcopy(played.file), played.backup()
    played.hub.shut = {2}
    played.sync(played.file)
    played.put_back(backup)
    played.hub.shut = set()
    played.sync(twin)
    for _ in range(3):
        played.hub.write(1, 1000, "hub")
    played.hub.prune()
    assert played.end(played.file, twin) == times
