"""The generated documents: the dictionary, AsyncAPI and OpenAPI say what the catalogue says, and programs can read them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from fastavro.utils import generate_many

from exchange import wire
from exchange.core import topics
from exchange.core.errors import CATALOGUE
from exchange.core.schema_tree import Field, tree, walk
from exchange.data_sets import DATA_SETS
from exchange.schemas import catalogue
from tests import npm

DOCS = Path(__file__).parents[2] / "docs"
PARSER = {"@asyncapi/parser": "3.6.3", "@asyncapi/avro-schema-parser": "3.0.24"}


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
ASYNCAPI = yaml.safe_load(GENERATOR.asyncapi_page())
OPENAPI = yaml.safe_load(GENERATOR.openapi_page())


def references(part: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from references(item)


def at(document: Any, reference: str) -> Any:
    assert reference.startswith("#/"), reference
    for name in reference[2:].split("/"):
        document = document[name]
    return document


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_each_page_is_up_to_date(name: str) -> None:
    """What stands in `docs/` is what the catalogue makes (`python docs/generate.py` writes it)."""
    assert (DOCS / name).read_text("utf-8") == GENERATOR.PAGES[name]()


def test_the_folder_holds_nothing_else() -> None:
    """Each data set has its page, and a data set that is no more has none."""
    made = {path.name for path in (DOCS / "reference").iterdir()}
    assert made == {f"{name}.md" for name in DATA_SETS} | {"README.md", "asyncapi.yaml", "openapi.yaml", "vectors.json"}


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_page_tells_every_field_scope_and_parameter(name: str) -> None:
    """Nothing that an agreement may open is left out of its page; each scope opens a field."""
    page, root = GENERATOR.data_set_page(name), tree(catalogue().codec_of_data_set(name).schema)
    told = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    fields = {part.name for _, part in walk(root) if isinstance(part, Field)}
    assert {path.rpartition(".")[2].strip("[]{}") for path in told} == fields
    assert {field.scope for field in root.fields} == DATA_SETS[name].scopes
    for word in (*DATA_SETS[name].scopes, *DATA_SETS[name].parameters, DATA_SETS[name].provider):
        assert f"`{word}`" in page


def test_the_check_finds_a_stale_and_an_extra_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` ends with 5 and names the page that is not what it should be, or should not be; writing mends both."""
    copy = generator()
    copy.FOLDER = tmp_path
    assert copy.main([]) == 0
    assert copy.main(["--check"]) == 0
    (tmp_path / "errors.md").write_text("old")
    (tmp_path / "reference" / "gone.v1.md").write_text("old")
    capsys.readouterr()
    assert copy.main(["--check"]) == 5
    assert {"errors.md", "gone.v1.md"} <= set(re.split(r"[ ,/\n]+", capsys.readouterr().out))
    assert copy.main([]) == copy.main(["--check"]) == 0
    assert copy.main(["--nothing"]) == 2


@pytest.mark.parametrize("document", [ASYNCAPI, OPENAPI], ids=["asyncapi", "openapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Each `$ref` of a document is in it."""
    found = list(references(document))
    assert found
    assert all(at(document, reference) for reference in found)


# AsyncAPI


def test_every_topic_is_a_channel() -> None:
    """The channels are the topics the bus makes, with their days; each parameter of an address is told, and no other. One kind of
    message a topic, but outcomes, among which a waiting answer is announced."""
    made = {
        spec.name.replace("123456789", "{siren}").replace("cnaf", "{provider}"): int(spec.config["retention.ms"])
        for spec in topics.specs(["123456789"], ["cnaf"], partitions=1, cluster=False)
    }
    channels = ASYNCAPI["channels"].values()
    assert {c["address"]: c["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] for c in channels} == made
    for channel in channels:
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))
        told = (
            {"outcome", "waiting", "preview"}
            if channel["address"].startswith("outcomes.")
            else {next(iter(channel["messages"]))}
        )
        assert set(channel["messages"]) == told


@pytest.mark.parametrize("subject", ASYNCAPI["components"]["messages"])
def test_a_message_of_the_bus_is_as_told(subject: str) -> None:
    """Headers that the bus writes are those of the document, which refuses another type; the payload is the schema: a preview's is that of
    a notice, told apart by its type."""
    told = ASYNCAPI["components"]["messages"][subject]
    sent = wire.message(subject, b"", b"", "event-1", [("traceparent", b"00-1-2-03")])
    headers = {name: value.decode() for name, value in sent.headers}
    jsonschema.validate(headers, told["headers"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(headers | {"ce_type": "fr.accord.other.v1"}, told["headers"])
    of = "waiting" if subject == wire.PREVIEW else subject
    assert told["payload"]["schema"] == catalogue().codec(of).schema
    assert told["x-schema-id"] == catalogue().id(of)


def test_asyncapi_s_own_parser_reads_it(tmp_path: Path) -> None:
    """The official parser, with its Avro reader, finds no error in the document, and does in a broken one."""
    modules = npm.modules("asyncapi-parser", PARSER, "the document is checked by our own tests only")
    assert parsed(modules, tmp_path, ASYNCAPI) == {"wrong": [], "channels": len(ASYNCAPI["channels"])}
    broken = json.loads(json.dumps(ASYNCAPI))
    broken["components"]["messages"]["verdict"]["payload"]["schema"]["type"] = "nothing"
    assert parsed(modules, tmp_path, broken)["wrong"]


def parsed(modules: Path, folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    path = folder / "asyncapi.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    argv = ["node", str(Path(__file__).with_name("asyncapi.cjs")), str(modules), str(path)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=True, env=os.environ | {"NO_COLOR": "1"}
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# OpenAPI


def test_openapi_has_the_shape_of_3_1() -> None:
    """The members are those of OpenAPI 3.1.0, the names those it allows, and each schema is one of JSON Schema 2020-12."""
    assert OPENAPI.keys() == {"openapi", "info", "jsonSchemaDialect", "servers", "paths", "components"}
    assert re.fullmatch(r"3\.1\.\d", OPENAPI["openapi"])
    assert {"title", "version"} <= OPENAPI["info"].keys()
    assert OPENAPI["components"].keys() <= {"schemas", "examples", "securitySchemes"}
    for part in OPENAPI["components"].values():
        assert [name for name in part if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []
    for schema in OPENAPI["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **OPENAPI})


@pytest.mark.parametrize("name", DATA_SETS)
def test_data_of_a_data_set_are_those_of_the_document(name: str) -> None:
    """Any datum of the Avro schema is one of the JSON Schema; with a field more, or of another type, it is none."""
    codec, judge = catalogue().codec_of_data_set(name), validator(name)
    for datum in generate_many(dict(codec.schema), 20):
        judge.validate(datum)
        assert not judge.is_valid({**datum, "more": 1})
        assert not judge.is_valid(dict.fromkeys(datum, 1.5))


def test_every_error_is_a_problem() -> None:
    """Each code of the catalogue has its example, which is a problem of RFC 9457; another code is none."""
    judge = validator("Problem")
    examples = OPENAPI["components"]["examples"]
    assert list(examples) == [code.value for code in CATALOGUE]
    for code, example in examples.items():
        judge.validate(example["value"])
        assert example["value"]["code"] == code
        assert not judge.is_valid(example["value"] | {"code": "no_such_code"})
