"""Values as they travel: the storage classes of SQLite, nothing else.

NULL is None, INTEGER int (64 bit, signed), REAL float, TEXT str, BLOB bytes. A central type that has no
such form travels as text (see `docs/types.md`). A float column whose value is NaN carries the text
'NaN', because SQLite stores a NaN as NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from decimal import Context, Decimal, InvalidOperation, localcontext

from syncline.errors import ValueRefused

Value = None | int | float | str | bytes
Row = Sequence[Value]

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


_PARSING = Context(traps=[InvalidOperation])
DIGITS = 20_000
"""The most digits, before and after the point, of a number that is added up."""


def _exact(value: Value) -> Decimal:
    """The number as an exact decimal; a float by its shortest decimal spelling."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, (int, str)):
        try:
            number = Decimal(value, _PARSING)
        except InvalidOperation:
            number = Decimal("sNaN")
        if _countable(number):
            return number
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:80] + "..."
    raise ValueRefused(f"{shown} is not a number, so it cannot be added up or compared as one")


def _countable(number: Decimal) -> bool:
    """Whether it is a number, infinity or NaN, of at most `DIGITS` digits on either side of the point."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        return not number.is_snan()
    return abs(exponent) <= DIGITS and abs(number.adjusted()) <= DIGITS


def _exactly() -> AbstractContextManager[Context]:
    """Arithmetic that rounds nothing; infinity minus infinity is NaN, as it is for floats."""
    return localcontext(Context(prec=3 * DIGITS, traps=[]))


def _like(number: Decimal, *models: Value) -> Value:
    """Give `number` the storage class of the models: text wins over float, float over integer."""
    if number.is_nan():
        return "NaN"
    if any(isinstance(model, str) for model in models):
        return format(number, "f") if number.is_finite() else str(number)
    if any(isinstance(model, float) for model in models):
        return float(number)
    if number != number.to_integral_value() or not INTEGER_MIN <= number <= INTEGER_MAX:
        return float(number)
    return int(number)


def add(value: Value, increment: Value) -> Value:
    """`value` + `increment`, exactly; NULL counts as 0 of the other's class, and NULL + NULL is NULL.

    Decimal arithmetic on the shortest spelling makes `add(old, subtract(new, old)) == new` for floats
    too, which plain float arithmetic does not promise.
    """
    if increment is None:
        return value
    if value is None:
        value = 0
    if type(value) is type(increment) is int and INTEGER_MIN <= value + increment <= INTEGER_MAX:
        return value + increment
    with _exactly():
        return _like(_exact(value) + _exact(increment), value, increment)


def subtract(value: Value, base: Value) -> Value:
    """The increment that leads from `base` to `value`; NULL counts as 0, and NULL - NULL is NULL."""
    if value is None and base is None:
        return None
    left, right = 0 if value is None else value, 0 if base is None else base
    if type(left) is type(right) is int and INTEGER_MIN <= left - right <= INTEGER_MAX:
        return left - right
    with _exactly():
        return _like(_exact(left) - _exact(right), left, right)


def larger(left: Value, right: Value, numeric: bool) -> Value:
    """The larger of two values of one column; NULL is smaller than everything. Ties give `left`."""
    if left is None or right is None:
        return right if left is None else left
    return right if _order(right, numeric) > _order(left, numeric) else left


def smaller(left: Value, right: Value, numeric: bool) -> Value:
    """The smaller of two values of one column, where NULL means no value yet. Ties give `left`."""
    if left is None or right is None:
        return right if left is None else left
    return right if _order(right, numeric) < _order(left, numeric) else left


def _order(value: Value, numeric: bool) -> tuple[int, Decimal | str | bytes]:
    """What a value is compared by: numbers, NaN above them all, then text, then blobs."""
    if isinstance(value, (int, float)) or (numeric and isinstance(value, str)):
        number = _exact(value)
        return (1, "") if number.is_nan() else (0, number)
    if isinstance(value, str):
        return (2, value)
    assert isinstance(value, bytes)
    return (3, value)


def identical(left: Value, right: Value) -> bool:
    """Same storage class and same bits; tells 1 from 1.0 and 0.0 from -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)
    return left == right


EVERYTHING = -1
"""The column mask of what concerns a whole row: every column that there is, was and will be."""


def mask_of(indices: Iterable[int]) -> int:
    """The column mask with these bits set."""
    mask = 0
    for index in indices:
        mask |= 1 << index
    return mask


def indices_of(mask: int) -> list[int]:
    """The bits set in a column mask, ascending."""
    return [index for index in range(mask.bit_length()) if mask >> index & 1]
