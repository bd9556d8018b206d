"""The remote registry, on a real one: Apicurio Registry 3.3.3 behind Confluent's API."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from typer.testing import CliRunner

from exchange import wire
from exchange.cli import app
from exchange.core.frame import unframe
from exchange.core.schema_evolution import breaks
from exchange.core.schema_rules import Rule
from exchange.registry import LEVEL, ConfluentRegistry, RegistryUnavailable
from exchange.schema_checks import SHIPPED, Folder, check_remote, open_folder, register_remote
from exchange.schemas import catalogue
from tests.schemas.apicurio import NotFetched, running
from tests.schemas.samples import FIELD, field, folder, record


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for this file, with this project's schemas registered first."""
    started = running(tmp_path_factory.mktemp("apicurio"))
    try:
        found = started.__enter__()
    except NotFetched as error:
        pytest.skip(f"Apicurio Registry 3.3.3 cannot be fetched ({error}): this test needs the network once")
    try:
        assert call("schemas", "check", "--registry", found)[0] == 3
        code, lines = call(
            "schemas", "register", "--folder", copied(tmp_path_factory.mktemp("folder")), "--registry", found
        )
        assert (code, len(lines[0]["registered"])) == (0, len(catalogue().codecs)), lines
        yield found
    finally:
        started.__exit__(None, None, None)


@pytest.fixture
def registry(url: str) -> Iterator[ConfluentRegistry]:
    with ConfluentRegistry(url) as remote:
        yield remote


def call(*argv: str) -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(app, [*argv, "--json"])
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def copied(at: Path) -> str:
    """The schemas shipped, where a test may write."""
    return str(shutil.copytree(SHIPPED, at, dirs_exist_ok=True))


def test_an_empty_registry_gives_our_ids(url: str) -> None:
    """Registered in the order of our ids, each schema has there the id that our messages carry; nothing is left to say."""
    assert call("schemas", "check", "--registry", url)[0] == 0
    code, lines = call("schemas", "list", "--registry", url)
    assert code == 0 and [line["remote_id"] for line in lines] == [line["id"] for line in lines]


def test_registering_twice_changes_nothing(url: str, registry: ConfluentRegistry, tmp_path: Path) -> None:
    """A second registration registers nothing, even where a doc has changed since."""
    assert call("schemas", "register", "--folder", copied(tmp_path), "--registry", url)[1][0] == {"registered": []}
    shipped = open_folder(SHIPPED)
    ask = json.loads(shipped.texts["ask.v1"]) | {"doc": "Better said."}
    other = Folder({**shipped.texts, "ask.v1": json.dumps(ask)}, shipped.registry)
    assert register_remote(other, registry) == ([], [])


def test_a_stranger_reads_our_message_by_its_frame(registry: ConfluentRegistry) -> None:
    """The id in the five bytes before a datum finds, in the registry, a schema that another library reads the datum with."""
    body = {
        "recipient": "21130055300016",
        "data_set": "cnaf.quotient-familial.v1",
        "purpose": "p",
        "scopes": ["s"],
        "parameters": [],
        "rule": b"",
        "watch_every_ms": 0,
        "watch_until_ms": 0,
    }
    schema_id, datum = unframe(wire.write("ask", body))
    text = registry.schema(schema_id)
    assert text is not None
    assert fastavro.schemaless_reader(io.BytesIO(datum), fastavro.parse_schema(json.loads(text)), None) == body
    assert registry.schema(999_999) is None


def test_each_subject_demands_full_transitive(registry: ConfluentRegistry) -> None:
    """Each of our subjects is FULL_TRANSITIVE, and nobody else's is touched."""
    assert registry.register("somebody-elses", json.dumps(record(name="Other")))
    ours = {name.subject for name in catalogue().codecs}
    assert ours <= set(registry.subjects())
    assert {registry.level(subject) for subject in ours} == {LEVEL}
    assert registry.level("somebody-elses") == "NONE"


@pytest.mark.parametrize(
    ("later", "refused"),
    [
        (record(FIELD, field("int", "b", default=0)), False),
        (record(FIELD, field("int", "b")), True),
        (record(field("long")), True),
        (record(), False),
    ],
)
def test_the_registry_and_we_agree(registry: ConfluentRegistry, later: dict[str, Any], refused: bool) -> None:
    """What the registry refuses as the next version, our check refuses too; what it takes here, we take."""
    assert bool(breaks({"agree.v1": record(), "agree.v2": later}, "agree", [1, 2])) is refused
    if "agree" not in registry.subjects():
        registry.demand("agree")
        assert registry.register("agree", json.dumps(record()))
    assert registry.accepts("agree", json.dumps(later)) is not refused


def test_what_the_registry_does_not_see_our_lint_does(url: str, registry: ConfluentRegistry, tmp_path: Path) -> None:
    """A namespace, a default and a string that became bytes pass the registry; `check` names each."""
    base = record(field("string", "a", default="x"))
    registry.demand("blind")
    assert registry.register("blind", json.dumps(base))
    for later, rule in (
        (base | {"namespace": "fr.other"}, Rule.NAMESPACE_CHANGED),
        (record(field("string", "a", default="y")), Rule.DEFAULT_CHANGED),
        (record(field("bytes", "a", default="x")), Rule.PROMOTION),
    ):
        assert registry.accepts("blind", json.dumps(later)), rule
        at = folder(tmp_path / rule, {"blind.v1": base, "blind.v2": later})
        code, lines = call("schemas", "check", "--folder", str(at))
        assert code == 3 and rule in [line.get("rule") for line in lines]


def test_a_registry_that_says_otherwise_is_found_out(url: str, registry: ConfluentRegistry, tmp_path: Path) -> None:
    """Another schema under our name, another id, a refusal: each is one finding, exit 3, and registering stops there."""
    for name in ("taken", "numbered"):
        assert registry.register(
            name, json.dumps(record(field("int" if name == "numbered" else "long"), name=name.title()))
        )
    at = folder(
        tmp_path, {"taken.v1": record(name="Taken"), "numbered.v1": record(name="Numbered"), "zz.v1": record(name="Zz")}
    )
    code, lines = call("schemas", "register", "--folder", str(at), "--registry", url)
    assert (code, lines[0]["registered"]) == (3, [])
    assert {(line["schema"], line["rule"]) for line in lines[1:-1]} >= {("numbered.v1", Rule.REGISTRY_ID)}
    assert {line["schema"] for line in lines[1:-1]} == {"numbered.v1"}
    code, lines = call("schemas", "check", "--folder", str(at), "--registry", url)
    told = {(line["schema"], line["rule"]) for line in lines[:-1]}
    assert code == 3
    assert told >= {
        ("taken.v1", Rule.REGISTRY_OTHER),
        ("numbered.v1", Rule.REGISTRY_ID),
        ("taken.v1", Rule.REGISTRY_LEVEL),
    }
    assert ("zz.v1", Rule.NOT_REGISTERED) in told
    assert "zz" not in registry.subjects()


def test_an_incompatible_version_is_refused_there(registry: ConfluentRegistry, tmp_path: Path) -> None:
    """The registry's own refusal (409) is a finding, not an error; what it refused is not there."""
    registry.demand("refusing")
    assert registry.register("refusing", json.dumps(record())) is not None
    assert registry.register("refusing", json.dumps(record(field("string")))) is None
    assert registry.register("refusing", "{") is None
    assert registry.find("refusing", 2) is None


def test_a_path_that_is_no_registry_is_unavailable(url: str) -> None:
    """The right server and the wrong path say so, with exit 4 and no trace."""
    code, lines = call("schemas", "check", "--registry", url.replace("ccompat", "nothing"))
    assert (code, lines[-1]["error"]) == (4, Rule.REGISTRY_UNAVAILABLE)
    with ConfluentRegistry(url.replace("ccompat", "nothing")) as remote, pytest.raises(RegistryUnavailable):
        check_remote(open_folder(SHIPPED), remote)
