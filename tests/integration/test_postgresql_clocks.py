"""A device whose clock runs ahead, over PostgreSQL: what its stamps were is kept in sets (L7)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

import syncline
from syncline.databases.postgresql.session import Session
from syncline.model.actor import ANYONE
from syncline.model.clock import stamp
from syncline.protocol import messages as m
from syncline.protocol.body import delta, seal
from tests.support.postgres import PostgresCentre

AHEAD = stamp(4_000_000_000_000)


@pytest.mark.parametrize("rows", [1, 300])
def test_what_many_stamps_were_is_kept_by_one_statement(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    centre = PostgresCentre(postgres_url)
    centre.run(
        "CREATE TABLE t (id integer PRIMARY KEY, a text)",
        f"INSERT INTO t SELECT n, 'x' FROM generate_series(1, {rows}) n",
    )
    asked: list[str] = []
    execute = Session._execute

    def noted(self: Session, statement: str, values: Any) -> Any:
        asked.append(statement)
        return execute(self, statement, values)

    with syncline.Hub(centre.url) as hub:
        hub.init()
        known: Any = hub.handle(ANYONE, m.Register("r1"))
        stamps = [AHEAD + number for number in range(rows)]
        body, digest = seal([m.PushGroup(0, "U", [0], [[n + 1, "mine"] for n in range(rows)], delta(stamps))])
        monkeypatch.setattr(Session, "_execute", noted)
        hub.handle(ANYONE, m.Push("r1", 1, known.schema, [known.watermark], digest, Raw(body)))
    assert len([sql for sql in asked if "INTO syncline.claims" in sql]) == 1
    with centre.connect() as connection:
        kept = connection.execute("SELECT claim, made > 0 FROM syncline.claims ORDER BY claim").fetchall()
        assert kept == [(claim, True) for claim in stamps]
        assert connection.execute("SELECT DISTINCT a FROM t").fetchall() == [("mine",)]
