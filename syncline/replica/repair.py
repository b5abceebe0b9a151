"""Rows that differ are brought to what the centre has: through the steps of an apply, in one transaction.

Pending edits stay on top (law L6), capture is suppressed, the application's own triggers on other tables
follow, foreign keys hold at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from syncline.merge.policies import REPAIRED
from syncline.model.order import as_bytes, is_sound
from syncline.model.values import identical
from syncline.protocol.messages import Group
from syncline.replica.apply import (
    Answer,
    Step,
    keep_held,
    learn_group,
    run_steps,
    show_held,
    take_held,
    take_out_gone,
)
from syncline.replica.compare import Finding
from syncline.replica.conflicts import keep_own
from syncline.replica.device import Device
from syncline.replica.edge import inward, inward_key
from syncline.replica.join import own_note
from syncline.replica.work import Work


def repair(device: Device, findings: Sequence[Finding], first: Step) -> None:
    """Make these rows what the centre has. `first` checks that they still are what was found.

    A row that is held back is tried again, as in every apply: the file knows what the centre has of it.
    """
    wrong = [finding for finding in findings if not finding.held]

    def take_rows(work: Work, answer: Answer) -> None:
        _keep_own(work, wrong)
        _remove_unreadable(work, wrong)
        _retype_keys(work, wrong)
        for group in _groups(wrong):
            learn_group(work, inward(work.device.tables.get(group.table), group))

    run_steps(device, Answer(), (first, take_held, take_rows, take_out_gone, show_held, keep_held))


def _keep_own(work: Work, findings: Iterable[Finding]) -> None:
    """What is about to be overwritten or removed may be somebody's work that was not captured: it is kept as
    a conflict. Rows that cannot be read are not."""
    notes = []
    for finding in findings:
        t, here, centre = finding.t, finding.here, finding.centre
        if here is not None and all(map(is_sound, here)):
            blank = own_note(work, t, REPAIRED)
            hub = None if centre is None else list(centre[t.arity :])
            key = list(here[: t.arity])
            notes.append(msgspec.structs.replace(blank, key=key, sent=list(here[t.arity :]), hub=hub))
    keep_own(work.store, notes)


def _groups(findings: Iterable[Finding]) -> list[Group]:
    """What a pull would have brought: first the deletes, so that their unique values count as free."""
    gone: dict[int, Group] = {}
    whole: dict[int, Group] = {}
    for finding in findings:
        t = finding.t
        if finding.centre is None:
            if all(map(is_sound, finding.key)):
                group = gone.setdefault(t.rank, Group(t.n, "D", [], []))
                group.rows.append(list(finding.key))
        else:
            group = whole.setdefault(t.rank, Group(t.n, "U", list(t.values), []))
            group.rows.append(list(finding.centre))
    return [*gone.values(), *(group for _, group in sorted(whole.items()))]


def _retype_keys(work: Work, findings: Iterable[Finding]) -> None:
    """A key of equal value and another class (1 and 1.0) is the same row to SQLite: give it its class."""
    for finding in findings:
        t, here, centre = finding.t, finding.here, finding.centre
        if here is None or centre is None:
            continue
        key = centre[: t.arity]
        if not all(identical(mine, other) for mine, other in zip(here, key, strict=False)):
            sets = ", ".join(f"{name} = ?{i}" for i, name in enumerate(t.keys, 1))
            key_here = inward_key(t, key)
            work.store.execute(f"UPDATE OR ABORT {t.name} SET {sets} WHERE {t.by_key}", key_here)


def _remove_unreadable(work: Work, findings: Iterable[Finding]) -> None:
    """Rows whose key is text that is not UTF-8; no hub has such a row, and nothing else can name it."""
    for finding in findings:
        t, key = finding.t, finding.key
        if not all(map(is_sound, key)):
            match = " AND ".join(
                f"{name} = {'?' if is_sound(value) else 'CAST(? AS TEXT)'}"
                for name, value in zip(t.keys, key, strict=True)
            )
            bound = [value if is_sound(value) else as_bytes(str(value)) for value in key]
            work.store.execute(f"DELETE FROM {t.name} WHERE {match}", bound)
