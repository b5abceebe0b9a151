"""A scope is a value: equal if it says the same, told from any other by its fingerprint (law L10)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from syncline.model.scope import UNBOUNDED, Hop, Rule, Scope, TableScope

TASKS = TableScope(4, (Rule("name <> 'a'", Hop(4, (2,))), Rule("owner IN own")), hidden=(7,))
MINE = Scope((TASKS,), (("own", frozenset(["u", "v", 3])),), (("role", "editor"),))

MAKE_MINE = """
from syncline.model.scope import *
tasks = TableScope(4, (Rule("name <> 'a'", Hop(4, (2,))), Rule("owner IN own")), hidden=(7,))
print(Scope((tasks,), (("own", frozenset(["v", 3, "u"])),), (("role", "editor"),)).fingerprint)
"""


def test_the_unbounded_scope_says_so_and_no_other_does() -> None:
    assert UNBOUNDED.is_unbounded
    assert not MINE.is_unbounded
    assert not Scope(()).is_unbounded, "nothing of any table"


def test_equal_scopes_have_one_hash_and_one_fingerprint() -> None:
    again = Scope((TASKS,), (("own", frozenset([3, "v", "u"])),), (("role", "editor"),))
    assert again == MINE
    assert {again: 1}[MINE] == 1
    assert again.fingerprint == MINE.fingerprint


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_fingerprint_is_the_same_in_every_process(seed: str) -> None:
    """Watermarks outlive processes; the order of a set does not."""
    done = subprocess.run(
        [sys.executable, "-c", MAKE_MINE],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == MINE.fingerprint


def test_whatever_differs_makes_another_fingerprint() -> None:
    hop = Hop(4, (2,))
    scopes = [
        UNBOUNDED,
        Scope(()),
        MINE,
        Scope((TASKS,)),
        Scope((TableScope(4, TASKS.rules),)),
        Scope((TableScope(4, (Rule("", hop),)),)),
        Scope((TableScope(4, (Rule("", Hop(4, (2,), backwards=True)),)),)),
        Scope((TableScope(4, (Rule("", Hop(5, (2,))),)),)),
        Scope((TableScope(4, (Rule("a"), Rule("b"))),)),
        Scope((TableScope(4, (Rule("ab"),)),)),
        *(Scope((TASKS,), (("own", frozenset([value])),)) for value in (1, 1.0, "1", b"1", None)),
        *(Scope((TASKS,), reads=(("own", value),)) for value in (1, "1", float("inf"))),
        Scope((TASKS,), (("own", frozenset(["a", "b"])),)),
        Scope((TASKS,), (("own", frozenset(["a"])), ("own2", frozenset(["b"])))),
    ]
    assert len({scope.fingerprint for scope in scopes}) == len(scopes)
