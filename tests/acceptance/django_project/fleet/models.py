"""What a small fleet keeps: vehicles, their trips, a code for each driver."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Vehicle(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    plate = models.CharField(max_length=12, unique=True)
    in_use = models.BooleanField(default=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)


class Trip(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="trips")
    started = models.DateTimeField()
    day = models.DateField()
    clock = models.TimeField()
    cost = models.DecimalField(max_digits=8, decimal_places=3)
    distance = models.FloatField()
    private = models.BooleanField(null=True)
    stops = models.JSONField(default=list)
    tags = models.ManyToManyField("Tag")


class Tag(models.Model):
    name = models.SlugField(primary_key=True)
