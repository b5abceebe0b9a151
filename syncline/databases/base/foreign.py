"""The foreign keys as devices should check them, and a sentence for each that they cannot.

SQLite compares the values as they travel. Where the central database finds two spellings equal (1.0 and 1.00,
a text without regard to case), a device would miss the parent: there the centre checks alone. An action that
a device cannot do as the centre would is not done on the device at all, but where it belongs. What the centre
checks or does alone the hub knows, too: it looks what a push takes along by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from syncline.model.schema import ColumnSchema, ForeignKey

EXACT = frozenset("boolean uuid blob date time timetz timestamp timestamptz enum text integer float".split())
"""Portable types whose equal values are spelled alike in any database."""

IsExact = Callable[[ColumnSchema], bool]
"""Whether equal values of a column, collations aside, are spelled alike."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A line of the catalogue: numbers of tables and columns, the actions in the words of SQL."""

    child: int
    parent: int
    columns: list[int]
    targets: list[int]
    on_delete: str
    on_update: str
    deferrable: bool
    validated: bool
    partial: bool
    """ON DELETE SET NULL or SET DEFAULT of some of the columns only."""
    folded: bool
    """A collation under which different texts are equal."""
    name: str
    target: str
    """What the parent is called, with its schema."""


def words(found: FoundKey, child: Mapping[int, ColumnSchema]) -> str:
    """What a key is called where something is said of it."""
    return f"the foreign key {found.name} ({', '.join(child[number].name for number in found.columns)})"


def portable(
    found: FoundKey,
    name: str,
    child: Mapping[int, ColumnSchema],
    parent: Mapping[int, ColumnSchema],
    is_exact: IsExact,
) -> tuple[ForeignKey | None, ForeignKey | None, list[str]]:
    """The key as a device has it (None: not at all), as it has it not, and what has to be said of it."""
    own = [child[number] for number in found.columns]
    targets = [parent[number] for number in found.targets]
    key_words = f"{words(found, child)} to {found.target}"
    key = ForeignKey(
        tuple(column.name for column in own),
        name,
        tuple(column.name for column in targets),
        found.on_delete,
        found.on_update,
        found.deferrable,
    )
    if not found.validated:
        return None, key, [f"{key_words} is NOT VALID; devices do not check it"]
    if found.folded or not all(_identical(*pair, is_exact) for pair in zip(own, targets, strict=True)):
        said = f"{key_words} compares values that may be spelled otherwise; devices do not check it"
        return None, key, [said]
    notes = []
    on_delete = _action(found.on_delete, own, found.partial)
    on_update = _action(found.on_update, own, False)
    for event, given, action in (
        ("DELETE", found.on_delete, on_delete),
        ("UPDATE", found.on_update, on_update),
    ):
        if action != given:
            notes.append(
                f"{key_words}: ON {event} {given} is done in the centre alone;"
                " on a device the children stand in the way"
            )
    alone = replace(
        key,
        on_delete="NO ACTION" if on_delete == key.on_delete else key.on_delete,
        on_update="NO ACTION" if on_update == key.on_update else key.on_update,
    )
    return replace(key, on_delete=on_delete, on_update=on_update), alone if notes else None, notes


def _action(given: str, own: Sequence[ColumnSchema], partial: bool) -> str:
    """What a device does: it knows only whole keys, and only defaults that it can make."""
    unknown = given == "SET DEFAULT" and any(one.default is None and one.defaulted for one in own)
    return "NO ACTION" if partial or unknown else given


def _identical(own: ColumnSchema, target: ColumnSchema, is_exact: IsExact) -> bool:
    """Whether values that are equal in the centre are identical as they travel."""
    if own.type == target.type == "integer":
        return True
    if (own.type, own.central) != (target.type, target.central):
        return False
    if is_exact(own):
        return True
    scaled = own.declared.partition(",")[2]
    return own.type == "decimal" and bool(scaled) and scaled == target.declared.partition(",")[2]
