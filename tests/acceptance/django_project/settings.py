"""A Django project with its admin: the centre is its default database, a device's file the other one."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

_CENTRE = urlsplit(os.environ["FLEET_CENTRE"])

SECRET_KEY = "for tests"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "fleet",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _CENTRE.hostname,
        "PORT": _CENTRE.port,
        "USER": _CENTRE.username,
        "NAME": _CENTRE.path[1:],
        "OPTIONS": {"options": "-c datestyle=ISO"},
    },
    "device": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("FLEET_DEVICE", "")},
}
