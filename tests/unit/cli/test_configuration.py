"""syncline.toml: read as written, refused with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.cli import configuration
from syncline.errors import ConfigurationError
from syncline.hub.contract import Tuning
from syncline.hub.retention import DAY, Retention
from syncline.merge.rules import Table

EXAMPLE = """
[hub]
database = "postgresql://user@127.0.0.1/chinook"     # or "sqlite:///central.db"
[tables.invoice]
merge = { total = "sum", billing_city = "review" }    # columns not named: lww
deletes = "newer_wins"                                 # or delete_wins, update_wins
[tables.album]
"""


def read(folder: Path, text: str, environment: dict[str, str] | None = None) -> configuration.Configuration:
    path = folder / "syncline.toml"
    path.write_text(text, encoding="utf-8")
    return configuration.read(path, environment or {})


def test_the_documented_example_is_read_as_it_says(tmp_path: Path) -> None:
    settings = read(tmp_path, EXAMPLE)
    assert settings.hub.database == "postgresql://user@127.0.0.1/chinook"
    assert settings.rules() == {
        "invoice": Table(merge={"total": "sum", "billing_city": "review"}, deletes="newer_wins"),
        "album": Table(),
    }


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """Some editors begin every file with one."""
    assert read(tmp_path, "\ufeff" + EXAMPLE) == read(tmp_path, EXAMPLE)


def test_brackets_in_brackets_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, "x=" + "[" * 50_000)
    assert (caught.value.code, "nested" in caught.value.detail) == ("configuration", True)


def test_a_word_holds_for_whole_rows(tmp_path: Path) -> None:
    settings = read(tmp_path, '[hub]\ndatabase = "sqlite:////x.db"\n[tables.a]\nmerge = "review"\n')
    assert settings.rules() == {"a": Table(merge="review")}


def test_without_tables_all_that_can_take_part_do(tmp_path: Path) -> None:
    assert read(tmp_path, '[hub]\ndatabase = "sqlite:////x.db"\n').rules() is None


def test_a_relative_sqlite_file_lies_beside_the_toml(tmp_path: Path) -> None:
    settings = read(tmp_path, '[hub]\ndatabase = "sqlite:///central.db"\n')
    assert settings.hub.database == f"sqlite:///{tmp_path}/central.db"


def test_files_to_hydrate_from_lie_beside_the_toml(tmp_path: Path) -> None:
    text = '[hub]\ndatabase = "sqlite:////x.db"\nsnapshots = "ready"\nsnapshot_size = 5\nsnapshot_age = 60\n'
    hub = read(tmp_path, text).hub
    assert (hub.snapshots, hub.snapshot_size, hub.snapshot_age) == (f"{tmp_path}/ready", 5, 60.0)
    assert read(tmp_path, '[hub]\ndatabase = "sqlite:////x.db"\n').hub.snapshots == ""


@pytest.mark.parametrize("url", ["sqlite:////var/central.db", "sqlite:///:memory:", "postgresql://h/d"])
def test_other_urls_stay_as_they_are(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, f'[hub]\ndatabase = "{url}"\n').hub.database == url


def test_the_environment_overrides_the_database(tmp_path: Path) -> None:
    environment = {"SYNCLINE_DATABASE": "postgresql://u:secret@h/d"}
    settings = read(tmp_path, '[hub]\ndatabase = "sqlite:///x.db"\n', environment)
    assert settings.hub.database == "postgresql://u:secret@h/d"


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ('[hubb]\ndatabase = "x"', "the file has no 'hubb'", "'hub'"),
        ('[hub]\ndatabse = "x"', "[hub] has no 'databse'", "'database'"),
        ('[hub]\ndatabase = "x"\n[tables.a]\nmerges = {}', "[tables.a] has no 'merges'", "'merge'"),
        ('[hub]\ndatabase = "x"\n[tables.a]\ndelete = "x"', "[tables.a] has no 'delete'", "'deletes'"),
        ('[hub]\ndatabase = "x"\n[tables.a]\nzzz = 1', "[tables.a] has no 'zzz'", "merge, inserts, deletes"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    tmp_path: Path, text: str, place: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert place in caught.value.detail
    assert hint in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[hub]",
        "hub = 1",
        "[hub]\ndatabase = 'x'\nsnapshot_age = 0",
        "[hub]\ndatabase = 7",
        "[hub]\ndatabase = 'x'\n[tables]\na = 1",
        "[hub",
        "\x00",
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"syncline\.toml"):
        read(tmp_path, text)


def test_a_missing_file_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*nowhere\.toml") as caught:
        configuration.read(tmp_path / "nowhere.toml")
    assert "[hub]" in caught.value.remedy


def test_the_use_of_the_database_can_be_tuned(tmp_path: Path) -> None:
    text = '[hub]\ndatabase = "x:"\npool = 4\nlock_timeout = 2.5\nstatement_timeout = 30\n'
    assert read(tmp_path, text).hub.tuning() == Tuning(pool=4, statement_timeout=30.0, lock_timeout=2.5)
    assert read(tmp_path, '[hub]\ndatabase = "x:"\n').hub.tuning() == Tuning()


@pytest.mark.parametrize("line", ["pool = 0", "pool = 1.5", "lock_timeout = 0", "statement_timeout = -1"])
def test_a_tuning_that_cannot_be_is_refused_by_name(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line.split()[0]):
        read(tmp_path, f'[hub]\ndatabase = "x:"\n{line}\n')


def test_retention_is_given_in_days(tmp_path: Path) -> None:
    days = "[retention]\nstale_days = 30\nmax_days = 60\nreoffer_days = 1\n"
    settings = read(tmp_path, f'[hub]\ndatabase = "sqlite:////x.db"\n{days}')
    assert settings.retention.rules() == Retention(30 * DAY, 2 * DAY, 60 * DAY, 365 * DAY, 3600.0)
    assert settings.limits.limits(settings.retention.reoffer_days).keep_sent == 86_400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[retention]\nstale_day = 3\n", "stale_day"),
        ("[retention]\nkeep_days = 90\nmax_days = 60\n", "longest"),
        ("[retention]\nkeep_days = 1\n", "snapshot_age"),
        ("[retention]\nstale_days = 6\n", "reoffer_days"),
        ("[retention]\nreoffer_days = 91\n", "stale_days"),
        ("[retention]\ninterval = 0\n", "interval"),
    ],
)
def test_retention_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    hub = '[hub]\ndatabase = "sqlite:////x.db"\nsnapshots = "s"\nsnapshot_age = 86400\n'
    with pytest.raises(ConfigurationError, match=said):
        read(tmp_path, hub + text)


def test_forms_are_chosen_for_all_tables_and_for_one(tmp_path: Path) -> None:
    hub = '[hub]\ndatabase = "sqlite:///c.db"\n'
    settings = read(tmp_path, hub + '[forms]\nuuids = "hex"\n[tables.t.forms]\ntimestamps = "unix"\n')
    assert settings.forms == {"uuids": "hex"}
    assert settings.rules() == {"t": Table(forms={"timestamps": "unix"})}
    assert read(tmp_path, f'forms = "django"\n{hub}').forms == "django"


@pytest.mark.parametrize(
    "wrong", ['[forms]\nuuid = "hex"', '[forms]\nuuids = "brace"', '[tables.t.forms]\nx = "y"']
)
def test_a_form_that_there_is_not_is_named(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, f'[hub]\ndatabase = "sqlite:///c.db"\n{wrong}\n')
    assert refused.value.code == "form_unknown"
    assert "syncline.toml" in refused.value.detail


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('[tables.farm]\ninserts = "x"', "[tables.farm] inserts cannot be 'x'", "same_row, key_taken"),
        ('[tables.farm]\ninserts = "samerow"', "[tables.farm] inserts", "Did you mean 'same_row'?"),
        ('[tables.farm]\nlocal_rows = "x"', "[tables.farm] local_rows", "refuse, cascade, null"),
        ('local_rows = "refused"', "[hub] local_rows", "Did you mean 'refuse'?"),
        ("[tables.farm]\nkey = 3", "[tables.farm]", "`$.key`"),
    ],
)
def test_a_word_that_is_not_known_names_its_table_and_those_that_are(
    text: str, said: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, f'[hub]\ndatabase = "sqlite:///x.db"\n{text}\n')
    assert said in caught.value.detail and hint in caught.value.detail + caught.value.remedy
