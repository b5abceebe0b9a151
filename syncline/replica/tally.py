"""What one verb has done so far, counted for its report."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncline.replica.apply import Applied
from syncline.replica.push import Sent
from syncline.replica.reports import PullReport, PushReport, Recovered, Regained, RejectedEdit, WaitingRow


@dataclass(slots=True)
class Tally:
    """Counts what the reports say. `before` is the newest rejected edit of earlier verbs."""

    before: int = 0
    sent: int = 0
    pushes: int = 0
    overruled: int = 0
    conflicts: int = 0
    requests: int = 0
    pages: int = 0
    rejected: list[RejectedEdit] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    pulled: bool = False
    recovered: Recovered | None = None
    regained: list[Regained] = field(default_factory=list)
    waiting: tuple[WaitingRow, ...] = ()
    push_failed: str | None = None

    def note(self, applied: Applied) -> None:
        for mine, theirs in ((self.written, applied.written), (self.removed, applied.removed)):
            for name, rows in theirs.items():
                mine[name] = mine.get(name, 0) + rows
        self.regained += applied.regained

    def count_request(self) -> None:
        self.requests += 1

    def count(self, sent: Sent) -> None:
        """One push has its verdict."""
        self.sent += sent.rows
        self.pushes += 1
        self.overruled += sent.overruled
        self.conflicts += len(sent.verdict.conflicts)

    def push_report(self) -> PushReport:
        return PushReport(self.sent, self.pushes, self.overruled, tuple(self.rejected), self.conflicts)

    def pull_report(self) -> PullReport:
        names = sorted(self.written.keys() | self.removed.keys())
        tables = {name: self.written.get(name, 0) + self.removed.get(name, 0) for name in names}
        return PullReport(
            sum(self.written.values()),
            sum(self.removed.values()),
            self.pages,
            tables,
            self.waiting,
            self.push_failed,
        )
