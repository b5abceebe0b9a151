"""A measured figure, its target, and the table of all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Of = Literal["value", "ratio"]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure's value or on its ratio to the bare operation."""

    of: Of
    bound: Literal["at least", "at most"]
    number: float

    def met(self, number: float) -> str:
        """`yes`, `half` (at least half of the target is reached) or `no`."""
        part = number / self.number if self.bound == "at least" else self.number / max(number, 1e-12)
        return "yes" if part >= 1 else "half" if part >= 0.5 else "no"


def least(number: float, of: Of = "value") -> Target:
    return Target(of, "at least", number)


def most(number: float, of: Of = "value") -> Target:
    return Target(of, "at most", number)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured. `runs` are the values, `bare` those of the bare operation in the same runs.

    For a rate (rows/s) the ratio is ours to bare; for a time it is ours to bare as well, so that a rate
    should have a high ratio and a time a low one.
    """

    section: str
    centre: str
    name: str
    unit: str
    runs: Sequence[float]
    bare: Sequence[float] = ()
    targets: Sequence[Target] = ()
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median of the runs."""
        return (max(self.runs) - min(self.runs)) / self.median if self.median else 0.0

    @property
    def ratios(self) -> list[float]:
        return [ours / bare for ours, bare in zip(self.runs, self.bare, strict=True)] if self.bare else []

    def of(self, kind: Of) -> float:
        return self.median if kind == "value" else statistics.median(self.ratios)

    def plain(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "section": self.section,
            "centre": self.centre,
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "spread": self.spread,
            "runs": list(self.runs),
            "bare": list(self.bare),
            "ratio": self.of("ratio") if self.bare else None,
            "targets": [
                {"of": t.of, "bound": t.bound, "number": t.number, "met": t.met(self.of(t.of))}
                for t in self.targets
            ],
            "note": self.note,
            **self.more,
        }


HEAD = ("section", "centre", "figure", "median", "unit", "spread", "bare", "ratio", "target", "met")


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned text, one line per target."""
    lines: list[Sequence[str]] = [HEAD]
    for figure in figures:
        first = _line(figure)
        goals = [_goal(figure, target) for target in figure.targets] or [("", "")]
        lines.append((*first, *goals[0]))
        lines.extend(("",) * len(first) + goal for goal in goals[1:])
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    left = {0, 1, 2, 4, 8, 9}
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(figure: Figure) -> tuple[str, ...]:
    bare = shown(statistics.median(figure.bare)) if figure.bare else ""
    ratio = f"{figure.of('ratio'):.2f}" if figure.bare else ""
    spread = f"{figure.spread:.0%}" if len(figure.runs) > 1 else ""
    name = f"{figure.name} ({figure.note})" if figure.note else figure.name
    return figure.section, figure.centre, name, shown(figure.median), figure.unit, spread, bare, ratio


def _goal(figure: Figure, target: Target) -> tuple[str, str]:
    unit = "x bare" if target.of == "ratio" else figure.unit
    return f"{target.bound} {shown(target.number)} {unit}", target.met(figure.of(target.of))


def shown(number: float) -> str:
    """A number for people: thousands apart, three or so digits."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
