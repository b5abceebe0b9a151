"""A page of the log, collected table by table and coalesced by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syncline.databases.base.shape import BaseShape
from syncline.hub.contract import Key, present_columns
from syncline.model.masks import join_mask

Place = tuple[int, int, int]
"""Of a log entry: its table's number, then two numbers by which the entries of that table are ordered."""


class Page:
    """Collects entries until the page is full. An entry: the two numbers of its place, its HLC, the mask's
    words, the key."""

    def __init__(self, shapes: Mapping[int, BaseShape], limit: int) -> None:
        self._shapes = shapes
        self.room = max(1, limit)
        self.hlc = 0
        self.last: Place | None = None
        self._masks: dict[int, dict[Key, int]] = {}

    def add(self, shape: BaseShape, entries: Sequence[list[Any]]) -> bool:
        """Take as many entries as there is room for; whether all found room."""
        taken = entries[: self.room]
        if taken:
            self._coalesce(shape, taken)
            self.last = (shape.n, taken[-1][0], taken[-1][1])
            self.room -= len(taken)
        return len(taken) == len(entries)

    def _coalesce(self, shape: BaseShape, entries: Sequence[list[Any]]) -> None:
        words, start = len(shape.words), 3 + len(shape.words)
        masks = self._masks.setdefault(shape.n, {})
        self.hlc = max(self.hlc, max(entry[2] for entry in entries))
        for entry in entries:
            key = tuple(entry[start:])
            mask = entry[3] if words == 1 else join_mask(entry[3:start])
            masks[key] = masks.get(key, 0) | mask

    def touched(self) -> dict[int, list[tuple[Key, int]]]:
        """By table: keys and masks."""
        return {n: present_columns(masks, self._shapes[n].table) for n, masks in self._masks.items()}
