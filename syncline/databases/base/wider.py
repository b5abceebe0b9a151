"""Whether every value of a former type of a column is one of its present type, stored alike on a device.

Types and modifiers are as a schema has them, for databases with types of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from syncline.model.schema import ColumnSchema

Grows = Callable[[str], Callable[[int, int], bool]]
"""By the central type: whether a type with the first modifier grows to one with the second."""


@dataclass(frozen=True, slots=True)
class NamedTypes:
    """Types that are somebody's own and may get another name: those of the columns as they were when the
    schema was prepared last, and as they are. By the name of each, as a schema has it, what the database
    knows it by, and its labels if it is an enum or an array of one."""

    before: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    now: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def followed(self, before: ColumnSchema, after: ColumnSchema) -> ColumnSchema:
        """The former column with the central type of the present one, if that is the same under another name,
        or an enum with all labels of before."""
        was, now = self.before.get(before.central), self.now.get(after.central)
        if was is None or now is None:
            return before
        is_same = was[0] == now[0] or bool(was[1] and set(was[1]) <= set(now[1]))
        return replace(before, central=after.central) if is_same else before

    def recorded(self) -> str:
        """What is kept of them, as JSON: those of before, too, as tables that are held stay as they were."""
        return json.dumps({**self.before, **self.now}, sort_keys=True)


UNNAMED = NamedTypes()
"""Nothing is known of any."""


def is_wider(
    before: ColumnSchema, after: ColumnSchema, wider: Mapping[str, Collection[str]], grows: Grows
) -> bool:
    """See the contract. `wider` are the types, besides itself, to which each may change. Columns are compared
    by type, declared type and modifier (-1: none) alone."""
    if before.type != after.type or _affinity(before.declared) != _affinity(after.declared):
        return False
    if before.central != after.central and after.central not in wider.get(before.central, ()):
        return False
    if before.modifier == after.modifier or after.modifier < 0:
        return True
    return before.modifier >= 0 and grows(after.central)(before.modifier, after.modifier)


def _affinity(declared: str) -> str:
    """What a device stores a value as: the declared type without precision and scale."""
    return declared.partition("(")[0].rstrip("$")
