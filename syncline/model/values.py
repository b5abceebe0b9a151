"""Values as they travel: the storage classes of SQLite, nothing else.

NULL is None, INTEGER int (64 bit, signed), REAL float, TEXT str, BLOB bytes. A central type that has no
such form travels as text (see `docs/types.md`). A float column whose value is NaN carries the text
'NaN', because SQLite stores a NaN as NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation, localcontext

from syncline.errors import ValueRefused

Value = None | int | float | str | bytes
Row = Sequence[Value]

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


def _exact(value: Value) -> Decimal:
    """The number as an exact decimal; a float by its shortest decimal spelling."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, (int, str)):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise ValueRefused(f"{value!r} is not a number, so it cannot be added up or compared as one")


def _like(number: Decimal, *models: Value) -> Value:
    """Give `number` the storage class of the models: text wins over float, float over integer."""
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
    with localcontext() as context:
        context.prec = 2000
        return _like(_exact(value) + _exact(increment), value, increment)


def subtract(value: Value, base: Value) -> Value:
    """The increment that leads from `base` to `value`; NULL counts as 0, and NULL - NULL is NULL."""
    if value is None and base is None:
        return None
    with localcontext() as context:
        context.prec = 2000
        left, right = 0 if value is None else value, 0 if base is None else base
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
    if isinstance(value, (int, float)) or (numeric and isinstance(value, str)):
        return (0, _exact(value))
    if isinstance(value, str):
        return (1, value)
    assert isinstance(value, bytes)
    return (2, value)


def identical(left: Value, right: Value) -> bool:
    """Same storage class and same bits; tells 1 from 1.0 and 0.0 from -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)
    return left == right


def mask_of(indices: Iterable[int]) -> int:
    """The column mask with these bits set."""
    mask = 0
    for index in indices:
        mask |= 1 << index
    return mask


def indices_of(mask: int) -> list[int]:
    """The bits set in a column mask, ascending."""
    return [index for index in range(mask.bit_length()) if mask >> index & 1]
