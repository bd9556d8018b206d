"""A registered schema is known by all that its document says: what Avro does not read (scopes, parameters, defaults) may not change either."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from exchange.core.schema_rules import Rule
from exchange.core.schema_tree import document_sha256
from exchange.schema_checks import Folder, check, open_folder, registered
from exchange.schemas import BadCatalogue, build
from tests.schemas.samples import enum, field, folder, record

STEM = "prov.set.v1"
SCHEMA = record(
    field(["null", "int"], default=None, scope="prov_a"),
    field(record(field("string", "inner", default="x"), name="Inner", namespace="fr.accord.prov"), "b", scope="prov_b"),
    field(enum("doc", "other", default="doc"), "c", scope="prov_b"),
    name="Set",
    namespace="fr.accord.prov",
    parameters=["mois"],
)


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The schema with one value of its document replaced, or removed (None)."""
    schema: Any = deepcopy(SCHEMA)
    inner = schema
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return schema  # type: ignore[no-any-return]  # a copy


UNSEEN = [
    changed("fields", 0, "scope", to="prov_b"),
    changed("fields", 1, "scope", to="prov_a"),
    changed("fields", 1, "type", "fields", 0, "default", to="y"),
    changed("fields", 1, "type", "fields", 0, "default", to=None),
    changed("fields", 2, "type", "default", to="other"),
    changed("parameters", to=["mois", "annee"]),
    changed("fields", 1, "aliases", to=["bb"]),
]
"""Changes that the parsing canonical form leaves out."""
DOCS = [changed("doc", to="Better said."), changed("fields", 1, "type", "fields", 0, "doc", to="Better said.")]


def shipped(tmp_path: Path) -> Folder:
    """A folder with the schema registered."""
    found = open_folder(folder(tmp_path, {STEM: SCHEMA}))
    text, refusals = registered(found)
    assert refusals == []
    return Folder(found.texts, text)


def refusing(found: Folder) -> list[Rule]:
    return [finding.rule for finding in check(found) if finding.refused]


@pytest.mark.parametrize("schema", UNSEEN)
def test_what_avro_does_not_read_may_not_change(tmp_path: Path, schema: dict[str, Any]) -> None:
    """Another scope, default, parameter or alias under a registered version: refused by the check, at registration and at the start."""
    other = Folder({STEM: json.dumps(schema)}, shipped(tmp_path).registry)
    assert Rule.REGISTERED_CHANGED in refusing(other)
    assert registered(other)[0] == other.registry
    with pytest.raises(BadCatalogue, match="now changed"):
        build({f"{STEM}.avsc": other.texts[STEM]}, other.registry)


@pytest.mark.parametrize("schema", DOCS)
def test_docs_may_be_improved(tmp_path: Path, schema: dict[str, Any]) -> None:
    """A doc, at the root or inside, changes freely; so do the order of keys and the spaces of the file."""
    turned = dict(reversed(schema.items()))
    other = Folder({STEM: json.dumps(turned, indent=4)}, shipped(tmp_path).registry)
    assert refusing(other) == []
    assert build({f"{STEM}.avsc": other.texts[STEM]}, other.registry).data_sets() == (STEM,)


def test_a_datum_is_not_a_doc() -> None:
    """A default's own name `doc` is part of the document: only what documents the schema is left out."""
    inner = record(field("string", "doc"), name="Inner")
    one, two = (record(field(inner, default={"doc": text})) for text in ("x", "y"))
    assert document_sha256(one) != document_sha256(two)


def test_an_older_registry_is_completed(tmp_path: Path) -> None:
    """A line without the document's digest stops the start and the check; `register` completes it, its id unchanged."""
    found = shipped(tmp_path)
    older = json.loads(found.registry)
    del older["prov.set"]["1"]["document_sha256"]
    before = Folder(found.texts, json.dumps(older))
    assert refusing(before) == [Rule.NOT_REGISTERED]
    with pytest.raises(BadCatalogue, match="accord schemas register"):
        build({f"{STEM}.avsc": before.texts[STEM]}, before.registry)
    assert registered(before) == (found.registry, [])
