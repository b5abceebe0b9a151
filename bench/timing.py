"""Time that is spent in functions of the package, wherever they are called from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

Clock = Callable[[], float]


@contextmanager
def timed(
    parts: Mapping[str, Sequence[str]], kind: str, clock: Clock = time.perf_counter
) -> Iterator[dict[str, float]]:
    """Seconds spent in each of the parts while the block runs, whichever thread it was.

    A part is named by its functions, where they are used; `{kind}` in their names is the kind of database.
    With `time.thread_time` it is the processor's time of the thread that calls."""
    seconds: dict[str, float] = {}
    changed: list[tuple[Any, str, Any]] = []
    for name, places in parts.items():
        for place in places:
            owner, function = _found(place.format(kind=kind))
            plain = getattr(owner, function)
            changed.append((owner, function, plain))
            setattr(owner, function, _counting(plain, name, seconds, clock))
    try:
        yield seconds
    finally:
        for owner, function, plain in changed:
            setattr(owner, function, plain)


def _found(place: str) -> tuple[Any, str]:
    """The module or class, and the name in it."""
    path, _, function = place.rpartition(".")
    module, _, owner = path.rpartition(".")
    if owner[0].isupper():
        return getattr(import_module(f"syncline.{module}"), owner), function
    return import_module(f"syncline.{path}"), function


def _counting(
    plain: Callable[..., Any], name: str, seconds: dict[str, float], clock: Clock
) -> Callable[..., Any]:
    @wraps(plain)
    def counting(*arguments: Any, **named: Any) -> Any:
        began = clock()
        try:
            return plain(*arguments, **named)
        finally:
            seconds[name] = seconds.get(name, 0.0) + clock() - began

    return counting
