"""Whether every value of a former type of a column is one of its present type, stored alike on a device.

Types and modifiers are as a schema has them, for databases with types of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from syncline.model.schema import ColumnSchema

Grows = Callable[[str], Callable[[int, int], bool]]
"""By the central type: whether a type with the first modifier grows to one with the second."""


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
