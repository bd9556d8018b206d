"""The documents say what is there, and only that."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from exchange.cli import app, show
from exchange.core import topics
from exchange.core.errors import Code
from exchange.embedded import errors as embedded
from exchange.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
LAUNCHER = {"test"}
"""Commands of the script `./accord` itself."""
INVARIANTS = ["1a", "1b", "1c", "1d", *map(str, range(2, 15))]
STEPS = (
    "broker_ready", "request_without_consent", "consent_given", "request_with_consent", "receipt_verified", "withdrawn_in_flight",
    "request_after_withdrawal", "dpo_query", "ledger_verified",
)  # fmt: skip
FILE = re.compile(r"(?<![\w<>./*-])[\w.-]+(?:/[\w.-]+)*\.(?:py|avsc|md|yml|toml|lock)\b")
SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def section(page: str, title: str) -> str:
    """What stands between this heading and the next of its rank."""
    return re.split(rf"^## {title}.*$", text(page), flags=re.MULTILINE)[1].split("\n## ")[0]


def rows(markdown: str) -> list[list[str]]:
    """The cells of every table line but its head and rule."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rules = {i for i, row in enumerate(cells) if all(re.fullmatch(r"-+", cell) for cell in row)}
    return [row for i, row in enumerate(cells) if i not in rules and i + 1 not in rules]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(page: str) -> Iterator[list[str]]:
    """Every `accord …` in a page, as words: in code, or between parentheses in a text of the error catalogue."""
    code = [line for _, body in FENCE.findall(page) for line in body.splitlines()]
    code += SPAN.findall(FENCE.sub("", page)) + re.findall(r"\((accord [^)]+)\)", page)
    for line in code:
        if found := re.match(r"(?:\./)?accord +([a-z][^#]*)", line.strip()):
            yield shlex.split(found[1])


def compose_commands() -> Iterator[list[str]]:
    services: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))["services"]
    yield from (service["command"] for service in services.values() if service["image"].startswith("accord"))


def below(command: Any) -> dict[str, Any]:
    """The commands of a family, loaded; none for a command proper."""
    if not isinstance(command, TyperGroup):
        return {}
    context = typer.Context(command)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}


def unknown(words: list[str]) -> str | None:
    """The first word the command line does not have, or None."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if not isinstance(command, TyperGroup):
            break
        if word not in (family := below(command)):
            return word
        command = family[word]
    if isinstance(command, TyperGroup):
        return f"{words[-1]} …"
    options = {option for parameter in command.params for option in parameter.opts}
    return next((word for word in words if word.startswith("-") and word not in options), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Each command a document shows is one of the command line's, with the options it is shown with."""
    shown = [words for words in commands(page.read_text("utf-8")) if words[0] not in LAUNCHER]

    assert {shlex.join(words): word for words in shown if (word := unknown(words))} == {}


def test_compose_commands_exist() -> None:
    """Each process of docker-compose.yml is a command of the command line."""
    assert {shlex.join(words): word for words in compose_commands() if (word := unknown(words))} == {}


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        ("`accord mend`", "mend"),
        ("`./accord consent giv X`", "giv"),
        ("`accord sandbox --prot 1`", "--prot"),
        ("`accord consent`", "consent …"),
    ],
)
def test_a_command_that_is_not_there_is_seen(shown: str, word: str) -> None:
    """A misspelt command or option, and a family without its command, are found out."""
    assert [unknown(words) for words in commands(shown)] == [word]


def test_every_command_is_told() -> None:
    """Each command that is not a mere family stands in the README, but the head of the log."""

    def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        if not isinstance(command, TyperGroup):
            yield " ".join(path)
        for name, sub in below(command).items():
            yield from leaves(sub, (*path, name))

    told = [shlex.join(words) for words in commands(text("README.md"))]

    silent = {leaf for leaf in leaves(typer.main.get_command(app)) if not any(line.startswith(leaf) for line in told)}
    assert silent <= {"ledger checkpoint"}


def test_python_of_the_readme_runs() -> None:
    """Each Python snippet runs and prints what stands below it."""
    snippets = re.findall(r"^```python\n(.*?)^```\n+```\n(.*?)^```", text("README.md"), re.DOTALL | re.MULTILINE)
    assert snippets

    for code, printed in snippets:
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert (ran.stdout, ran.returncode) == (printed, 0), ran.stderr


def test_the_demonstration_is_told_in_order() -> None:
    """The README tells the nine steps of the demonstration in their order."""
    told = text("README.md").split("<!-- demo:begin")[1].split("<!-- demo:end")[0]

    assert [word for word in re.findall(r"\w+", told) if word in STEPS] == list(STEPS)


def test_exit_codes_are_told() -> None:
    """The exit codes of the README are those of the command line."""
    told = re.search(r"Exit codes: (.*?)\(", text("README.md"))
    assert told is not None

    expected = {
        "ok": show.OK,
        "usage": show.USAGE,
        "refused": show.REFUSED,
        "unavailable": show.UNAVAILABLE,
        "corrupted": show.CORRUPTED,
    }
    assert {word: int(code) for code, word in re.findall(r"(\d) (\w+)", told[1])} == expected


def test_settings_are_told() -> None:
    """Each setting stands in the README under the name of its variable, and no other is told but those of the launcher, the downloads and one option."""
    told = set(re.findall(r"ACCORD_[A-Z_]+", section("README.md", "Réglages")))

    assert told - {"ACCORD_CACHE", "ACCORD_MAVEN", "ACCORD_UV", "ACCORD_OFFICER"} == {
        f"ACCORD_{name.upper()}" for name in Settings.model_fields
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_exist(page: Path) -> None:
    """Each file a document names is there, and each link leads somewhere."""
    body = page.read_text("utf-8")
    named = {name for name in FILE.findall(body) if "/" in name or (ROOT / name).suffix == ".md"}
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", body) if "://" not in link}

    assert {
        name for name in named if not any((at / name).exists() for at in (ROOT, page.parent, ROOT / "schemas" / "avro"))
    } == set()
    assert {link for link in links if not (page.parent / link).exists()} == set()


@pytest.mark.parametrize("name", ["errors.md", "authorisation.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    """The pages written from code say what the code says now (`python docs/generate.py` writes them)."""
    assert text(f"docs/{name}") == generator().PAGES[name]()


def test_every_error_is_told() -> None:
    """Each code of both catalogues has its line, once."""
    told = re.findall(r"^\| `(\w+)`", text("docs/errors.md"), re.MULTILINE)

    assert told == [*Code, *embedded.CATALOGUE]


def test_every_topic_is_told() -> None:
    """The table of topics has each topic the bus makes, with the days it keeps and a schema of the catalogue, and no other."""
    made = {
        spec.name.replace("123456789", "<siren>").replace("cnaf", "<provider>"): int(spec.config["retention.ms"])
        // 86_400_000
        for spec in topics.specs(["123456789"], ["cnaf"], partitions=1, cluster=False)
    }
    told = rows(section("ARCHITECTURE.md", "Topics"))

    assert {row[0].strip("`"): int(row[3].removesuffix(" d")) for row in told} == made
    named = [name for row in told for name in SPAN.findall(row[2])]
    assert all((ROOT / "schemas" / "avro" / f"{name}.v1.avsc").exists() for name in named)


def importers() -> dict[str, set[str]]:
    """By top-level module, the files of the three rooms that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (path for room in ("exchange", "consent", "connectors") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                found[name.split(".")[0]].add(path.relative_to(ROOT).as_posix())
    return found


def test_libraries_stay_where_they_are_told() -> None:
    """Each library of the table is imported by the files told there, and by no other."""
    told = {row[0].strip("`"): set(SPAN.findall(row[1])) for row in rows(section("ARCHITECTURE.md", "Rooms"))}

    assert {"faust", "aiokafka", "sqlalchemy", "httpx"} <= told.keys()
    found = importers()
    assert told == {library: found[library] for library in told}


def test_import_contracts_are_told() -> None:
    """Each contract of import-linter stands in ARCHITECTURE.md by its name."""
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]

    assert [c["name"] for c in contracts if f"*{c['name']}*" not in text("ARCHITECTURE.md")] == []


def test_every_invariant_has_its_test_or_none() -> None:
    """Each invariant has one row, which names tests that exist, or says plainly that nothing shows it yet."""
    told = rows(section("ARCHITECTURE.md", "Invariants"))

    assert [row[0] for row in told] == [f"[I-{number}]" for number in INVARIANTS]
    assert [row[0] for row in told if "not yet" not in row[2] and not re.search(r"`tests/\S+\.py`", row[2])] == []


def test_glossary_points_at_code() -> None:
    """Each idea of the glossary has one row, and the name it points at is in the code."""
    ideas = rows(text("docs/glossary.md"))
    missing = []
    for row in ideas:
        module, _, name = row[-1].strip("`").rpartition(".")
        if not hasattr(importlib.import_module(module), name):
            missing.append(row[-1])

    assert missing == []
    assert len(ideas) == len({row[0] for row in ideas})


def test_decisions_are_whole_and_listed() -> None:
    """Each decision has a context, a decision, the options that lost and the consequences, and stands in the index."""
    folder = ROOT / "docs" / "adr"
    parts = ("**Context.**", "**Decision.**", "**Options that lost", "**Consequences.**")
    decisions = sorted(folder.glob("0*.md"))

    assert [path.name for path in decisions if not all(part in path.read_text("utf-8") for part in parts)] == []
    assert re.findall(r"\]\((0\S+\.md)\)", (folder / "README.md").read_text("utf-8")) == [
        path.name for path in decisions
    ]


def test_licence_is_the_one_declared() -> None:
    """The licence in the root is the one the package declares, whole."""
    licence = text("LICENSE")

    assert tomllib.loads(text("pyproject.toml"))["project"]["license"] == "EUPL-1.2"
    assert licence.startswith("EUROPEAN UNION PUBLIC LICENCE v. 1.2\n")
    assert all(f"\n{article}." in licence for article in range(1, 16))
    assert "Appendix" in licence


def test_each_promise_has_its_test() -> None:
    """Fifteen asks of developers, each with a test that is there."""
    named = [row[-1].strip("`").split("::") for row in rows(text("docs/promises.md"))]
    assert len(named) == 15
    assert [one for one in named if not re.search(rf"def {one[1]}\b", text(one[0]))] == []
