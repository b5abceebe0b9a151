"""The tracked tables as the adapter works with them: codecs, quoted names, and the text they are built of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from syncline.databases.base.codec import Codec as PortableCodec
from syncline.databases.base.screen import Certain
from syncline.databases.base.spelling import SPELLINGS, are_floats, decimals, matching
from syncline.databases.base.typed import Present, TypedLayout, TypedShape
from syncline.databases.postgresql.session import Rows, Session
from syncline.databases.postgresql.sql import array, array_of, literal, qualified, queries
from syncline.databases.postgresql.types import HEADER, STAGES, Codec, codec_of, digits_of
from syncline.hub.contract import Key
from syncline.model.schema import ColumnSchema


@dataclass(eq=False, repr=False)
class Shape(TypedShape[Codec]):
    """One tracked table."""

    OVERRIDING = " OVERRIDING SYSTEM VALUE"

    @cached_property
    def name(self) -> str:
        return qualified(self.table.central_schema, self.table.central_name)

    @property
    def log(self) -> str:
        return f"syncline.log_{self.n}"

    def is_own(self, entry: str) -> str:
        return f"{entry}.xid = pg_current_xact_id()"

    def codec(self, column: ColumnSchema) -> Codec:
        return codec_of(column)

    def length(self, column: str) -> int | None:
        """That of a varchar(n)."""
        name, modifier, _ = self._type(column)
        return modifier - HEADER if name == "varchar" and modifier >= HEADER else None

    def certain(self, column: str) -> Certain | None:
        name, modifier, _ = self._type(column)
        if name == "float8":
            return are_floats
        if name == "numeric" and modifier >= HEADER:
            return decimals(digits_of(modifier)[1])
        pattern = SPELLINGS.get("decimal" if name == "numeric" else name)
        return matching(pattern) if modifier == -1 and pattern is not None else None

    def _type(self, column: str) -> Sequence[Any]:
        return self.facts.types.get(column, ("", -1, ""))

    def arrays(self, keys: Sequence[Key]) -> list[str]:
        """What to bind for `given`: one array literal a key column."""
        pairs = zip(self.keys, zip(*keys, strict=True), strict=True)
        return [array(codec.spell(column)) for codec, column in pairs]

    @cached_property
    def given(self) -> str:
        """An item of FROM: the keys that the first parameters hold, as rows `s` with their number `n`."""
        columns = ", ".join(f"${i + 1}::{codec.stage}[]" for i, codec in enumerate(self.keys))
        return f"unnest({columns}) WITH ORDINALITY AS s({', '.join(self.log_keys)}, n)"

    @property
    def given_one(self) -> str:
        """Of a single key PostgreSQL keeps its plan, while it plans anew for every array."""
        return f"(SELECT * FROM {self.given} LIMIT 1) AS s"

    def bound(self, number: int, codec: PortableCodec, *, native: bool = False) -> str:
        return f"${number}::{codec.central if native else STAGES[codec.storage]}"

    def page(self, number: int) -> str:
        return f" LIMIT ${number}::bigint"

    def given_texts(self, texts: Sequence[str]) -> tuple[str, str]:
        return "unnest($1::text[]) WITH ORDINALITY AS s(k0, n)", array(list(texts))

    def brought(self, column: str, stored: str) -> str:
        _, modifier, whole = self._type(column)
        return f"({stored})::{whole}" if modifier >= 0 else stored

    def bytewise(self, text: str) -> str:
        return f'{text} COLLATE "C"'

    def computable(self, expression: str, text: str) -> str:
        return f"syncline.castable(({text})::text, {literal(expression.replace(text, '$1::text'))})"

    def sifted(self, source: str, tests: Sequence[str]) -> str:
        return f"(SELECT * FROM {source} WHERE {' AND '.join(tests)} OFFSET 0) AS s"

    def old_values(self, row: str) -> str:
        """What an entry keeps of a row as it was: JSON of texts, from which the types are read again."""
        pairs = (f"'{n}', {row}.{self.value_names[n]}::text" for n in self.before)
        return f"json_build_object({', '.join(pairs)})"

    def old_value(self, number: int) -> tuple[str, str, str]:
        text = f"(l.old ->> '{number}')"
        return f"(l.old -> '{number}') IS NOT NULL", text, f"{text}::{self.values[number].central}"


class Layout(TypedLayout[Shape]):
    """All tracked tables, with what PostgreSQL says of them."""

    table = Shape


def as_they_are(session: Session, tables: Iterable[int], written: Iterable[int]) -> dict[int, Present]:
    """Tracked tables by number, with their facts those that are `written`; not in it: those that are gone."""
    asked, with_facts = list(tables), list(written)
    if with_facts:
        rows = _asked(session, "as they are", asked, with_facts)
    else:
        rows = _asked(session, "as they are named", asked)
    return {n: Present.of((schema, name), *told) for n, schema, name, *told in rows}


def _asked(session: Session, name: str, *numbers: list[int]) -> Rows:
    """What the query of this name tells. Of a single table it has the numbers in its text: then PostgreSQL
    keeps its plan, while it plans a query of bound arrays each time, and that takes longer than to run it."""
    text = queries("prepare.sql")[name]
    if len(numbers[0]) > 1:
        return session.run(text, *numbers)
    for place, some in enumerate(numbers, 1):
        text = text.replace(f"ANY (${place})", f"ANY ('{array_of(some)}'::int[])")
    return session.run(text)
