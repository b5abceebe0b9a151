"""The pages that are made from the code are current, and the links between pages lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec

import syncline
from syncline.cli.configuration import (
    LONGEST_DAYS,
    Configuration,
    HubSection,
    LimitsSection,
    RetentionSection,
    TableSection,
    read,
)
from syncline.cli.verbs import application
from syncline.databases import base
from syncline.databases.base.dialect import LedgerSession
from syncline.errors import (
    AuthenticatorFailed,
    Forbidden,
    SynclineError,
    Unauthenticated,
)
from syncline.hub.contract import Catalogue, Database, Log, ReadTransaction, Rows, WriteTransaction
from syncline.hub.contract.codes import REMEDIES
from syncline.merge.policies import (
    COLUMN_POLICIES,
    DELETE_POLICIES,
    FUNCTION,
    INSERT_POLICIES,
    NOTED,
    OUTCOMES,
    ROW_POLICIES,
    Inserts,
    Outcome,
)
from syncline.model.forms import FORMS
from syncline.model.local import LOCAL_ROWS, LocalRows
from syncline.protocol import messages
from syncline.protocol.status import RETRY_AFTER, STATUS
from syncline.server.door import SECONDS, THREADS

ROOT = Path(__file__).resolve().parents[2]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generated() -> dict[Path, str]:
    pages: dict[Path, str] = generator().pages()
    return pages


def test_the_generated_pages_are_current() -> None:
    stale = [path.name for path, text in generated().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python3 run.py docs"


def test_every_code_has_a_line_in_the_page_of_errors() -> None:
    """Wherever a code is given, whatever gives it: a call, a class, the tables of statuses."""
    given = {*STATUS, *RETRY_AFTER, *REMEDIES}
    for path in (ROOT / "syncline").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        given |= set(re.findall(r"""\bcode=(?:\w+ if .* else )?"([a-z_]+)\"""", text))
        given |= set(re.findall(r"""\bReason\(\s*"([a-z_]+)\"""", text))
        given |= set(re.findall(r"""^    code(?:, title)? = "([a-z_]+)\"""", text, re.MULTILINE))
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert sorted(code for code in given if f"| `{code}` |" not in page) == []


NAMED_ELSEWHERE = {
    "Any", "Client", "ColumnFunction", "KeyValues", "Level", "Limits", "Literal", "Mapping", "None", "Schema",
    "Scope", "Sequence", "State", "Value", "Watch", "Response", "True", "False",
}  # fmt: skip
"""What types are made of, what the page of Python says in its head, and what is passed through unopened."""


def test_every_record_that_the_page_of_python_names_is_described_there() -> None:
    """Also what the verbs of a replica and of a hub return."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[A-Z]\w+", " ".join(re.findall(r"^- `\w+`: `(.*)`$", page, re.MULTILINE))))
    for kind in (syncline.Replica, syncline.Hub):
        for name, thing in vars(kind).items():
            given = getattr(thing, "fget", thing)
            if not name.startswith("_") and callable(given):
                returned = inspect.get_annotations(inspect.unwrap(given))["return"]
                named |= set(re.findall(r"\b[A-Z]\w+", returned.replace("m.", "")))
    missing = [name for name in sorted(named - NAMED_ELSEWHERE) if f"\n### `{name}`\n" not in page]
    assert missing == []


def test_every_record_of_a_replica_has_the_form_that_the_page_promises() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    part = page.split("## What a replica tells\n")[1].split("\n## ")[0]
    kinds = [getattr(syncline, name) for name in re.findall(r"^### `(\w+)`$", part, re.MULTILINE)]
    assert len(kinds) > 15
    assert [kind.__name__ for kind in kinds if not callable(getattr(kind, "as_dict", None))] == []


def remedies(heading: str) -> dict[str, str]:
    """Codes and what to do about each, in one part of the page of errors."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    part = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1] if len(cells) == 2 else cells[2] for cells in lines}


def test_a_code_has_one_remedy_wherever_the_page_of_errors_names_it() -> None:
    raised, refused = remedies("More precise codes"), remedies("Codes of rejected rows")
    assert {code: refused[code] for code in REMEDIES} == REMEDIES
    assert {code: raised[code] for code in raised.keys() & refused} == {
        code: refused[code] for code in raised.keys() & refused
    }
    assert [code for code, remedy in raised.items() if remedy == SynclineError.remedy] == []


def test_every_code_that_doctor_can_print_is_in_the_table_of_what_it_finds() -> None:
    """Law L12: a code has a meaning and a remedy. What is told by the code of an error is in its tables."""
    module = generator()
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    part = page.split("## Codes of what `doctor` finds\n")[1]
    listed = {
        cells[0].strip("`"): cells
        for cells in (line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `"))
    }
    found = list(module.findings())
    assert {written for _, written, codes, _, _ in found if not codes} == {
        "error.code",
        "one.code",
        "row.code",
    }
    assert {code for _, _, codes, _, _ in found for code in codes} == set(listed) == set(module.FOUND)
    assert all(len(cells) == 5 and all(cells) for cells in listed.values())
    for _, _, codes, levels, _ in found:
        for code in codes:
            assert set(levels) <= set(listed[code][1].split(", "))
            if "fact" not in levels:
                assert listed[code][4] != "Nothing.", "what is no fact has a remedy"
    said = (ROOT / "syncline").rglob("*.py")
    assert sum(
        text.count("Finding(") for text in map(Path.read_text, said) if "model.finding import" in text
    ) == (len(found))


NOTES = {
    "ConflictNote": None,
    "Note": 2,
    "own_note": 2,
    "keep_differing": 2,
    "_keep_differing": 3,
    "replace": None,
}
"""What makes a conflict, and where among its arguments the policy stands; else it is a keyword."""


def policies_given() -> Iterator[str]:
    """Whatever conflicts are noted under, as texts; what the code reads from a record is in the tables."""
    module = generator()
    for tree in module.modules():
        names = module.shared() | module.named(tree)
        for node in ast.walk(tree):
            called = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
            if not isinstance(node, ast.Call) or called not in NOTES:
                continue
            place = NOTES[called]
            given = [word.value for word in node.keywords if word.arg == "policy"]
            given += node.args[place : place + 1] if place is not None else []
            for one in given:
                found = module.texts(one, names)
                assert found or ast.unparse(one) in ("policy", "policy.name", "rules.columns[column].name")
                yield from found


def test_every_policy_that_a_conflict_may_say_is_on_the_page_of_policies() -> None:
    given = set(policies_given())
    assert len(given) > 3 and given - {*COLUMN_POLICIES, *ROW_POLICIES, *DELETE_POLICIES} == set(NOTED)
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    chosen = {*COLUMN_POLICIES, *ROW_POLICIES, *DELETE_POLICIES, *INSERT_POLICIES, *LOCAL_ROWS}
    shown = {*chosen, *NOTED, FUNCTION, *OUTCOMES}
    assert sorted(name for name in shown if f"| `{name}` |" not in page) == []
    assert {*get_args(Outcome), "resolved"} == set(OUTCOMES)
    assert (get_args(Inserts), get_args(LocalRows)) == (tuple(INSERT_POLICIES), tuple(LOCAL_ROWS))


def test_the_pages_of_verify_agree_on_what_is_equal() -> None:
    said = " ".join(str(syncline.VerifyReport.__doc__).split()).split("repair. ")[1]
    assert said.startswith("A table of `unable` or `left_out` could not be compared")
    for page in ("verify", "python", "cli"):
        assert said in " ".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").split())


def test_a_limit_with_the_name_of_a_key_is_one() -> None:
    page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    keys = {
        *LimitsSection.__struct_fields__,
        *RetentionSection.__struct_fields__,
        *HubSection.__struct_fields__,
    }
    named = set(re.findall(r"`(?:\[\w+\] )?([a-z_]+)`, [\d]", page))
    assert named
    assert sorted(named - keys) == []


def test_every_key_of_the_configuration_is_on_a_page() -> None:
    pages = "".join(
        page.read_text(encoding="utf-8") for page in ROOT.glob("docs/*.md") if page.stem != "protocol"
    )
    for section in (HubSection, LimitsSection, RetentionSection):
        keys = [key for key in section.__struct_fields__ if not re.search(rf"\b{key}\b", pages)]
        assert keys == []


def sections() -> dict[str, list[list[str]]]:
    """The rows of the tables in the page of the configuration, by section: key, takes, default, meaning."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return {
        part.split("`")[1]: [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in part.splitlines()
            if line.startswith("| `")
        ]
        for part in page.split("\n## ")[1:]
    }


def test_the_page_of_the_configuration_has_every_key_and_its_default() -> None:
    kinds: dict[str, type[msgspec.Struct]] = {
        "[hub]": HubSection,
        "[retention]": RetentionSection,
        "[limits]": LimitsSection,
        "[tables.NAME]": TableSection,
    }
    assert set(sections()) == {*kinds, "[forms]"}
    assert {name.split(".")[0].strip("[]") for name in sections()} == {*Configuration.__struct_fields__}
    for name, kind in kinds.items():
        said = {cells[0].strip("`"): cells[2].strip("`") for cells in sections()[name]}
        true = {field.name: field.default for field in msgspec.structs.fields(kind)}
        for field in msgspec.structs.fields(kind):
            if field.default_factory is not msgspec.NODEFAULT:
                true[field.name] = field.default_factory()
        true = {key: f"{value:.12g}" if isinstance(value, float) else value for key, value in true.items()}
        shown = {key: "none" if value in ("", None, [], {}) else str(value) for key, value in true.items()}
        if name == "[retention]":
            assert shown["max_days"] == "none" and said["max_days"].startswith(f"{LONGEST_DAYS:g}, ")
            said["max_days"] = "none"
        assert said == shown


def test_the_page_of_the_configuration_has_every_form_and_word() -> None:
    assert {
        cells[0].strip("`"): tuple(re.findall(r"`(\w+)`", cells[1])) for cells in sections()["[forms]"]
    } == FORMS
    tables = {
        cells[0].strip("`"): tuple(re.findall(r"`(\w+)`", cells[1])) for cells in sections()["[tables.NAME]"]
    }
    assert (tables["local_rows"], tables["inserts"]) == (tuple(LOCAL_ROWS), tuple(INSERT_POLICIES))


def test_the_example_of_the_configuration_can_be_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "syncline.toml").write_text(text)
    assert set(read(tmp_path / "syncline.toml", {}).rules() or {}) == {"invoice", "customer"}


def test_the_page_of_python_has_every_public_name_and_verb() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in syncline.__all__ if name not in page] == []
    verbs = [name for name in dir(syncline.Replica) if not name.startswith("_")]
    assert [name for name in verbs if not re.search(rf"^### `replica\.{name}\b", page, re.MULTILINE)] == []
    verbs = [name for name in dir(syncline.Hub) if not name.startswith("_")]
    assert [name for name in verbs if not re.search(rf"^### `hub\.{name}\b", page, re.MULTILINE)] == []


def test_the_page_of_python_says_what_an_authenticator_may_do() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    part = page.split("### `syncline.server.create_app(")[1].split("\n### ")[0]
    for said in (
        "coroutine function",
        "must not read the request's body",
        f"{THREADS} at once",
        f"{SECONDS:g} seconds",
    ):
        assert said in part.replace("\n", " "), said
    for kind in (Unauthenticated, Forbidden, AuthenticatorFailed):
        name = kind.__name__ if kind in (Unauthenticated, Forbidden) else kind.code
        assert f"`{name}` ({STATUS[kind.code]})" in part.replace("\n", " "), name


def test_the_page_for_authors_of_databases_names_all_of_the_contract() -> None:
    page = (ROOT / "docs" / "adding-a-database.md").read_text(encoding="utf-8")
    protocols = (Catalogue, Database, ReadTransaction, WriteTransaction, Log, Rows)
    members = {name for one in protocols for name in dir(one) if not name.startswith("_")}
    members |= {name for name in (*vars(LedgerSession), "look_seconds") if not name.startswith("_")}
    assert len(members) > 40
    assert sorted(name for name in members if not re.search(rf"`{name}[`(]", page)) == []


def base_classes() -> dict[str, type]:
    """Every class that adapters of databases share, by its name."""
    found = {}
    for info in pkgutil.iter_modules(base.__path__, f"{base.__name__}."):
        members = vars(importlib.import_module(info.name)).values()
        found |= {
            one.__name__: one for one in members if isinstance(one, type) and one.__module__ == info.name
        }
    return found


def test_the_page_for_authors_of_databases_says_what_each_base_class_leaves_to_write() -> None:
    page = (ROOT / "docs" / "adding-a-database.md").read_text(encoding="utf-8")
    lines = page.split("## The base classes\n")[1].split("\n## ")[0].splitlines()
    rows = {cells[1].strip(" `"): cells for cells in (line.split("|") for line in lines) if len(cells) == 5}
    classes = base_classes()
    abstract = {name: one for name, one in classes.items() if getattr(one, "__abstractmethods__", ())}
    protocols = {name for name, one in classes.items() if getattr(one, "_is_protocol", False)}
    left = abstract.keys() - protocols
    assert len(left) > 20 and left == rows.keys() - {"class", "---"}
    for name in left:
        kind, cells = classes[name], rows[name]
        assert cells[2].strip(" `") == kind.__module__.rpartition(".")[2], name
        said = set(re.findall(r"`(\w+)`", cells[3].split(": ", 1)[1]))
        assert kind.__abstractmethods__ <= said, (name, kind.__abstractmethods__ - said)  # type: ignore[attr-defined]
    text = " ".join(lines)
    mentioned = {name for name in re.findall(r"`(\w+)(?:\.\w+)?`", page) if name in classes} | protocols
    for name in mentioned - left:
        module = classes[name].__module__.rpartition(".")[2]
        assert re.search(rf"`{name}`[^.;|]*?`{module}`", text), f"{name} is in {module}"


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in ROOT.glob("docs/adr/0*.md") if f"({page.name})" not in index]
    assert missing == []


def blocks(language: str) -> list[str]:
    """The code blocks of the README in one language ("" is what is typed at a shell)."""
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )


def test_the_commands_of_the_readme_exist() -> None:
    verbs = set(
        re.findall(r"\bsyncline ([a-z]+) [A-Za-z]*", (ROOT / "README.md").read_text(encoding="utf-8"))
    )
    assert verbs - {"in", "and"} <= set(application.commands)
    assert {"clone", "init", "serve", "sync", "track"} <= verbs


def test_the_configuration_of_the_readme_can_be_read(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "syncline.toml").write_text(text)
    configuration = read(tmp_path / "syncline.toml", {})
    assert isinstance(configuration, Configuration)
    merge = tomllib.loads(text)["tables"]["invoice"]["merge"]
    assert set(merge.values()) <= set(COLUMN_POLICIES)


def test_the_python_of_the_readme_is_python() -> None:
    for number, text in enumerate(blocks("python")):
        compile(text, f"README block {number}", "exec")


def test_every_field_of_every_message_is_in_the_page_of_the_protocol() -> None:
    """Each below its record, and with a type that the page says: whoever writes a device has no other."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    records = [one for one in vars(messages).values() if isinstance(one, type)]
    records = [one for one in records if issubclass(one, messages.Record) and one is not messages.Record]
    assert {one.__name__ for one in records} >= {one.__name__ for one in get_args(messages.Request)}
    said = {
        *re.findall(r"^\| `(\w+)` \| [^`]", page, re.MULTILINE),
        *(one.__name__ for one in records),
        "Any",
    }
    for record in records:
        _, found, rest = page.partition(f"\n#### {record.__name__}\n")
        assert found, record.__name__
        rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", rest.partition("\n####")[0], re.MULTILINE)
        assert [name for name, _ in rows] == list(record.__struct_fields__), record.__name__
        types = {word for _, type_ in rows for word in re.findall(r"\b[A-Z]\w+", type_)}
        assert types - {"None", "Literal"} <= said, record.__name__


def test_the_page_of_the_protocol_says_what_no_table_can() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert "by their position" not in page
    for part in (
        "milliseconds * 65536 + counter",
        "`[1000, 7, -4]`",
        "`column_base[i][j]`",
        "**Increments.**",
    ):
        assert part in page, part
