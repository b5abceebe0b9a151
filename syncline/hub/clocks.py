"""Clocks that run ahead: what their stamps become, and that their order is kept among themselves (law L7).

A stamp that is further ahead of the hub's clock than the tolerance is cut: it becomes one of about now, so
that it does not win for years. But of two such edits the one with the higher stamp wins, whichever arrives
first: what a stamp was before it was cut is remembered for a while, and the later to arrive takes its place
before or behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from syncline.hub.accept import HIGHEST_HLC, Part
from syncline.hub.contract import Claim, Rival, WriteTransaction
from syncline.model.clock import clamp, stamp

MOST = 10_000
"""Cut stamps of one push that are remembered, the highest."""

Others = Sequence[Mapping[int, Sequence[Rival]]]
"""Per part: the rivals of its rows, by row number."""


def sane(hlc: int, now: int, tolerance: int) -> int:
    """As much of a stamp as devices are told, whose clocks go on from it: one that only a wrong clock can
    have made is told as now (milliseconds since 1970 UTC; milliseconds)."""
    return hlc if hlc <= stamp(now + tolerance) else stamp(now)


def clamped(parts: Sequence[Part], now: int, tolerance: int) -> list[Part]:
    """The parts with the stamps cut of clocks that run ahead (milliseconds since 1970 UTC; milliseconds). The
    highest becomes the highest that is allowed; others keep their distance to it, as far as they stay within
    the tolerance. The parts given stay as they are: a push that is tried again begins with the same ones."""
    highest = clamp(HIGHEST_HLC, now, tolerance)
    tops = [_top(part) for part in parts]
    shift = max(tops, default=0) - highest
    if shift <= 0:
        return list(parts)
    lowest = highest - stamp(tolerance)

    def cut(hlc: int) -> int:
        return hlc if hlc <= highest else max(hlc - shift, lowest)

    def with_cut(part: Part) -> Part:
        columns = part.column_hlc or [[] for _ in part.hlc]
        told = zip(part.keys, part.hlc, columns, strict=True)
        return replace(
            part,
            claims={key: [hlc, *more] for key, hlc, more in told if max(hlc, *more, 0) > highest},
            hlc=list(map(cut, part.hlc)),
            column_hlc=None if part.column_hlc is None else [list(map(cut, row)) for row in part.column_hlc],
        )

    return [with_cut(part) if top > highest else part for part, top in zip(parts, tops, strict=True)]


def _top(part: Part) -> int:
    """The highest stamp of a part."""
    return max(0, *part.hlc, *(hlc for row in part.column_hlc or () for hlc in row))


def keep_order(transaction: WriteTransaction, parts: Sequence[Part], rivals: Others) -> None:
    """Put the cut stamps of these parts, which `clamped` has made, where they belong among those of their
    rivals that were cut, too."""
    for part, others in zip(parts, rivals, strict=True):
        if part.claims and others:
            known = _known(transaction, [one for found in others.values() for one in found])
            for row, found in others.items():
                told = [
                    (one.hlc, known[one.hlc, one.origin]) for one in found if (one.hlc, one.origin) in known
                ]
                claims = part.claims.get(part.keys[row])
                if told and claims is not None:
                    part.hlc[row] = _placed(part.hlc[row], claims[0], told)
                    if part.column_hlc is not None:
                        pairs = zip(part.column_hlc[row], claims[1:], strict=False)
                        part.column_hlc[row] = [_placed(hlc, claim, told) for hlc, claim in pairs]


def _known(transaction: WriteTransaction, rivals: Sequence[Rival]) -> dict[tuple[int, str], int]:
    """What the stamps of rivals were before they were cut."""
    found: dict[tuple[int, str], int] = {}
    for origin in {rival.origin for rival in rivals}:
        stamps = [rival.hlc for rival in rivals if rival.origin == origin]
        for claim in transaction.ledger.claims(origin, min(stamps), max(stamps)):
            found[claim.hlc, origin] = claim.claim
    return found


def _placed(hlc: int, claim: int, told: Sequence[tuple[int, int]]) -> int:
    """The stamp, above the cut stamps of those that claimed less, below those of who claimed more."""
    hlc = max([hlc, *(other + 1 for other, theirs in told if theirs < claim)])
    return min([hlc, *(other - 1 for other, theirs in told if theirs > claim)])


def note_claims(transaction: WriteTransaction, parts: Sequence[Part], replica: str) -> None:
    """Remember what the stamps of these parts were before they were cut."""
    found: dict[int, int] = {}
    for part in parts:
        for row, key in enumerate(part.keys if part.claims else ()):
            claims = (part.claims or {}).get(key)
            if claims is not None:
                stamps = [part.hlc[row], *(part.column_hlc[row] if part.column_hlc else ())]
                found.update(zip(stamps, claims, strict=False))
    if found:
        highest = sorted(found, reverse=True)[:MOST]
        transaction.ledger.note_claims([Claim(replica, hlc, found[hlc]) for hlc in highest])
