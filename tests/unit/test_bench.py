"""The measurements name functions of the package by their places: these are there."""

from __future__ import annotations

import pytest

from bench.parts import PARTS
from bench.timing import timed


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_function_that_is_timed_is_there(kind: str) -> None:
    with timed(PARTS, kind) as seconds:
        assert seconds == {}
