"""What anybody may read: data sets, schemas, providers, errors, the log's files, the documents themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from consent.core.tiles import Tree
from consent.public_log import FOLDER
from consent.publish import Files, head, publish, published
from exchange.core.errors import CATALOGUE
from exchange.data_sets import DATA_SETS, PROVIDERS
from exchange.schemas import catalogue
from exchange.settings import Settings
from tests.portal.api.stand import Stand
from tests.world import JEANNE, RECIPIENT


async def test_data_sets_and_their_schemas(stand: Stand) -> None:
    """Each data set leads to its Avro schema, without a token."""
    listed = (await stand.http.get("/v1/datasets")).json()
    assert [one["name"] for one in listed["data"]] == sorted(DATA_SETS) and listed["meta"]["count"] == len(DATA_SETS)
    for one in listed["data"]:
        schema = (await stand.http.get(f"/v1{one['schema_path']}")).json()
        assert schema == catalogue().codec_of_data_set(one["name"]).schema
        assert (await stand.http.get(f"/v1/datasets/{one['name']}")).json() == one
        assert all(scope["label"] for scope in one["scopes"])


async def test_errors_are_told_in_both_languages(stand: Stand) -> None:
    """Every refusal has its cause and what to do, in the caller's language (ask 9)."""
    for language in ("fr", "en"):
        listed = (await stand.http.get("/v1/errors", headers={"accept-language": language})).json()["data"]
        assert [one["code"] for one in listed] == [code.value for code in CATALOGUE]
        assert all(one["cause"] == CATALOGUE[one["code"]].cause(language) and one["todo"] for one in listed)
    one = (await stand.http.get("/v1/errors/withdrawn", headers={"accept-language": "de, en;q=0.5"})).json()
    assert one["cause"] == CATALOGUE["withdrawn"].cause_en  # type: ignore[index]  # a code is a text
    assert (await stand.http.get("/v1/errors/nothing")).json()["code"] == "not_there"


async def test_providers_health(stand: Stand) -> None:
    """As API Particulier tells it; unknown where no connector has said anything yet."""
    before = {one["name"]: one["status"] for one in (await stand.http.get("/v1/providers")).json()["data"]}
    assert before == dict.fromkeys(PROVIDERS, "unknown")
    places = stand.parts.places
    places.announce(
        places.health("cnaf"),
        provider="cnaf",
        status="ok",
        last_update="2026-01-01T00:00:00+00:00",
        last_ok_status=None,
    )
    after = {one["name"]: one for one in (await stand.http.get("/v1/providers")).json()["data"]}
    assert after["cnaf"]["status"] == "ok" and "cnaf.quotient-familial.v1" in after["cnaf"]["data_sets"]


async def test_the_log_is_served_as_it_is_published(stand: Stand, tmp_path: Path) -> None:
    """A monitor that has the HTTP files alone recomputes the root the checkpoint signs."""
    assert (await stand.http.get("/v1/ledger/checkpoint")).status_code == 503
    await stand.bus.give(JEANNE)
    ledger, folder = stand.bus.ledger, stand.parts.places.root / FOLDER
    publish(folder, ledger.source(), [await ledger.checkpoint()])
    mirror = tmp_path / "mirror"
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name != "checkpoint.offered"):
        name = path.relative_to(folder).as_posix()
        got = await stand.http.get(f"/v1/ledger/{name}")
        assert (got.status_code, got.content) == (200, path.read_bytes()), name
        if name.startswith("tile/entries/"):
            assert (await stand.http.get(f"/v1/ledger/{name.removeprefix('tile/')}")).content == path.read_bytes()
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(got.content)
    text = published(mirror)
    assert text is not None
    told = head(text)
    assert Tree(told.size, Files(mirror).hashes).root() == told.root


@pytest.mark.parametrize(
    "path",
    ["../portal.db", "0/../../x", "%2e%2e/%2e%2e/portal.db", "0//000", "0/000;x", "0/000%00", "64/000", "0/00", "0/000.p/256", "0/000.p/0", "0/000.p/01", "x", "0/000%0a"],
)  # fmt: skip
async def test_no_other_file_is_served(stand: Stand, path: str) -> None:
    """Case 60: an address that is no tile's is nobody's."""
    told = await stand.http.get(f"/v1/ledger/tile/{path}")
    assert (told.status_code, told.headers["content-type"]) in ((404, "application/problem+json"),)


async def test_the_documents(stand: Stand) -> None:
    """OpenAPI 3.1 with GET and POST only; AsyncAPI 3."""
    document = (await stand.http.get("/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1.") and document["servers"] == [{"url": "/v1"}]
    assert {method for path in document["paths"].values() for method in path} == {"get", "post"}
    assert (await stand.http.get("/v1/asyncapi.json")).json()["asyncapi"] == "3.0.0"


async def test_what_a_token_may_ask(stand: Stand) -> None:
    """Data sets, purposes, scopes and until when; how fast; how long the token lasts."""
    told = (await stand.call("GET", "/me")).json()
    assert told["recipients"] == [RECIPIENT] and told["expires_at"]
    (right,) = [one for one in told["rights"] if one["data_set"] == "cnaf.quotient-familial.v1"][:1]
    assert right["purpose"] and right["scopes"] and told["limits"]["calls_per_s"] > 0


async def test_what_to_begin_with(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each right a `.env` that the SDK's settings read, and a program that compiles and names it."""
    told = (await stand.call("GET", "/me/kit")).json()
    rights = (await stand.call("GET", "/me")).json()["rights"]
    assert [(one["data_set"], one["purpose"]) for one in told["data"]] == [
        (one["data_set"], one["purpose"]) for one in rights
    ]
    for one, right in zip(told["data"], rights, strict=True):
        compile(one["python"], "kit", "exec")
        assert all(f'"{said}"' in one["python"] for said in (one["data_set"], one["purpose"], *right["scopes"]))
        for line in one["env"].splitlines():
            monkeypatch.setenv(*line.split("=", 1))
        settings = Settings()
        assert (settings.url, settings.recipient, settings.client) == (stand.parts.url, RECIPIENT, "mairie")
