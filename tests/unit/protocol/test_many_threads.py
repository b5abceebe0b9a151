"""Messages of a kind that nobody has read yet, read by several threads at once.

msgspec ends the process by a segmentation fault where two threads make decoders of one record at once:
a server answered its first requests so. The threads run in a process of their own, whose end is looked at.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

READ = """
import sys, threading
import msgspec
from syncline.protocol import codec
from syncline.protocol.messages import Record
from syncline.protocol.negotiation import Form

sys.setswitchinterval(1e-6)
WIDE, THREADS, KINDS = 12, 8, 60
form = sys.argv[1]

def fresh(number):
    numbers = [(f"f{n}", int) for n in range(WIDE)]
    inner = [msgspec.defstruct(f"I{n}", numbers, bases=(Record,)) for n in range(WIDE)]
    fields = [(f"i{n}", kind | None, None) for n, kind in enumerate(inner)]
    return msgspec.defstruct(f"K{number}", fields, bases=(Record,)), [None] * (WIDE - 1) + [[1] * WIDE]

def read(kind, values):
    if form == "msgpack":
        return codec.decode(msgspec.msgpack.encode(values), kind, Form.MSGPACK)
    named = {f"i{n}": value and {f"f{k}": 1 for k in range(WIDE)} for n, value in enumerate(values)}
    return codec.decode(msgspec.json.encode(named), kind, Form.JSON)

read_by = []
def run(kinds, start):
    for kind, values in kinds:
        start.wait()
        read_by.append(read(kind, values))

kinds, start = [fresh(n) for n in range(KINDS)], threading.Barrier(THREADS)
threads = [threading.Thread(target=run, args=(kinds, start)) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(read_by) == THREADS * KINDS)
"""


@pytest.mark.parametrize("form", ["msgpack", "json"])
def test_a_kind_of_message_is_first_read_by_several_threads(form: str) -> None:
    process = subprocess.run([sys.executable, "-c", READ, form], capture_output=True, text=True, timeout=120)
    assert (process.returncode, process.stdout) == (0, "True\n"), process.stderr
