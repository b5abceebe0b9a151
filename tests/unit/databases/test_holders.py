"""What is said of those who hold tables, and which rows wait for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from syncline.databases.base.findings import Holder
from syncline.databases.base.holders import Bar, BaseHolders, Hold, Holding, naming
from syncline.databases.base.shape import BaseShape
from syncline.hub.contract import Locked, Stage
from syncline.model.schema import ColumnSchema, Schema, TableSchema

COLUMNS = tuple(
    ColumnSchema(name, "integer", "INTEGER", number=number) for number, name in enumerate(["id", "p", "n"])
)
TABLE = TableSchema("t", COLUMNS, ("id",), number=1)


class Holders(BaseHolders[Any]):
    """What a database would tell: who has which table, how; and foreign keys that cannot be looked after."""

    remedy = "End it."

    def __init__(self, having: Mapping[tuple[int, Hold], Sequence[int]], *bars: Bar) -> None:
        self.having, self.found = having, bars

    def known_as(self, names: Sequence[str]) -> list[int]:
        return [int(name) for name in names]

    def parts(self, shape: BaseShape) -> list[int]:
        return [shape.n]

    def by(self, tables: Sequence[int], how: Hold) -> list[Holder]:
        sessions = [session for table in tables for session in self.having.get((table, how), ())]
        return [Holder(session, "ann", None, None, None, None, None) for session in sessions]

    def tables(self, how: Hold, *, everywhere: bool = False) -> list[tuple[int, str, str]]:
        return [(table, f"public.t{table}", f"t{table}") for table, kind in self.having if kind == how]

    def of_rows(
        self, loaded: Any, rows: Sequence[int] | None = None, *, but: Collection[int] = ()
    ) -> dict[int, list[str]]:
        return {row: [] for row in rows or ()}

    def bars(self, loaded: Any) -> Iterable[Bar]:
        return self.found

    def long(self, seconds: float) -> list[Holding]:
        def keys(columns: Sequence[str]) -> list[str]:
            return [f"{list(columns)} {number}" for number in range(5)]

        return [Holding(Holder(7, "ann", None, None, None, seconds, None), 1, "public.t", keys)]


def loaded(form: str, columns: Sequence[int], *rows: list[Any]) -> Any:
    stage = Stage(1, form, "U", columns, [list(row) for row in rows], [1] * len(rows))  # type: ignore[arg-type]
    shape = SimpleNamespace(table=TABLE, n=1)
    return SimpleNamespace(stage=stage, shape=shape, live=list(range(len(rows))))


OUT, IN = Bar(True, ["p"], 5, "public.other"), Bar(False, ["n"], 5, "public.other")
HELD = {(5, cast(Hold, "held")): [71]}


@pytest.mark.parametrize(
    ("stage", "bar", "rows"),
    [
        (loaded("insert", [1], [1, None], [2, 3]), OUT, [0, 1]),
        (loaded("update", [1], [1, None], [2, 3]), OUT, [1]),
        (loaded("update", [2], [1, 4]), OUT, []),
        (loaded("delete", [], [1]), OUT, []),
        (loaded("delete", [], [1]), IN, [0]),
        (loaded("update", [2], [1, 4]), IN, [0]),
        (loaded("update", [1], [1, 4]), IN, []),
        (loaded("insert", [2], [1, 4]), IN, []),
    ],
)
def test_rows_that_need_a_held_table_wait_for_it(stage: Any, bar: Bar, rows: list[int]) -> None:
    found = Holders(HELD, bar).barred(stage)
    assert list(found) == rows
    said = f"may {'point at' if bar.outward else 'be pointed at by'} table public.other, which is held by"
    assert all(why == f"{said} session 71 of ann" for why in found.values())


def test_who_keeps_a_table_from_others_is_named_before_who_reads_it() -> None:
    holders, shape = (
        Holders({(1, "read"): [8], (1, "written"): [9, 9]}),
        cast(BaseShape, SimpleNamespace(n=1)),
    )
    assert holders.of_shape(shape) == ["session 9 of ann"]
    assert Holders({(1, "read"): [8]}).of_shape(shape) == ["session 8 of ann"]
    assert Holders({}).of_shape(shape) == []
    assert holders.of_row(loaded("update", [], [1]), [0]) == ["session 9 of ann"]


def test_a_table_of_the_user_s_is_named_where_his_code_names_it() -> None:
    holders = Holders({(5, "held"): [71], (6, "held"): []})
    assert holders.named_in("INSERT INTO t5 SELECT 1") == ["table public.t5 is held by session 71 of ann"]
    assert holders.named_in("t6") == ["table public.t6 is held by another transaction"]
    assert holders.named_in("t7") == []


def test_doctor_names_some_of_the_keys() -> None:
    (found,) = Holders({}).examine(Schema((TABLE,)), 20.0)
    keys = "['id'] 0, ['id'] 1, ['id'] 2, ..."
    assert found.sentence == (
        f"session 7 of ann, open for 20 s holds rows of public.t with the keys {keys}: edits of them wait"
    )


def test_a_wait_in_vain_says_who_is_waited_for() -> None:
    def asking(holders: Holders) -> Callable[[], AbstractContextManager[Holders]]:
        return lambda: nullcontext(holders)

    said, bare = "table public.t5 is held by session 71 of ann", "a lock was not to be had"
    with pytest.raises(Locked, match=said) as caught, naming(asking(Holders(HELD)), "held"):
        raise Locked(bare)
    assert caught.value.remedy == f"{Locked.remedy} End it."
    with pytest.raises(Locked, match=bare), naming(asking(Holders(HELD)), "closed"):
        raise Locked(bare)
