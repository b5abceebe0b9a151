"""What the project's code does with one of its databases: make and fill it, edit it, ask it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db.models import F, Max, Q, Sum

from fleet.models import Tag, Trip, Vehicle

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
HALF = timedelta(milliseconds=500)


def number(n: int) -> uuid.UUID:
    return uuid.UUID(int=n << 64 | 0x8000 << 48 | n)


def trip(n: int, vehicle: int) -> Trip:
    at = NOON + n * HALF
    return Trip(
        id=number(n),
        vehicle_id=number(vehicle),
        started=at,
        day=at.date() + timedelta(n),
        clock=at.time(),
        cost=Decimal(n) * Decimal("4.755"),
        distance=n / 4,
        private=(None, True, False)[n % 3],
        stops=["ü", n],
    )


def migrate(db: str) -> Any:
    """The project's own migrations, the admin's included, and some rows."""
    call_command("migrate", database=db, verbosity=0)
    user = User(username="ada", is_staff=True, is_superuser=True, date_joined=NOON, last_login=NOON + HALF)
    user.set_password("secret")
    user.save(using=db)
    for n in (1, 2):
        Vehicle.objects.using(db).create(
            id=number(n), plate=f"B-{n}", price=Decimal("19999.90") * n, owner=user
        )
    Trip.objects.using(db).bulk_create([trip(n, 1 + n % 2) for n in range(1, 21)])
    Tag.objects.using(db).create(name="long").trip_set.set(Trip.objects.using(db).filter(distance__gt=4))
    Session.objects.using(db).create(session_key="s" * 32, session_data="x", expire_date=NOON)
    return None


def edit(db: str) -> Any:
    """What somebody does in the admin."""
    user = User.objects.using(db).get(username="ada")
    vehicle = Vehicle.objects.using(db).create(
        id=number(30), plate="B-30", price=Decimal("0.30"), owner=user, in_use=False
    )
    trip(31, 30).save(using=db)
    kind = ContentType.objects.using(db).get(app_label="fleet", model="vehicle")
    LogEntry(
        action_time=NOON + 7 * HALF,
        user=user,
        content_type=kind,
        object_id=str(vehicle.pk),
        object_repr="B-30",
        action_flag=ADDITION,
        change_message="[]",
    ).save(using=db)
    changed = Trip.objects.using(db).get(pk=number(5))
    changed.started, changed.cost, changed.private = (
        NOON + timedelta(days=1, microseconds=1),
        Decimal("9.510"),
        True,
    )
    changed.save()
    Trip.objects.using(db).get(pk=number(6)).save()  # writes every column, changes none
    Trip.objects.using(db).filter(pk__in=[number(7), number(8)]).delete()
    Vehicle.objects.using(db).filter(plate="B-1").update(price=F("price") + Decimal("0.10"))
    user.last_login = NOON + timedelta(days=2)
    user.save(using=db)
    return None


def queries(db: str) -> Any:
    trips, vehicles = Trip.objects.using(db), Vehicle.objects.using(db)
    found: dict[str, Callable[[], Any]] = {
        "uuid": lambda: trips.filter(pk=number(3)),
        "uuids": lambda: trips.filter(pk__in=[number(3), str(number(4))]),
        "parent": lambda: trips.filter(vehicle=number(1)),
        "plate": lambda: trips.filter(vehicle__plate="B-2"),
        "moment": lambda: trips.filter(started=NOON + HALF),
        "whole moment": lambda: trips.filter(started=NOON + 2 * HALF),
        "from": lambda: trips.filter(started__gte=NOON + 4 * HALF),
        "up to": lambda: trips.filter(started__lte=NOON + 4 * HALF),
        "range": lambda: trips.filter(started__range=(NOON + 3 * HALF, NOON + 10 * HALF)),
        "year": lambda: trips.filter(started__year=2024, started__minute=0),
        "day": lambda: trips.filter(day__gt=date(2024, 3, 5)),
        "clock": lambda: trips.filter(clock__lte=time(12, 0, 2, 500_000)),
        "clock is": lambda: trips.filter(clock=time(12, 0, 1)),
        "cost": lambda: trips.filter(cost=Decimal("9.510")),
        "dear": lambda: trips.filter(cost__gt=Decimal("9.000")),
        "between": lambda: trips.filter(cost__range=(Decimal("5"), Decimal("20"))),
        "distance": lambda: trips.filter(distance=1.25),
        "private": lambda: trips.filter(private=True),
        "not private": lambda: trips.filter(Q(private=False) | Q(private__isnull=True)),
        "stops": lambda: trips.filter(stops__1=4),
        "tags": lambda: trips.filter(tags="long"),
        "in use": lambda: vehicles.filter(in_use=True),
    }
    answers = {name: sorted(str(one.pk) for one in query()) for name, query in found.items()}
    answers |= {
        "rows": [
            list(map(str, row))
            for row in trips.order_by("pk").values_list(
                "id", "vehicle", "started", "day", "clock", "cost", "distance", "private", "stops"
            )
        ],
        "vehicles": [
            list(map(str, row)) for row in vehicles.order_by("plate").values_list("plate", "price", "owner")
        ],
        "by cost": [str(one) for one in trips.order_by("-cost").values_list("cost", flat=True)],
        "total": f"{trips.aggregate(Sum('cost'))['cost__sum']:.3f}",
        "latest": str(trips.aggregate(Max("started"))["started__max"]),
        "users": [
            [one.username, one.check_password("secret"), str(one.last_login), str(one.date_joined)]
            for one in User.objects.using(db).filter(date_joined=NOON)
        ],
        "sessions": Session.objects.using(db).filter(expire_date__lt=NOON + HALF).count(),
        "permissions": Permission.objects.using(db).filter(content_type__app_label="fleet").count(),
        "log": [
            [str(one.action_time), one.object_repr, one.user.username]
            for one in LogEntry.objects.using(db).filter(action_time__gte=NOON)
        ],
    }
    return answers
