"""One table of the file and the hub's rows of it become one: for `replica.track`, and for a table that takes
part again (`replica.migrate`).

A row that both have alike stays, one that only the hub has is added, one that only the file has becomes a
pending insert. Where they differ the hub's row stays and the file's own is kept as a conflict.

    begin -> note_keys of every group -> log_own_rows -> lay_over every group -> end
"""

from __future__ import annotations

from syncline.model.values import Value, identical
from syncline.protocol.messages import ConflictNote, Group
from syncline.replica.apply import learn_group
from syncline.replica.conflicts import keep_own
from syncline.replica.statements import Statements
from syncline.replica.work import Work


def begin(work: Work, t: Statements) -> None:
    """Make room for the keys of the hub's rows."""
    work.store.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS _sync_hub_{t.n}"
        f" ({t.key_columns}, PRIMARY KEY ({t.key_columns})) WITHOUT ROWID"
    )
    work.store.execute(f"DELETE FROM temp._sync_hub_{t.n}")


def end(work: Work, t: Statements) -> None:
    """Forget the keys of the hub's rows."""
    work.store.execute(f"DROP TABLE temp._sync_hub_{t.n}")


def note_keys(work: Work, t: Statements, group: Group) -> None:
    """Remember the keys of the hub's rows, for `log_own_rows`."""
    work.store.executemany(
        f"INSERT OR IGNORE INTO temp._sync_hub_{t.n} VALUES ({t.key_marks})",
        (tuple(row[: t.arity]) for row in group.rows),
    )


def log_own_rows(work: Work, t: Statements) -> None:
    """Log the rows that only the file has, as the insert trigger would have."""
    work.store.execute(
        f"INSERT INTO {t.log} (op, at, checkpoint, {t.key_columns})"
        f" SELECT 'I', julianday('now'), s.checkpoint, {t.keys_of('t')} FROM {t.name} t, _sync_state s"
        f" WHERE NOT EXISTS (SELECT 1 FROM temp._sync_hub_{t.n} h WHERE {t.row_key('t', 'h')})"
    )


def lay_over(work: Work, t: Statements, group: Group) -> None:
    """Write the rows that differ or are new; note what a differing one held here."""
    changed: list[list[Value]] = []
    mine = work.overlay.pending(t, [tuple(row[: t.arity]) for row in group.rows])
    for own, row in zip(mine, group.rows, strict=True):
        theirs = row[t.arity :]
        if own.present is not None:
            same = all(identical(a, b) for a, b in zip(own.present, theirs, strict=True))
            if same:
                continue
            _note_difference(work, t, row[: t.arity], own.present, theirs)
        changed.append(row)
    learn_group(work, Group(group.table, "U", group.columns, changed))


def _note_difference(
    work: Work, t: Statements, key: list[Value], mine: list[Value], theirs: list[Value]
) -> None:
    state = work.store.state()
    note = ConflictNote(
        id=0,
        table=t.table.name,
        key=key,
        column=None,
        outcome="hub",
        replica=state.replica,
        hlc=0,
        rival="hub",
        rival_hlc=0,
        base=None,
        sent=mine,
        hub=theirs,
        at=work.store.utc(),
        policy="track",
        table_number=t.n,
        columns=list(t.values),
    )
    keep_own(work.store, note)
