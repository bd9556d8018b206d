"""The bus in containers, without an engine: what can be held true of the files alone."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from exchange.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def compose() -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return body


def faults(body: dict[str, Any]) -> list[str]:
    """What the Compose specification says against it. Its schema comes with check-jsonschema, whose own command needs a
    newer click than Faust allows: so its file is read, and its package not imported."""
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(path.read_text("utf-8"))
    return [error.message for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(body)]


def ours(body: dict[str, Any]) -> dict[str, Any]:
    """The services of our image."""
    return {name: service for name, service in body["services"].items() if service["image"].startswith("accord")}


def test_compose_follows_the_specification(compose: dict[str, Any]) -> None:
    """docker-compose.yml is valid by the Compose specification."""
    assert faults(compose) == []


@pytest.mark.parametrize(
    ("path", "key"),
    [(("services", "ledger"), "comand"), (("services", "kafka", "healthcheck"), "retry"), ((), "service")],
)
def test_a_misspelt_key_fails(compose: dict[str, Any], path: tuple[str, ...], key: str) -> None:
    """A key that Compose does not have is found out, wherever it stands."""
    broken = copy.deepcopy(compose)
    at = broken
    for name in path:
        at = at[name]
    at[key] = {}

    assert any(key in fault for fault in faults(broken))


def test_only_the_loopback_is_published(compose: dict[str, Any]) -> None:
    """No port is reachable from another machine."""
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_only_the_ledger_sees_its_store(compose: dict[str, Any]) -> None:
    """The volume of store and keys is mounted by the ledger alone, which has no network."""
    mounting = {
        name
        for name, service in compose["services"].items()
        if any(v.startswith("ledger:") for v in service.get("volumes", []))
    }

    assert mounting == {"ledger"}
    assert compose["services"]["ledger"]["network_mode"] == "none"
    assert "ledger:/var/lib/accord/ledger" in compose["services"]["ledger"]["volumes"]


def test_no_topic_is_made_by_accident(compose: dict[str, Any]) -> None:
    """The broker makes no topic by itself; the agents start once ours are made."""
    assert compose["services"]["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert all(
        compose["services"][name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
        for name in ("worker", "connector")
    )


def test_variables_are_settings(compose: dict[str, Any]) -> None:
    """Each ACCORD_ variable is one the code reads."""
    named = {name for service in ours(compose).values() for name in service["environment"]}

    assert {name for name in named if name.removeprefix("ACCORD_").lower() not in Settings.model_fields} == set()


def test_nothing_is_copied_into_a_read_only_container(compose: dict[str, Any]) -> None:
    """No service has both a read-only root and inline configs: Compose copies these in, and would fail to start it."""
    assert [name for name, service in ours(compose).items() if service["read_only"] and service.get("configs")] == []


def test_the_image_holds_the_package() -> None:
    """The image copies every package of the wheel, all of it known to the engine, and runs as nobody in particular."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]["packages"]
    copied = {source for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE) for source in line.split()[:-1]}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}

    assert set(packages) <= copied
    assert copied == sent
    assert re.search(r"^USER (?!root)\w+$", dockerfile, re.MULTILINE)


def test_one_version_of_uv() -> None:
    """The image and the script `./accord` fetch the same uv."""
    image = re.search(r"uv==([\d.]+)", (ROOT / "Dockerfile").read_text("utf-8"))
    script = re.search(r"^uv_version=([\d.]+)$", (ROOT / "accord").read_text("utf-8"), re.MULTILINE)

    assert image is not None
    assert script is not None
    assert image[1] == script[1]
