"""What is recorded of a tracked table that has a log and triggers of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What is recorded of a tracked table. `relid` and the keys of `columns` are what the database itself
    knows the table and its columns by, whatever they are called; `key`, `words` (of a mask) and `capture` say
    what log and triggers were made for; `labels` are those of the enums in it, `attached` the
    partitions that it had, and since when."""

    n: int
    relid: int
    schema: str
    name: str
    columns: str
    labels: str
    key: str
    words: int
    capture: str
    attached: str
