"""Works with one database of the project: `python ask.py VERB DATABASE`. The answer is JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    verb, database = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module("fleet.work"), verb)(database)))
