"""SQLAlchemy models on the centre and on a device: one program, the same answers, edits both ways (L8)."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Enum, ForeignKey, MetaData, Numeric, create_engine, func, select, text
from sqlalchemy import DateTime as Moment
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.schema import CreateTable, DropTable
from sqlalchemy.sql import Select
from sqlalchemy.types import NullType

import syncline
from syncline.errors import UsageError


class Base(DeclarativeBase):
    pass


class State(enum.Enum):
    OPEN = "open"
    SHUT = "shut"


class Station(Base):
    __tablename__ = "station"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    readings: Mapped[list[Reading]] = relationship(back_populates="station", cascade="all, delete-orphan")


class Reading(Base):
    __tablename__ = "reading"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    station_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("station.id"))
    station: Mapped[Station] = relationship(back_populates="readings")
    at: Mapped[datetime] = mapped_column(Moment(timezone=True))
    local: Mapped[datetime | None]
    day: Mapped[date]
    clock: Mapped[time]
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    weight: Mapped[float]
    valid: Mapped[bool]
    state: Mapped[State] = mapped_column(Enum(State, native_enum=False))
    notes: Mapped[Any] = mapped_column(JSON)


NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
HALF = timedelta(milliseconds=500)


def number(n: int) -> uuid.UUID:
    return uuid.UUID(int=n << 64 | 0x8000 << 48 | n)


def reading(n: int) -> Reading:
    at = NOON + n * HALF
    return Reading(
        id=number(n),
        station_id=number(1),
        at=at,
        local=at.replace(tzinfo=None) if n % 3 else None,
        day=at.date() + timedelta(n),
        clock=at.time(),
        price=Decimal(n) * Decimal("4.75"),
        weight=n / 4,
        valid=n % 2 == 0,
        state=State.OPEN if n % 4 else State.SHUT,
        notes={"n": n, "deep": [n, None, "ü"]},
    )


R = Reading
QUERIES: dict[str, Select[Any]] = {
    "uuid": select(R.id).where(R.id == number(7)),
    "uuids": select(R.id).where(R.id.in_([number(3), number(4)])),
    "parent": select(R.id).join(R.station).where(Station.id == number(1)),
    "moment": select(R.id).where(R.at == NOON + HALF),
    "whole moment": select(R.id).where(R.at == NOON + 2 * HALF),
    "from": select(R.id).where(R.at >= NOON + 4 * HALF),
    "between": select(R.id).where(R.at.between(NOON + 3 * HALF, NOON + 10 * HALF)),
    "before": select(R.id).where(R.local < datetime(2024, 2, 29, 12, 0, 4)),
    "latest": select(func.count()).where(R.at == select(func.max(R.at)).scalar_subquery()),
    "day": select(R.id).where(R.day > date(2024, 3, 5)),
    "clock": select(R.id).where(R.clock <= time(12, 0, 2, 500_000)),
    "price": select(R.id).where(R.price == Decimal("9.50")),
    "dear": select(R.id).where(R.price > Decimal("9.00")),
    "cheap": select(R.id).where(R.price.between(Decimal("5"), Decimal("20.00"))),
    "order": select(R.price).order_by(R.price.desc()),
    "sum": select(func.sum(R.price)),
    "weight": select(R.id).where(R.weight == 1.75),
    "valid": select(R.id).where(R.valid),
    "not valid": select(R.id).where(R.valid.is_(False)),
    "state": select(R.id).where(R.state == State.SHUT),
    "rows": select(R.id, R.at, R.local, R.day, R.clock, R.price, R.weight, R.valid, R.state, R.notes),
}


@dataclass
class Places:
    centre: Engine
    file: Engine
    device: syncline.Replica
    hub: syncline.Hub
    forms: str | None

    def answers(self, place: Engine) -> dict[str, list[Any]]:
        with Session(place) as session:
            return {
                name: sorted(map(_shown, session.execute(query).all())) for name, query in QUERIES.items()
            }

    def assert_same_answers(self) -> dict[str, list[Any]]:
        there, here = self.answers(self.centre), self.answers(self.file)
        assert {name: here[name] for name in QUERIES} == there
        return there


def _shown(row: Any) -> str:
    """A moment that has lost its zone in SQLite is in UTC."""
    return repr(tuple(v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in row))


@pytest.fixture(params=["postgresql", "sqlite"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Over a SQLite centre there is no form to ask for: both files have what the program writes."""
    if request.param == "sqlite":
        url, forms = f"sqlite:///{tmp_path / 'centre.db'}", None
        centre = create_engine(url)
    else:
        url, forms = request.getfixturevalue("postgres_url"), "sqlalchemy"
        options = {"options": "-c timezone=UTC -c datestyle=ISO"}
        centre = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), connect_args=options)
    Base.metadata.create_all(centre)
    with Session(centre) as session, session.begin():
        session.add(Station(id=number(1), name="one"))
        session.flush()
        session.add_all(map(reading, range(1, 21)))
    with syncline.Hub(url) as hub:
        hub.init()
        with syncline.clone(hub, tmp_path / "device.db", forms=forms) as device:
            file = create_engine(f"sqlite:///{device.file}")
            yield Places(centre, file, device, hub, forms)
            file.dispose()
    centre.dispose()


def test_every_query_has_the_same_answer_on_both_sides(places: Places) -> None:
    found = places.assert_same_answers()
    assert [name for name, rows in found.items() if not rows] == [], "each query finds something"


def test_what_the_program_writes_on_a_device_is_found_on_both(places: Places) -> None:
    with Session(places.file) as session, session.begin():
        session.add(Station(id=number(50), name="new", readings=[reading(51), reading(52)]))
        edited = session.get_one(Reading, number(7))
        edited.at, edited.price, edited.valid = NOON + timedelta(days=1), Decimal("9.50"), True
        session.delete(session.get_one(Reading, number(8)))
    report = places.device.sync()
    assert (report.push.sent, report.push.overruled, report.push.rejected) == (5, 0, ())
    places.assert_same_answers()
    with Session(places.centre) as session, session.begin():
        session.add(reading(60))
        session.get_one(Reading, number(9)).local = datetime(2020, 1, 1)
        session.delete(session.get_one(Station, number(50)))
    places.device.sync()
    found = places.assert_same_answers()
    assert len(found["rows"]) == 20
    assert places.device.verify().equal


def test_tables_that_sqlalchemy_has_made_on_the_device_take_part(places: Places, tmp_path: Path) -> None:
    own = create_engine(f"sqlite:///{tmp_path / 'own.db'}")
    Base.metadata.create_all(own)
    with Session(own) as session, session.begin():
        session.add(Station(id=number(70), name="own", readings=[reading(71)]))
    with syncline.connect(tmp_path / "own.db", hub=places.hub) as replica:
        replica.track("station", "reading", forms=places.forms)
        report = replica.sync()
        assert (report.push.sent, report.push.rejected, replica.conflicts()) == (2, (), [])
        assert replica.verify().equal
    assert places.answers(own) == places.answers(places.centre)
    own.dispose()


def test_a_table_that_is_made_anew_as_sqlalchemy_reads_it_goes_on(places: Places, tmp_path: Path) -> None:
    """So Alembic's batch mode does it, whatever it is to change: what it cannot read it cannot make again."""
    with syncline.clone(places.hub, tmp_path / "plain.db") as device:
        engine, tables = create_engine(f"sqlite:///{device.file}"), MetaData()
        tables.reflect(engine)
        former = tables.tables["reading"]
        anew = former.to_metadata(tables, name="_alembic_tmp_reading")
        assert not any(isinstance(column.type, NullType) for column in anew.columns)
        with engine.begin() as connection:
            before = connection.execute(select(former).order_by(former.c.id)).all()
            connection.execute(CreateTable(anew))
            connection.execute(anew.insert().from_select(list(former.c.keys()), select(former)))
            connection.execute(DropTable(former))
            connection.execute(text("ALTER TABLE _alembic_tmp_reading RENAME TO reading"))
            assert connection.execute(select(former).order_by(former.c.id)).all() == before
            connection.execute(former.update().values(weight=former.c.weight + 0.5))
        report = device.sync()
        assert (report.push.sent, report.push.overruled, report.push.conflicts) == (20, 0, 0)
        assert device.verify().equal
        engine.dispose()


def test_a_sqlite_centre_has_the_forms_of_its_own_program(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'centre.db'}"
    Base.metadata.create_all(create_engine(url))
    with syncline.Hub(url) as hub:
        hub.init()
        with pytest.raises(UsageError) as caught:
            syncline.clone(hub, tmp_path / "device.db", forms="django")
        assert caught.value.code == "forms_untyped"
