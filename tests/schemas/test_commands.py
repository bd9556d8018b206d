"""`accord schemas` on folders of our own: what it says, what it writes and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.cli import app
from exchange.core.schema_rules import RULES, Rule
from exchange.schema_checks import SHIPPED
from tests.schemas.samples import FIELD, enum, field, folder, record

GOOD = {"thing.v1": record(), "thing.v2": record(FIELD, field("int", "b", default=0))}


def call(command: str, at: Path, *argv: str) -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(app, ["schemas", command, *argv, "--folder", str(at), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def rules(lines: list[dict[str, Any]]) -> list[str]:
    return [line["rule"] for line in lines if "rule" in line]


def test_the_schemas_shipped_are_in_order() -> None:
    """The contract of this package passes its own check: exit 0, nothing refused."""
    code, lines = call("check", SHIPPED)
    assert (code, lines[-1]["refused"]) == (0, 0)


def test_a_new_schema_is_registered_once(tmp_path: Path) -> None:
    """`register` gives ids in order and writes them; a second one changes nothing; `list` and `check` agree."""
    at = folder(tmp_path, GOOD)
    assert rules(call("check", at)[1]) == [Rule.NOT_REGISTERED] * 2
    assert call("register", at) == (
        0,
        [{"registered": ["thing.v1", "thing.v2"]}, {"schemas": 2, "refused": 0, "warnings": 0}],
    )
    written = (at / "registry.json").read_bytes()
    assert call("register", at)[1][0] == {"registered": []}
    assert (at / "registry.json").read_bytes() == written
    assert [(line["schema"], line["id"]) for line in call("list", at)[1]] == [("thing.v1", 1), ("thing.v2", 2)]
    assert call("check", at)[0] == 0


@pytest.mark.parametrize(
    ("schemas", "rule"),
    [
        ({"thing.v1": record(), "thing.v2": record(FIELD, field("int", "b"))}, Rule.FIELD_ADDED),
        ({"thing.v1": record(), "thing.v2": record(field("int", "renamed"))}, Rule.FIELD_REMOVED),
        ({"thing.v1": record(), "thing.v2": record(), "thing.v3": record(field("long"))}, Rule.PROMOTION),
        ({"thing.v1": record(namespace="fr.other")}, Rule.NAMESPACE),
        ({"thing.v1": record(), "other.v1": "{"}, Rule.NOT_AVRO),
        ({"thing": record()}, Rule.FILE_NAME),
        ({"thing.v1": record(doc="<script>")}, Rule.DOC_MARKUP),
    ],
)
def test_what_breaks_a_rule_is_not_registered(schemas: dict[str, Any], rule: Rule, tmp_path: Path) -> None:
    """A fault in one schema registers none: exit 3, the rule named in both the check and the refusal, the registry as it was."""
    at = folder(tmp_path, schemas)
    for command in ("check", "register"):
        code, lines = call(command, at)
        assert code == 3
        assert rule in rules(lines)
    assert (at / "registry.json").read_text() == "{}"


def test_a_registered_schema_that_changed_or_went_is_found(tmp_path: Path) -> None:
    """After registration another type, or no file, is refused by name; another doc is not."""
    at = folder(tmp_path, GOOD)
    call("register", at)
    registry = (at / "registry.json").read_text()
    folder(at, {"thing.v1": record(doc="Better said.")}, registry)
    assert call("check", at)[0] == 0
    folder(at, {"thing.v1": record(field("string"))}, registry)
    assert Rule.REGISTERED_CHANGED in rules(call("check", at)[1])
    assert call("register", at)[0] == 3
    (at / "avro" / "thing.v1.avsc").unlink()
    assert rules(call("check", at)[1]) == [Rule.REGISTERED_MISSING]


@pytest.mark.parametrize("registry", ["[]", "{", '{"one": {"1": {"id": 0, "sha256": "x"}}}', "\x00"])
def test_a_registry_nobody_can_read_is_corrupted(registry: str, tmp_path: Path) -> None:
    """A broken registry ends every command that needs it with exit 5, and is left as it is."""
    at = folder(tmp_path, GOOD, registry)
    for command in ("check", "register", "list"):
        code, lines = call(command, at)
        assert (code, rules(lines)) == (5, [Rule.REGISTRY_UNREADABLE])
    assert (at / "registry.json").read_text() == registry


def test_a_diff_says_what_may_change_and_what_may_not(tmp_path: Path) -> None:
    """Each change has its place, and the rule it breaks where it breaks one; a file may stand for a version."""
    at = folder(tmp_path, GOOD)
    assert call("diff", at, "thing.v1", "thing.v2") == (
        0,
        [{"what": "added", "where": "Thing.b", "rule": None, "allowed": True}],
    )
    other = tmp_path / "candidate.avsc"
    other.write_text(json.dumps(record(field("long"), doc="Other.")))
    code, lines = call("diff", at, "thing.v1", str(other))
    assert (code, [(line["what"], line["rule"]) for line in lines]) == (
        0,
        [("doc", None), ("doc", None), ("int → long", Rule.PROMOTION)],
    )
    other.write_text("{")
    assert call("diff", at, "thing.v1", str(other))[0] == 3
    assert call("diff", at, "thing.v1", "nothing.v1")[0] == 2


@pytest.mark.parametrize(("locale", "words"), [("fr_FR.UTF-8", "en règle"), ("en_GB.UTF-8", "in order")])
def test_a_person_reads_it_in_their_language(locale: str, words: str, tmp_path: Path) -> None:
    """French first, English where the locale says so; a warning is told and refuses nothing."""
    at = folder(tmp_path, {"thing.v1": record(field(enum("a")))})
    done = CliRunner(env={"LC_ALL": locale}).invoke(app, ["schemas", "lint", "--folder", str(at)])
    told = RULES[Rule.CLOSED_ENUM].cause
    assert done.exit_code == 0
    assert words in done.stdout
    assert (told.en if words == "in order" else told.fr) in done.stdout


def test_no_finding_echoes_what_a_file_says(tmp_path: Path) -> None:
    """A hostile schema's text, terminal codes and markup included, stands in no line of the command."""
    at = folder(tmp_path, {"thing.v1": record(doc="<script>[red]\x1b[2J secret")})
    for argv in (["--json"], []):
        done = CliRunner().invoke(app, ["schemas", "check", "--folder", str(at), *argv])
        assert done.exit_code == 3
        assert [word for word in ("secret", "\x1b[2J", "<script>") if word in done.output] == []


@contextmanager
def answering(status: int, body: bytes, location: str = "") -> Iterator[str]:
    """A server that gives every request this answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815
        do_PUT = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "location"),
    [
        (500, b"{}", ""),
        (401, b"{}", ""),
        (302, b"", "http://127.0.0.1:1/elsewhere"),
        (200, b"not json", ""),
        (200, b"[" * 100_000, ""),
        (200, b"[]", ""),
        (200, b'{"id": "1", "schema": "{}"}', ""),
        (200, b'{"id": true, "schema": "{}"}', ""),
        (200, b'"' + b"x" * (2 << 20) + b'"', ""),
        (404, b"<html>", ""),
        (404, b'{"error_code": 404}', ""),
    ],
)
def test_a_hostile_registry_is_unavailable(status: int, body: bytes, location: str, tmp_path: Path) -> None:
    """A registry that fails, redirects, sends garbage, the wrong shape or too much is one clear word and exit 4."""
    at = folder(tmp_path, GOOD)
    call("register", at)
    with answering(status, body, location) as url:
        for command in ("check", "register", "list"):
            code, lines = call(command, at, "--registry", url)
            assert (code, lines[-1]["error"]) == (4, Rule.REGISTRY_UNAVAILABLE)


@pytest.mark.parametrize("url", ["nothing", "http://[", "ftp://127.0.0.1/", "http://127.0.0.1:1", "http://a b/"])
def test_an_address_that_is_none_is_unavailable(url: str, tmp_path: Path) -> None:
    """A wrong address, or nobody there, is told without a trace."""
    at = folder(tmp_path, GOOD)
    call("register", at)
    code, lines = call("check", at, "--registry", url)
    assert (code, lines[-1]["error"]) == (4, Rule.REGISTRY_UNAVAILABLE)


def test_a_registry_that_holds_a_hostile_schema_is_found_out(tmp_path: Path) -> None:
    """What the registry calls our schema is read by our codec: garbage there is a finding, not a fault."""
    at = folder(tmp_path, {"thing.v1": record()})
    call("register", at)
    body = {"id": 1, "schema": "[" * 10_000, "compatibilityLevel": "FULL_TRANSITIVE"}
    with answering(200, json.dumps(body).encode()) as url:
        code, lines = call("check", at, "--registry", url)
    assert (code, rules(lines)) == (3, [Rule.REGISTRY_OTHER])


def test_a_folder_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    """Without `avro/` there is nothing to look at: exit 2."""
    assert CliRunner().invoke(app, ["schemas", "lint", "--folder", str(tmp_path)]).exit_code == 2
