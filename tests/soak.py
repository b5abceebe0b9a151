"""`python3 run.py soak`: random histories for a given time, over SQLite or a PostgreSQL that it starts.

python3 run.py soak --minutes 30 --centre postgresql
python3 run.py soak --world schema --seed 211 --steps 3,4,17 --centre postgresql     one that failed, again
"""

from __future__ import annotations

import argparse
import sys

from syncline.testing.soak import main as soak


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command; 1 if any history failed."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--centre", choices=["sqlite", "postgresql"], default="sqlite")
    chosen, rest = parser.parse_known_args(arguments)
    if chosen.centre == "sqlite":
        return soak(rest)
    from tests.support.postgres import start_server  # wants the driver, an extra

    server = start_server()
    try:
        return soak(rest, server.url)
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
