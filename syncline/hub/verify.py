"""What the centre has, for a replica to compare with: digests of tables, of parts of one, or rows.

Everything in an answer is read in one transaction, together with the changes that lead a replica to that
instant; so writers at the centre are no trouble (law L5). An answer is bounded (law L11): what is too much
for one ends with the key it got to.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from syncline.errors import Malformed
from syncline.hub.contract import Key, ReadTransaction, Take
from syncline.hub.pull import PAGE_BYTES
from syncline.model.order import place
from syncline.model.schema import Schema, TableSchema
from syncline.model.values import Value
from syncline.protocol.body import seal
from syncline.protocol.canonical import Pace, RowsDigest
from syncline.protocol.jsonform import key_of
from syncline.protocol.messages import Changes, Group, Part, Verified, Verify

ANSWER_ROWS = 2_000_000
"""Rows read for one answer, at most."""

ANSWER_BYTES = 1 << 30
"""Canonical bytes of rows read for one answer, about."""

ANSWER_PARTS = 1024

SHORT_KEY = 1_000
"""Characters or bytes of a key at which a part may end."""


class Budget(Pace):
    """What one answer may still read."""

    def __init__(self, rows: int = ANSWER_ROWS, size: int = ANSWER_BYTES) -> None:
        super().__init__()
        self._rows, self._size = rows, size

    def spend(self, rows: int, size: int) -> None:
        self._rows -= rows
        self._size -= size
        self.note(rows, size)

    @property
    def is_spent(self) -> bool:
        return self._rows <= 0 or self._size <= 0


def verify(
    transaction: ReadTransaction, schema: Schema, request: Verify, changes: Changes, rows: int
) -> Verified:
    """Answer from a transaction at the instant that `changes` leads to. `rows` bounds those sent whole.

    Malformed: `no_such_table`, `bad_range`.
    """
    if request.table is None:
        if request.from_key is not None or request.to_key is not None or request.size:
            raise Malformed("a range is one of a table: name the table too", code="bad_range")
        return Verified(changes, tables=_tables(transaction, schema, Budget()))
    table = schema.by_number.get(request.table)
    if table is None:
        raise Malformed(f"there is no table {request.table}", code="no_such_table")
    after, upto = _range(table, request)
    with transaction.rows.scan(request.table, after, upto) as take:
        if request.size:
            parts = _parts(take, len(table.key), upto, request.size, Budget())
            end = parts[-1].to if parts[-1].to != (None if upto is None else list(upto)) else None
            return Verified(changes, parts=parts, end=end, more=end is not None)
        found, more = _rows(take, rows, Budget(size=PAGE_BYTES))
    groups = [Group(request.table, "U", list(table.values), found)] if found else []
    body, digest = seal(groups)
    end = found[-1][: len(table.key)] if more else None
    return Verified(changes, digest=digest, groups=Raw(body), end=end, more=more)


def _range(table: TableSchema, request: Verify) -> tuple[Key | None, Key | None]:
    after = None if request.from_key is None else key_of(request.from_key)
    upto = None if request.to_key is None else key_of(request.to_key)
    for key in (after, upto):
        if key is not None and len(key) != len(table.key):
            raise Malformed(
                f"a key of {table.name} has {len(table.key)} values, not {len(key)}", code="bad_range"
            )
    if after is not None and upto is not None and place(after) >= place(upto):
        raise Malformed("the range ends before it begins", code="bad_range")
    return after, upto


def _tables(transaction: ReadTransaction, schema: Schema, budget: Budget) -> list[Part | None]:
    """One part a table, in the order of the schema; None from where the budget ends."""
    found: list[Part | None] = []
    for number in schema.by_number:
        if budget.is_spent:
            found.append(None)
            continue
        digest = RowsDigest()
        with transaction.rows.scan(number, None, None) as take:
            complete = _take_all(take, digest, budget)
        found.append(Part(None, digest.rows, digest.hex) if complete else None)
    return found


def _take_all(take: Take, digest: RowsDigest, budget: Budget) -> bool:
    """Whether the budget sufficed."""
    while True:
        step = budget.step
        rows = take(step)
        budget.spend(len(rows), digest.add(rows))
        if len(rows) < step:
            return True
        if budget.is_spent:
            return False


def _parts(take: Take, arity: int, upto: Key | None, size: int, budget: Budget) -> list[Part]:
    """Parts of `size` rows, more where the key to end with is long; the last one goes on to `upto` unless
    the answer is full before."""
    parts: list[Part] = []
    digest = RowsDigest()
    while True:
        step = max(1, min(budget.step, size - digest.rows))
        rows = take(step)
        budget.spend(len(rows), digest.add(rows))
        if len(rows) < step:
            return [*parts, Part(None if upto is None else list(upto), digest.rows, digest.hex)]
        if (digest.rows >= size and _is_short(rows[-1][:arity])) or budget.is_spent:
            parts.append(Part(list(rows[-1][:arity]), digest.rows, digest.hex))
            digest = RowsDigest()
        if len(parts) == ANSWER_PARTS or budget.is_spent:
            return parts


def _is_short(key: Sequence[Value]) -> bool:
    """Whether a key fits well into the query of the next question."""
    return sum(len(value) for value in key if isinstance(value, (str, bytes))) <= SHORT_KEY


def _rows(take: Take, most: int, budget: Budget) -> tuple[list[list[Value]], bool]:
    """Rows, and whether there may be more of them."""
    found: list[list[Value]] = []
    while True:
        step = min(budget.step, most - len(found))
        rows = take(step)
        found += map(list, rows)
        budget.spend(len(rows), RowsDigest().add(rows))
        if len(rows) < step:
            return found, False
        if len(found) == most or budget.is_spent:
            return found, True
