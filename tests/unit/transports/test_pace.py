"""L11: an answer that drips is given up, one that is only slow is not."""

from __future__ import annotations

import pytest

from syncline.errors import TransportError
from syncline.transports.pace import DEADLINE, LEAST, WINDOW, Pace


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_byte_now_and_then_is_no_answer() -> None:
    clock = Clock()
    pace = Pace("the hub", clock=clock)
    pace.note(1_000_000)  # what came in the first window says nothing about the next
    clock.now += WINDOW
    pace.note(1)
    clock.now += WINDOW
    with pytest.raises(TransportError) as caught:
        pace.note(1)
    assert caught.value.retry


def test_a_slow_network_is_waited_for_as_long_as_an_answer_may_take() -> None:
    clock = Clock()
    pace = Pace("the hub", clock=clock)
    for _ in range(int(DEADLINE / WINDOW)):
        clock.now += WINDOW
        pace.note(LEAST)
    clock.now += 1
    with pytest.raises(TransportError):
        pace.note(LEAST)


def test_a_file_has_no_deadline() -> None:
    clock = Clock()
    pace = Pace("the hub", None, clock=clock)
    for _ in range(100):
        clock.now += DEADLINE
        pace.note(LEAST)
