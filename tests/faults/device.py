"""A device in a process of its own, to be killed: waits for a line, then clones or syncs.

    python device.py sync FILE
    python device.py clone FILE URL

Prints `ready` when it may be started and `done` when it has finished.
"""

from __future__ import annotations

import sys

import syncline
from syncline.replica import ahead

ahead.LARGE = 10
"""Chunks of the large pushes of these tests travel while the rest is being frozen."""


def main(verb: str, file: str, url: str | None = None) -> None:
    if verb == "sync":
        with syncline.connect(file) as replica:
            print("ready", flush=True)
            sys.stdin.readline()
            replica.sync()
    else:
        assert url is not None
        print("ready", flush=True)
        sys.stdin.readline()
        syncline.clone(url, file).close()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
