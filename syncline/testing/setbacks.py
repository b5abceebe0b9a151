"""The simulated world of `testing.world` with a centre that goes back in time, or prunes its log.

What must hold besides: nothing pending is lost, and what was pushed and lost comes again, once. Counters
tell, of the rows that every backup has, and of those that devices have made: all come in the end. In every
second history nothing is deleted, so that they can tell.
"""

from __future__ import annotations

from syncline.model.scope import UNBOUNDED
from syncline.replica.pending import pending_edits
from syncline.replica.rejected import rejected
from syncline.testing.office import MakeOffice, SqliteOffice
from syncline.testing.world import TABLES, Phone, Row, World, sorted_rows

ALWAYS = ("home", "away")
"""Farms that are there from the beginning."""


class Setbacks(World):
    """One seeded history with setbacks."""

    def __init__(self, seed: int, office: MakeOffice = SqliteOffice) -> None:
        super().__init__(seed, office)
        self.counted = dict.fromkeys(ALWAYS, 0)
        self.spares = self.rng.random() < 0.5
        self.keep()

    def keep(self) -> None:
        """A backup of the centre as it is now."""
        self.kept = self.office.backup()

    def restore(self) -> None:
        """The centre is what it was at the backup."""
        self.office.restore(self.kept)

    def prune(self) -> None:
        """The log forgets nearly everything, whoever still needs it."""
        with self.database.write(UNBOUNDED) as transaction:
            transaction.log.prune([], 0.0, None, 10_000)

    def _note(self, phone: Phone, statements: list[tuple[str, Row]], changed: int) -> None:
        super()._note(phone, statements, changed)
        for sql, parameters in statements:
            if sql.startswith("INSERT INTO farm") and changed:
                self.counted[str(parameters[0])] = 0
            if "cows = cows +" in sql and changed and parameters[1] in self.counted:
                self.counted[parameters[1]] += parameters[0]

    def _remove(self, phone: Phone) -> list[tuple[str, Row]]:
        return self._change(phone) if self.spares else super()._remove(phone)

    def edit_centre(self) -> None:
        if not self.spares:
            super().edit_centre()
            return
        self.serial += 1
        self.trace.append(f"centre: note c{self.serial}")
        self.office.run("UPDATE farm SET note = ? WHERE id = 'home'", f"c{self.serial}")

    def _step(self) -> None:
        phone, dice = self.rng.choice(self.phones), self.rng.random()
        if dice < 0.5:
            self.edit(phone)
        elif dice < 0.58:
            self.edit_centre()
        elif dice < 0.63:
            self.trace.append("centre: backup")
            self.keep()
        elif dice < 0.67:
            self.trace.append("centre: put back")
            self.restore()
        elif dice < 0.71:
            self.trace.append("centre: log pruned")
            self.prune()
        else:
            self.exchange(phone, faults=True)

    def run(self) -> None:
        for _ in self.steps(self.rng.randint(20, 90)):
            self._step()
        for _ in range(4):
            for phone in self.phones:
                self.exchange(phone, faults=False)
        centre = self.contents()
        for phone in self.phones:
            self.check(phone, centre)
        self._check_counters(centre)

    def check(self, phone: Phone, centre: dict[str, list[Row]]) -> None:
        """L5: the replica is the centre. L9: no broken reference."""
        assert sum(pending_edits(phone.device).values()) == 0
        assert phone.store.rows("PRAGMA foreign_key_check") == []
        for table in TABLES:
            assert sorted_rows(phone.store.rows(f"SELECT * FROM {table}")) == centre[table], table

    def _check_counters(self, centre: dict[str, list[Row]]) -> None:
        """L2 and L3."""
        edits = [edit for phone in self.phones for edit in rejected(phone.device) if edit.table == "farm"]
        notes = self.hub.conflicts(open_only=False)
        overruled = any(note.table == "farm" and note.column is None for note in notes)
        if self.deleted or edits or overruled:  # kept there, not counted
            return
        cows = {row[0]: row[2] for row in centre["farm"]}
        assert {farm: cows.get(farm) for farm in self.counted} == self.counted
