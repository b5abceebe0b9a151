"""Which rows a large push has named, at 8 bytes each (law L11)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from syncline.hub.contract import Key

BUCKETS = 64


class Keys:
    """Which rows were named, by numbers that two rows have in common by chance alone."""

    def __init__(self) -> None:
        self._buckets: list[array[int]] = [array("q") for _ in range(BUCKETS)]
        self._are_sorted = False

    def add(self, table: int, keys: Iterable[Key]) -> None:
        for key in keys:
            number = hash((table, key))
            self._buckets[number % BUCKETS].append(number)

    def __bool__(self) -> bool:
        return any(self._buckets)

    def __contains__(self, row: object) -> bool:
        """Whether a row was named, or by chance one with the same number; once all are named."""
        number = hash(row)
        if not self._are_sorted:
            self._buckets = [array("q", sorted(bucket)) for bucket in self._buckets]
            self._are_sorted = True
        bucket = self._buckets[number % BUCKETS]
        place = bisect_left(bucket, number)
        return place < len(bucket) and bucket[place] == number

    def suspects(self) -> set[int]:
        """Numbers that occur twice: the same row, or two rows with one number by chance."""
        found: set[int] = set()
        for bucket in self._buckets:
            seen: set[int] = set()
            if len(seen.union(bucket)) < len(bucket):
                for number in bucket:
                    (found if number in seen else seen).add(number)
        return found
