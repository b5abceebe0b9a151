"""Which stamps of a push are of which of its rows: what stands beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.replica.whose import mark_of, marks_of_log
from tests.support.device import Bench


@pytest.mark.parametrize("is_retried", [False, True], ids=["none is of a retry", "one is told by two stamps"])
def test_every_stamp_of_a_log_has_the_mark_of_its_row_beside_it(tmp_path: Path, is_retried: bool) -> None:
    bench = Bench(tmp_path / "device.db", "CREATE TABLE pair (a INTEGER, b TEXT, v, PRIMARY KEY (a, b))")
    for value in range(3):
        for key in ((1, "x"), (2**40, "é"), (-1, "")):
            sql = "INSERT INTO pair VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET v = ?3"
            bench.app.execute(sql, (*key, value))
    t = bench.device.tables[bench.schema.number_of("pair")]
    entries = bench.rows(f"SELECT op, k0, k1, stamp FROM {t.log} WHERE seq < 9 ORDER BY seq")
    if is_retried:
        stamp = entries[3][3]
        bench.app.execute("INSERT INTO _sync_retried VALUES (?, ?, 0)", (stamp, stamp + b"8 others"))
    wanted = [mark_of(t.n, (a, b)) for _, a, b, _ in entries]
    if is_retried:
        wanted.insert(3, wanted[3])
    assert b"".join(marks_of_log(bench.store, t, "l.seq < 9")) == b"".join(wanted)
    bench.close()
