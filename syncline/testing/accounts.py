"""Independent book-keeping of what devices wrote, in files that are copied and put back (laws L2 and L3).

Texts are unlike each other, so that each is told apart wherever it turns up. What is added to a counter is a
power of four times a quarter, another one for every edit of the same counter: the digits of its total, to the
base of four, say how often each edit was counted.

A file that is put back holds what it held then; an edit made since is required no longer if neither a
file nor the centre has it. Texts that an application has overwritten itself are nobody's concern.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

Counter = tuple[int, str]
"""The key of a row that stays, and a column."""
Sum = tuple[Counter, Fraction]
"""A counter, and what was added to it."""
UNIT = Fraction(1, 4)
PLACES = 24
"""As many edits of one counter as a float tells apart."""


@dataclass
class Held:
    """What is written in one file and has not been given up by its application; or what has been seen in the
    centre, of the life that it has."""

    texts: set[str] = field(default_factory=set)
    counted: set[tuple[Counter, int]] = field(default_factory=set)

    def copy(self) -> Held:
        return Held(set(self.texts), set(self.counted))


class Accounts:
    """The books of one history."""

    def __init__(self) -> None:
        self.seen = Held()
        self._given_up: set[str] = set()
        self._let_go: set[tuple[Counter, int]] = set()
        self._places: dict[Counter, int] = {}

    def amount(self, held: Held, counter: Counter) -> Fraction | None:
        """What an edit of the file is to add; None: the counter has had as many as it can tell apart."""
        place = self._places.get(counter, 0)
        if place == PLACES:
            return None
        self._places[counter] = place + 1
        held.counted.add((counter, place))
        return UNIT * (1 << 2 * place)

    def give_up(self, texts: Iterable[str]) -> None:
        """An application has overwritten or forgotten these."""
        self._given_up.update(texts)

    def let_go(self, counter: Counter, difference: Fraction) -> None:
        """An application has forgotten a rejected edit of a counter."""
        self._let_go.update((counter, place) for place, times in enumerate(digits(difference)) if times)

    def see(self, texts: Iterable[str], totals: dict[Counter, Fraction]) -> None:
        """The centre as it is now."""
        self.seen.texts.update(texts)
        for counter, total in totals.items():
            for place, times in enumerate(digits(total)):
                edit = f"edit {place} of {counter}"
                assert times <= 1, f"counted {times} times: {edit}"
                assert times or (counter, place) not in self.seen.counted, f"counted, and gone again: {edit}"
                if times:
                    self.seen.counted.add((counter, place))

    def missing(self, files: Iterable[Held], texts: set[str], sums: list[Sum]) -> Iterator[str]:
        """What a file holds and neither came to the centre nor is among the texts and sums that are kept."""
        held = Held()
        for file in files:
            held.texts |= file.texts
            held.counted |= file.counted
        for text in sorted(held.texts - self.seen.texts - self._given_up - texts):
            yield f"written, and neither accepted nor kept: {text}"
        kept = {(counter, n) for counter, total in sums for n, times in enumerate(digits(total)) if times}
        for counter, place in sorted(held.counted - self.seen.counted - self._let_go - kept):
            yield f"added, and neither counted nor kept: edit {place} of {counter}"


def digits(total: Fraction) -> list[int]:
    """How often each place was added."""
    left = total / UNIT
    assert left.denominator == 1 and left >= 0, f"no sum of what was added: {total}"
    number, found = left.numerator, []
    while number:
        number, digit = divmod(number, 4)
        found.append(digit)
    return found + [0] * (PLACES - len(found))


def exact(value: object) -> Fraction:
    """A number as a file or a database tells it."""
    assert isinstance(value, (int, float, str, Decimal)), value
    return Fraction(value)
