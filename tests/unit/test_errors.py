"""L12: every failure has a stable code, a sentence and a remedy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from syncline import errors
from syncline.errors import SynclineError

CODES = {
    "internal": False,
    "usage": False,
    "configuration": False,
    "rules_differ": True,
    "schema_refused": False,
    "value_refused": False,
    "protocol": False,
    "malformed": False,
    "digest_mismatch": True,
    "too_large": False,
    "version_unsupported": False,
    "watermark_refused": False,
    "schema_changed": False,
    "breaking_change": False,
    "no_snapshot": False,
    "snapshot_building": True,
    "push_out_of_step": False,
    "unknown_replica": False,
    "unauthenticated": False,
    "forbidden": False,
    "replica_of_another": False,
    "replica_revoked": False,
    "unknown_upload": False,
    "unknown_conflict": False,
    "hub_busy": True,
    "authenticator_failed": True,
    "quota_reached": True,
    "conflict_gone": False,
    "resolution_refused": False,
    "scope_unsupported": False,
    "store": False,
    "store_busy": True,
    "store_read_only": False,
    "store_full": True,
    "store_damaged": False,
    "store_constraint": False,
    "store_obstacle": False,
    "device_constraint": False,
    "database": False,
    "database_unavailable": True,
    "database_read_only": True,
    "not_prepared": False,
    "name_taken": False,
    "ledger_damaged": False,
    "capture_lost": False,
    "grants_missing": False,
    "hub_unreachable": True,
    "body_refused": False,
    "busy": True,
    "centre_held": True,
}
"""Code -> may a machine try again. A published code is never renamed; a line here is never changed."""


def tree(root: type[SynclineError] = SynclineError) -> Iterator[type[SynclineError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


CLASSES = list(tree())


def test_the_codes_and_who_may_retry_are_those_published() -> None:
    assert {kind.code: kind.retry for kind in CLASSES} == CODES


def test_no_two_errors_share_a_code() -> None:
    assert [code for code, count in Counter(kind.code for kind in CLASSES).items() if count > 1] == []


def test_every_error_class_of_the_module_is_in_the_tree() -> None:
    inside = {value for value in vars(errors).values() if isinstance(value, type)}
    assert {kind for kind in inside if issubclass(kind, Exception)} == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_a_title_and_a_remedy(kind: type[SynclineError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.title[0].isupper()
    assert not kind.title.endswith(".")
    assert kind.remedy[0].isupper()


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = errors.StoreFull("field.db could not grow")
    assert str(error) == f"field.db could not grow [store_full] Try: {errors.StoreFull.remedy}"


def test_one_occurrence_can_carry_its_own_code_and_remedy() -> None:
    error = errors.DatabaseError("no", code="unique", remedy="Choose another name.")
    assert (error.code, error.remedy, error.retry) == ("unique", "Choose another name.", False)
    assert errors.DatabaseError.code == "database"
