from __future__ import annotations

from django.contrib import admin

from fleet.models import Tag, Trip, Vehicle

admin.site.register([Vehicle, Trip, Tag])
