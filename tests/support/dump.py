"""A PostgreSQL database as text, to compare byte for byte, or to load elsewhere."""

from __future__ import annotations

import re
import subprocess

from tests.support.postgres import find_binaries


def dump(url: str, *options: str) -> str:
    """What pg_dump says of it: definitions, rights and rows. Without the random key that some versions put
    around it."""
    binaries = find_binaries()
    assert binaries is not None
    command = [str(binaries / "pg_dump"), *options, url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def load(text: str, url: str) -> None:
    """Make what `dump` says in a database that is empty."""
    binaries = find_binaries()
    assert binaries is not None
    command = [str(binaries / "psql"), "-q", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(command, input=text, check=True, capture_output=True, text=True)
