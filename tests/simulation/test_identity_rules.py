"""The rules of who an edit is, played: see `identity_rules`."""

from __future__ import annotations

import pytest

from tests.simulation.identity_rules import history


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_l3_every_edit_counts_once_whatever_is_copied_and_put_back(first: int) -> None:
    for seed in range(first, first + 100):
        history(seed)
