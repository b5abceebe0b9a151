"""Who holds rows, in words."""

from __future__ import annotations

import pytest

from syncline.databases.base.findings import Holder


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (
            Holder(71, "ann", "psql", "10.0.0.7", "idle in transaction", 12.4, None),
            "session 71 of ann (psql, from 10.0.0.7, idle in transaction), open for 12 s",
        ),
        (Holder(71, "ann", "", None, None, None, None), "session 71 of ann"),
        (
            Holder(None, None, None, None, None, 90.0, "order 5"),
            "the prepared transaction 'order 5', open for 90 s",
        ),
        (Holder(None, None, None, None, None, None, None), "another transaction"),
    ],
)
def test_a_holder_is_named_as_far_as_it_is_known(holder: Holder, words: str) -> None:
    assert str(holder) == words


def test_doctor_says_what_it_holds() -> None:
    finding = Holder(71, "ann", None, None, None, 20.0, None).finding("public.t", ["[1]", "[2]"], "End it.")
    sentence = (
        "session 71 of ann, open for 20 s holds rows of public.t with the keys [1], [2]: edits of them wait"
    )
    assert (finding.code, finding.sentence, finding.remedy) == ("rows_held", sentence, "End it.")
