"""The policies: one frozen record each, with what it needs, how it travels and how it settles.

Everything else looks here: `rules` checks what a user chose, `decide` calls `settle`, the schema learns which
columns travel as a difference, and `syncline init --help`, `syncline conflicts` and `docs/policies.md` take
their words from the records. A new policy is one more record in its table. A function of the user's becomes
a record, too (`from_function`).

Source of `lww`, `sum` and `newer_wins`: the project's model of the merge rules; the others are beyond it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from syncline.errors import SynclineError
from syncline.model.values import INTEGER_MAX, INTEGER_MIN, Value, add, identical, larger, smaller

Outcome = Literal["replica", "hub", "open", "merged"]
"""Whose value it is now: what the replica sent, what the hub had (`open`: until a person decides), or a new
one made of both."""

ColumnFunction = Callable[[Value, Value, Value], Value]
"""(base, ours, theirs) -> value. `ours` is the hub's present value, `theirs` what the replica sent, `base`
what the replica had seen. Called only for a conflict. Must be pure; raise `Reject` to refuse the edit."""

NUMBERS = frozenset({"any", "integer", "float", "decimal"})
"""The portable types whose values are compared as numbers, and can be added up."""
KEY_TAKEN, PARENT_REJECTED = "key_taken", "parent_rejected"
"""Codes of an insert whose key another row has, and of an edit that depends on a rejected one."""
KEY_TAKEN_REMEDY = "Bring it in under a free number: syncline rejected FILE retry ID --new-key."
TABLE_CHANGED_REMEDY = (
    "The table stays in the file. See what it is in the centre now with: syncline doctor FILE; if it comes to"
    " be as it was, retry the edit; else make the row there again if it is needed, and discard it."
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CODE = re.compile("[a-z][a-z0-9_]{0,63}")
FUNCTION_REMEDY = "Correct the function in the hub's configuration, then retry the edit."


class Reject(SynclineError):
    """Raised by a merge function: the edit is rejected with this reason and kept on the replica."""

    code, title = "rejected_by_rule", "A merge rule refused the edit"
    remedy = "Change the value so that the rule accepts it, or discard the edit."


class Contest(NamedTuple):
    """One column to settle.

    `hub` is the value that is there, `sent` what the replica sent: its value or, if the policy travels so,
    the difference. `newer`: no other edit that the replica had not seen is newer than its own. `base` is what
    the replica had seen; only for a policy that reads it, and only if others edited the column meanwhile.
    """

    base: Value
    hub: Value
    sent: Value
    newer: bool
    numeric: bool


class Settled(NamedTuple):
    """`value` becomes the column's if `outcome` is `replica` or `merged`; otherwise the hub's value stays."""

    value: Value
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPolicy:
    """How a column is merged.

    `settle` is called for a column that others edited too; with `uses_present`, because the result depends on
    the hub's value, for every edit. It may raise `Reject` or `ValueRefused`: the edit is then rejected.
    A column that `travels` as a difference is added up, so that nobody's edit is lost: no conflict is kept.
    `types`: portable types of the columns it is for (None: all); `types_reason` says why no others.
    `reads_base`: the hub asks the replica for the base of a contested column before it calls `settle`.
    `arrival_wins`: whatever comes last wins, whenever it was made.
    """

    name: str
    summary: str
    settle: Callable[[Contest], Settled]
    travels: Literal["value", "difference"] = "value"
    uses_present: bool = False
    reads_base: bool = False
    arrival_wins: bool = False
    types: frozenset[str] | None = None
    types_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPolicy:
    """How rows are merged. `whole`: they compete as a whole, not column by column.

    `settle` is called when others changed the row too; its argument says whether no such edit is newer.
    `arrival_wins`: whatever comes last wins, whenever it was made.
    """

    name: str
    summary: str
    settle: Callable[[bool], Outcome]
    whole: bool = True
    arrival_wins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePolicy:
    """What becomes of a row that one side deleted and the other updated, where columns are merged.

    Both say whether what the replica sent is done. `delete_stands(newer, updated)` is called for a row that
    is there, with whether no unseen edit of others is newer, and whether any of them left the row alive.
    `update_stands(newer)` is called for a row that is gone; it comes back if the update stands.
    """

    name: str
    summary: str
    delete_stands: Callable[[bool, bool], bool]
    update_stands: Callable[[bool], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertPolicy:
    """What an insert is that meets another device's, or program's, of the same key.

    `rejects`: another thing, whose key is not free; it is rejected as `key_taken`, unless both rows are equal
    in every column. Otherwise it is an edit of the one row, settled by the other policies."""

    name: str
    summary: str
    rejects: bool


def _newer_wins(contest: Contest) -> Settled:
    return Settled(contest.sent, "replica" if contest.newer else "hub")


def _sum(contest: Contest) -> Settled:
    return Settled(add(contest.hub, contest.sent), "merged")


def _max(contest: Contest) -> Settled:
    return _extreme(contest, larger(contest.hub, contest.sent, contest.numeric))


def _min(contest: Contest) -> Settled:
    return _extreme(contest, smaller(contest.hub, contest.sent, contest.numeric))


def _extreme(contest: Contest, value: Value) -> Settled:
    return Settled(value, "hub" if identical(value, contest.hub) else "replica")


def _always(outcome: Outcome, contest: Contest) -> Settled:
    return Settled(contest.sent, outcome)


Policy = TypeVar("Policy", ColumnPolicy, RowPolicy, DeletePolicy, InsertPolicy)


def _table(*policies: Policy) -> Mapping[str, Policy]:
    return {policy.name: policy for policy in policies}


COLUMN_POLICIES: Mapping[str, ColumnPolicy] = _table(
    ColumnPolicy(name="lww", summary="the later edit wins, whoever syncs first", settle=_newer_wins),
    ColumnPolicy(
        name="sum",
        summary="a counter: everybody's increments are added up",
        settle=_sum,
        travels="difference",
        uses_present=True,
        types=NUMBERS,
        types_reason="only numbers add up",
    ),
    ColumnPolicy(name="max", summary="the largest value stays", settle=_max, uses_present=True),
    ColumnPolicy(name="min", summary="the smallest value stays", settle=_min, uses_present=True),
    ColumnPolicy(name="hub_wins", summary="what the centre has stays", settle=partial(_always, "hub")),
    ColumnPolicy(
        name="replica_wins",
        summary="what a device sends wins",
        settle=partial(_always, "replica"),
        arrival_wins=True,
    ),
    ColumnPolicy(
        name="review",
        summary="what the centre has stays until a person decides",
        settle=partial(_always, "open"),
    ),
)
"""By name; the first is the default."""

ROW_POLICIES: Mapping[str, RowPolicy] = _table(
    RowPolicy(
        name="lww",
        summary="rows are merged column by column, each with `lww`",
        settle=lambda newer: "replica" if newer else "hub",
        whole=False,
    ),
    RowPolicy(
        name="row",
        summary="the later edit wins, the row as a whole",
        settle=lambda newer: "replica" if newer else "hub",
    ),
    RowPolicy(name="hub_wins", summary="the row stays as the centre has it", settle=lambda newer: "hub"),
    RowPolicy(
        name="replica_wins",
        summary="the row becomes as a device sends it",
        settle=lambda newer: "replica",
        arrival_wins=True,
    ),
    RowPolicy(
        name="review",
        summary="the row stays as the centre has it until a person decides",
        settle=lambda newer: "open",
    ),
)
"""By name; the first holds for a table that names policies for columns, or none."""

DELETE_POLICIES: Mapping[str, DeletePolicy] = _table(
    DeletePolicy(
        name="newer_wins",
        summary="the newer of an update and a delete wins",
        delete_stands=lambda newer, updated: newer,
        update_stands=lambda newer: newer,
    ),
    DeletePolicy(
        name="delete_wins",
        summary="a deleted row stays deleted",
        delete_stands=lambda newer, updated: True,
        update_stands=lambda newer: False,
    ),
    DeletePolicy(
        name="update_wins",
        summary="an updated row stays, or comes back",
        delete_stands=lambda newer, updated: not updated,
        update_stands=lambda newer: True,
    ),
)
"""By name; the first is the default."""

Inserts = Literal["same_row", "key_taken"]
INSERT_POLICIES: Mapping[str, InsertPolicy] = _table(
    InsertPolicy(
        name="same_row",
        summary="concurrent edits of one row, settled by the other policies",
        rejects=False,
    ),
    InsertPolicy(
        name="key_taken",
        summary="two things: the later one is rejected, and takes a free number by a retry",
        rejects=True,
    ),
)
"""By name. None is the default of all tables: see `rules.is_counted_up`."""

CASCADE = "cascade"
"""What decided, where a row went in the centre with one that it refers to: no policy that can be chosen."""
SET_NULL = "set_null"
SET_DEFAULT = "set_default"
EMPTIED: Mapping[str, str] = {"SET NULL": SET_NULL, "SET DEFAULT": SET_DEFAULT}
"""The same by what a foreign key does, where a reference went with what it referred to."""
TRACKED = "track"
COMPARED = "capture"
REPAIRED = "repair"
"""What decided, where a device notes by itself what its file had: see `NOTED`."""

NOTED: Mapping[str, str] = {
    CASCADE: "a foreign key of the centre deletes a row with the one that it refers to",
    SET_NULL: "a foreign key of the centre empties a reference when what it refers to goes",
    SET_DEFAULT: "a foreign key of the centre gives a reference its default when what it refers to goes",
    TRACKED: "the file had a row, or a column, of its own when that began to take part: the centre's stays",
    COMPARED: "what a table held that was not captured for a while, or took no part, is not what the centre"
    " has: the centre's stays",
    REPAIRED: "`syncline verify --repair` has put the centre's row in place of what the file had",
}
"""What a conflict may be noted under that is no policy which can be chosen, and what that says."""

OUTCOMES: Mapping[str, str] = {
    "replica": "what the device sent is the value now",
    "hub": "what the centre had stays",
    "open": "what the centre had stays until a person decides",
    "merged": "a new value was made of both, and is shown as `new`",
    "resolved": "a person has decided; the value is shown as `new`",
}
"""What became of a conflict, and what that says."""

FUNCTION = "function"
FUNCTION_SUMMARY = "a Python function makes a new value of the base and both edits"


def default(policies: Mapping[str, Policy]) -> Policy:
    """The policy that holds where none is named: the first."""
    return next(iter(policies.values()))


def travelling(how: Literal["value", "difference"]) -> ColumnPolicy:
    """The policy for what was sent so, whatever the column's is by now: the first that travels so."""
    return next(policy for policy in COLUMN_POLICIES.values() if policy.travels == how)


def from_function(function: ColumnFunction) -> ColumnPolicy:
    """The policy that asks a function of the user's. Whatever goes wrong in it rejects this edit alone."""

    def settle(contest: Contest) -> Settled:
        return Settled(_called(function, contest), "merged")

    return ColumnPolicy(name=FUNCTION, summary=FUNCTION_SUMMARY, settle=settle, reads_base=True)


def _called(function: ColumnFunction, contest: Contest) -> Value:
    name = _words(getattr(function, "__name__", "?"))
    try:
        result = function(contest.base, contest.hub, contest.sent)
    except Reject as error:
        raise _readable(error) from error
    except BaseException as error:  # whatever it is, it is no more than this edit's
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        raise _failed(f"the merge function {name} failed: {type(error).__name__}: {_words(error)}") from error
    if not _can_be_carried(result):
        raise _failed(f"the merge function {name} returned {type(result).__name__}, which cannot be carried")
    return "NaN" if result != result else result


def _can_be_carried(result: object) -> bool:
    if isinstance(result, str):
        return type(result) is str and not _SURROGATE.search(result)
    if isinstance(result, int):
        return type(result) is int and INTEGER_MIN <= result <= INTEGER_MAX
    return type(result) in (type(None), float, bytes)


def _failed(detail: str) -> Reject:
    return Reject(detail, code="merge_function_failed", remedy=FUNCTION_REMEDY)


def _readable(error: Reject) -> Reject:
    """What a function refuses with, in words that travel: whatever it gave is shown as text, and a code is
    words of small letters."""
    code = error.code if isinstance(error.code, str) and _CODE.fullmatch(error.code) else Reject.code
    return Reject(_words(error.detail), code=code, remedy=_words(error.remedy))


def _words(said: object) -> str:
    """Text that every database and the wire hold: without halves of surrogates and zero bytes."""
    try:
        text = str(said)
    except Exception:
        text = f"{type(said).__name__}, which cannot be shown"
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def column_summary(name: str) -> str:
    """What the policy of a column does, or what else its conflict is noted under, in a few words; empty for a
    name that is not known here."""
    if name in COLUMN_POLICIES:
        return COLUMN_POLICIES[name].summary
    return FUNCTION_SUMMARY if name == FUNCTION else NOTED.get(name, "")


def row_summary(name: str) -> str:
    """What a policy of whole rows or of deletes does, or what else the conflict is noted under; empty for a
    name that is not known."""
    if name in DELETE_POLICIES:
        return DELETE_POLICIES[name].summary
    if name in ROW_POLICIES:
        return ROW_POLICIES[name].summary
    return NOTED.get(name, "")


def listed(policies: Mapping[str, Policy]) -> list[str]:
    """A line a policy for a help text: its name and what it does."""
    return described({policy.name: policy.summary for policy in policies.values()})


def described(choices: Mapping[str, str]) -> list[str]:
    """A line a choice for a help text."""
    return [f"{name:<14}{summary}" for name, summary in choices.items()]
