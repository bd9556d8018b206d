"""API Impôt particulier and SFiP: how the gateway is reached, its token kept, its errors read; over real HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.call import call
from connectors.core.reading import interpret
from connectors.rest.access import Account, read_account
from connectors.rest.api import RestApi
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, Sandbox, load_cases
from connectors.sdk.declare import Service
from connectors.sdk.kit.examine import examined
from connectors.sdk.kit.stage import TOKEN, URL
from consent.keys import BadKeyFile
from exchange.core.identity import BadIdentity, Identity
from tests.connectors import impots
from tests.connectors.state_cases import RECIPIENT
from tests.connectors.test_engine import CONTRACTS, contracts_only

DESCRIPTION = descriptions()[impots.NAME]
BY_NUMBER, BY_NAME = DESCRIPTION.operations
SPI, YEAR = "3000000000011", {"annrev": "2025"}
NINA = Identity("DELESTRADE", prenoms=("Nina",), date_naissance="1991-05-00", sexe_etat_civil="F", code_cog_insee_commune_naissance="35238")  # fmt: skip
SECRET = "un-secret-d-application"


def erreur(code: int, message: str = "Titre") -> dict[str, Any]:
    return {"erreur": {"code": code, "message": message, "horodatage": ""}}


def said(status: int, body: object, identity: Identity = NINA, media_type: str = "application/json") -> Reading:
    return interpret(DESCRIPTION, status, {"content-type": media_type}, json.dumps(body).encode(), identity)


@dataclass
class Office:
    """A gateway over HTTP: what it says to the token's route and to the others, and what it was asked."""

    tokens: list[tuple[int, dict[str, Any]]] = field(default_factory=lambda: [(200, {"access_token": "j1", "expires_in": 3600})])  # fmt: skip
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=lambda: [(200, {"rfr": 1})])
    fetched: list[dict[str, str]] = field(default_factory=list)
    called: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def account(self) -> Account:
        return Account(f"http://127.0.0.1:{self.port}", "accord-test", SECRET, "TS_IMPOT", "TS_SFIP")


@contextmanager
def opened(office: Office) -> Iterator[RestApi]:
    """The office, listening, and our connector on it."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self, asked: list[dict[str, str]], told: list[tuple[int, dict[str, Any]]]) -> None:
            asked.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            status, document = told.pop(0) if len(told) > 1 else told[0]
            body = b"" if status == 204 else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say(office.called, office.answers)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._say(office.fetched, office.tokens)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    office.port = server.server_port
    try:
        yield RestApi("https://ailleurs.exemple", "autre-jeton", account=office.account)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def asked(api: RestApi, times: int = 1, identity: Identity | None = None, year: dict[str, str] = YEAR) -> list[Reading]:  # fmt: skip
    who = identity or Identity(numero_fiscal=SPI)
    return [await api.fetch(impots.NAME, who, RECIPIENT, year) for _ in range(times)]


class TestCalls:
    """What designates someone, and which year."""

    def test_a_tax_number_and_a_year_are_the_path(self) -> None:
        """Nothing else is sent: neither civil status nor recipient."""
        made = call(DESCRIPTION, replace(NINA, numero_fiscal=SPI), RECIPIENT, YEAR)
        assert (made.operation, made.query) == (BY_NUMBER, [])
        assert made.path == f"/impotparticulier/1.0/spi/{SPI}/situations/ir/assiettes/annrev/2025"

    def test_without_a_number_civil_status_is_asked(self) -> None:
        """SFiP is asked by name, given names in one text, the date as far as it is known, the commune in two parts."""
        made = call(DESCRIPTION, NINA, RECIPIENT, {})
        assert (made.operation, made.query) == (BY_NAME, [
            ("nom", "DELESTRADE"), ("prenom", "Nina"), ("sexe", "2"), ("naisDate", "05/1991"), ("naisCodeDept", "35"), ("naisCodeCommune", "238"),
        ])  # fmt: skip

    @pytest.mark.parametrize(
        ("commune", "parts"), [("75109", ("75", "109")), ("2A004", ("2A", "004")), ("97411", ("974", "11")), ("98818", ("988", "18"))]
    )  # fmt: skip
    def test_a_commune_is_a_departement_and_a_number(self, commune: str, parts: tuple[str, str]) -> None:
        """Two and three characters, three and two overseas; and the same identity comes back from SFiP's names."""
        person = replace(NINA, code_cog_insee_commune_naissance=commune)
        query = dict(call(DESCRIPTION, person, RECIPIENT, {}).query)
        assert (query["naisCodeDept"], query["naisCodeCommune"]) == parts
        assert Identity.from_wire(query) == person

    def test_a_birth_abroad_has_no_commune(self) -> None:
        """Its country alone is sent."""
        person = replace(NINA, code_cog_insee_pays_naissance="99326")
        query = dict(call(DESCRIPTION, person, RECIPIENT, {}).query)
        assert query["naisCodePays"] == "99326" and not query.keys() & {"naisCodeDept", "naisCodeCommune"}

    async def test_a_year_is_never_answered_by_another(self) -> None:
        """SFiP takes no year: asking one by civil status, or none by number alone, is refused before any call."""
        office = Office()
        with opened(office) as api:
            assert await asked(api, identity=NINA) == [Failure("", "identity")]
            assert await asked(api, year={}) == [Failure("", "identity")]
            assert await asked(api, year={"annrev": "../2025"}) == [Failure("", "parameter")]
        assert not office.called and not office.fetched

    @pytest.mark.parametrize(
        "wire", [{"nom": "X", "sexe": "3"}, {"nom": "X", "naisDate": "1/2/3/1990"}, {"nom": "X", "adrCodePays": "1"}]
    )
    def test_what_is_no_name_of_sfip_is_refused(self, wire: dict[str, str]) -> None:
        """A sex, a date or a name SFiP does not have makes no identity."""
        with pytest.raises(BadIdentity):
            Identity.from_wire(wire)


class TestToken:
    """OAuth2 client credentials: fetched once, kept, fetched again when it ended; nowhere to be read."""

    async def test_it_is_fetched_once(self) -> None:
        """Many calls at once share the first one's token; each has its own correlation id, and the version it wants."""
        office = Office()
        with opened(office) as api:
            readings = await asyncio.gather(*(asked(api, 2) for _ in range(5)))
        assert all(reading == Found({"rfr": 1}) for each in readings for reading in each)
        assert len(office.fetched) == 1 and len(office.called) == 10
        assert {head["authorization"] for head in office.called} == {"Bearer j1"}
        correlations = {head["x-correlation-id"] for head in office.called}
        assert len(correlations) == 10 and all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in correlations)  # fmt: skip
        assert {(head["accept"], head["id_teleservice"]) for head in office.called} == {(BY_NUMBER.media_type, "TS_IMPOT")}  # fmt: skip

    async def test_sfip_has_its_own_teleservice(self) -> None:
        """The same token, another version, another téléservice."""
        office = Office()
        with opened(office) as api:
            await asked(api, identity=NINA, year={})
        assert (office.called[0]["accept"], office.called[0]["id_teleservice"]) == (BY_NAME.media_type, "TS_SFIP")

    @pytest.mark.parametrize("expires_in", [0, -5])
    async def test_one_that_has_ended_is_fetched_again(self, expires_in: int) -> None:
        """A token is used within its time only."""
        office = Office(tokens=[(200, {"access_token": "j1", "expires_in": expires_in}), (200, {"access_token": "j2", "expires_in": 3600})])  # fmt: skip
        with opened(office) as api:
            await asked(api, 3)
        assert [head["authorization"] for head in office.called] == ["Bearer j1", "Bearer j2", "Bearer j2"]

    async def test_one_that_is_refused_is_fetched_again(self) -> None:
        """A 401 asks the agent to come back, and the next call has a new token."""
        office = Office(
            tokens=[(200, {"access_token": token, "expires_in": 3600}) for token in ("j1", "j2")],
            answers=[(401, {}), (200, {"rfr": 1})],
        )
        with opened(office) as api:
            assert await asked(api, 2) == [Retry("", 0.0, "token"), Found({"rfr": 1})]
        assert [head["authorization"] for head in office.called] == ["Bearer j1", "Bearer j2"]

    @pytest.mark.parametrize(
        ("told", "reading"),
        [
            ((401, {"error": "invalid_client"}), Failure("", "token")),
            ((302, {}), Failure("", "token")),
            ((200, {"access_token": 5}), Failure("", "token")),
            ((200, {"access_token": "a\nb"}), Failure("", "token")),
            ((200, {"access_token": ""}), Failure("", "token")),
            ((200, {"access_token": "x" * 70_000}), Failure("", "token")),
            ((503, {}), Retry("", 0.0, "token")),
            ((429, {}), Retry("", 0.0, "token")),
        ],
    )
    async def test_without_a_token_nobody_is_named(self, told: tuple[int, dict[str, Any]], reading: Reading) -> None:
        """No token, no call: nobody is named to a gateway that does not know us."""
        office = Office(tokens=[told])
        with opened(office) as api:
            assert await asked(api) == [reading]
        assert not office.called

    async def test_a_silent_office_is_left(self) -> None:
        """A gateway that takes the call and says nothing, be it for the token, costs the time limit and no more."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            account = replace(Office().account, url=f"http://127.0.0.1:{silent.getsockname()[1]}")
            api = RestApi("https://ailleurs.exemple", "autre-jeton", timeout_s=0.2, account=account)
            assert await asked(api) == [Retry("", 0.0, "timeout")]
            await api.close()

    async def test_it_is_never_logged(self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
        """Neither secret, token nor tax number is in the log at its most talkative, nor in what is printed of the account."""
        office = Office(answers=[(401, {}), (403, erreur(4031)), (200, {"rfr": 1})])
        with caplog.at_level(logging.DEBUG), opened(office) as api:
            await asked(api, 3)
        told = caplog.text + repr(office.account) + "".join(capsys.readouterr())
        assert not any(text in told for text in (SECRET, "j1", SPI))

    def test_an_account_is_its_owners_file(self, tmp_path: Path) -> None:
        """Four words, in a file nobody else reads."""
        file = tmp_path / "dgfip"
        file.write_text("client\nsecret\nTS1\nTS2\n")
        with pytest.raises(BadKeyFile):
            read_account(file, "https://gw")
        file.chmod(0o600)
        assert read_account(file, "https://gw") == Account("https://gw", "client", "secret", "TS1", "TS2")
        file.write_text("client secret")
        with pytest.raises(BadKeyFile):
            read_account(file, "https://gw")

    async def test_the_sandbox_asks_for_all_of_it(self) -> None:
        """The sandbox gives tokens to whoever has its secret, and serves none of another's making."""
        cases = load_cases(FAMILIES / BY_NUMBER.id)
        with Sandbox(cases, token=SECRET) as sandbox:
            good, bad = RestApi(sandbox.url, SECRET), RestApi(sandbox.url, "autre")
            assert isinstance((await asked(good))[0], Found)
            assert await asked(bad) == [Failure("", "token")]
            nobody = Identity(numero_fiscal="3111111111111")
            assert await asked(good, identity=nobody) == [NotFound("4102", "Le spi envoyé ne correspond à aucun usager")]  # fmt: skip
            await good.close()
            await bad.close()


class TestReadings:
    """Each error of the DGFiP's has one meaning, its number kept."""

    @pytest.mark.parametrize(
        ("status", "body", "reading"),
        [
            (204, None, NotFound("", "")),
            (400, erreur(4001), StateRefusal("4001", "Titre")),
            (400, erreur(4002), StateRefusal("4002", "Titre")),
            (400, {"codeapp": "4007", "message": "Titre"}, StateRefusal("4007", "Titre")),
            (400, None, Failure("", "client")),
            (403, erreur(4031), Failure("4031", "forbidden")),
            (403, None, Failure("", "forbidden")),
            (403, erreur(40305), StateRefusal("40305", "Titre")),
            (404, erreur(40433), NotFound("40433", "Titre")),
            (404, {"codeapp": 4041}, NotFound("4041", "")),
            (404, None, Failure("", "unexpected")),
            (404, "<html>", Failure("", "unexpected")),
            (410, erreur(4101), NotFound("4101", "Titre")),
            (410, None, Failure("", "unexpected")),
            (416, erreur(4101), NotFound("4101", "Titre")),
            (416, None, NotFound("", "")),
            (400, erreur(40401), Retry("40401", 0.0)),
            (500, None, Retry("", 0.0)),
            (429, None, Retry("", 0.0)),
            (302, None, Failure("", "redirect")),
            (206, {"rfr": 1}, Failure("", "unexpected")),
        ],
    )
    def test_errors(self, status: int, body: object, reading: Reading) -> None:
        """Nobody there, about this person, ours to mend, or later."""
        assert said(status, body) == reading

    @contracts_only
    def test_each_documented_error_has_one_meaning(self) -> None:
        """Every error of the two contracts is read as something known, with the DGFiP's number."""
        told = {
            error for file, base in impots.CONTRACTS for error in impots.errors(impots.contract(CONTRACTS / file, base))
        }
        assert len(told) >= 10
        for status, code in told:
            reading = said(status, erreur(int(code)))
            assert not isinstance(reading, Found) and reading.code == code, (status, code)
            assert getattr(reading, "cause", "") != "unexpected", (status, code)

    @pytest.mark.parametrize(
        "body",
        [
            {}, [], {"rfr": "12"}, {"rfr": 1.5}, {"rfr": 1 << 63}, {"sitFam": "X"}, {"nbPart": "2"}, {"pac": 2}, {"pac": {"nbPac": "2"}},
            {"nmNaiDec1": 3}, {"erreur": {"code": 4101}}, {"rfr": None, "aft": None},
        ],
    )  # fmt: skip
    def test_an_answer_outside_the_contract(self, body: object) -> None:
        """Other types, other words, nothing, or an error under a 200, are a failure, not data."""
        assert said(200, body) == Failure("", "schema")

    def test_its_media_types_are_known(self) -> None:
        """Each operation's own, or JSON; a page is no answer."""
        for media_type in (BY_NUMBER.media_type, BY_NAME.media_type + ";charset=utf-8", "application/json"):
            assert said(200, {"rfr": 1}, media_type=media_type) == Found({"rfr": 1})
        assert said(200, {"rfr": 1}, media_type="text/html") == Failure("", "content_type")

    @pytest.mark.parametrize(
        ("body", "good"),
        [
            ({"nmNaiDec1": "DELESTRADE", "prnmDec1": "NINA"}, True),
            ({"nmNaiDec1": "AUTRE", "prnmDec1": "PAUL", "nmNaiDec2": "DELESTRADE", "prnmDec2": "NINA JADE"}, True),
            ({"nmNaiDec1": "AUTRE", "nmUsaDec1": "DELESTRADE", "prnmDec1": "NINA"}, True),
            ({"nmNaiDec1": "DELESTRADE", "prnmDec1": "OLIVIER"}, False),
            ({"nmNaiDec1": "DELESTRADE", "prnmDec1": "PAUL", "nmNaiDec2": "AUTRE", "prnmDec2": "NINA"}, False),
            ({"nmNaiDec1": "AUTRE", "prnmDec1": "NINA"}, False),
            ({"prnmDec1": "OLIVIER"}, True),
            ({"nmNaiDec1": None, "nmNaiDec2": ""}, True),
        ],
    )
    def test_another_household_is_a_wrong_person(self, body: dict[str, Any], good: bool) -> None:
        """One of the two declarants is the one asked, by family and given name of the same one; without names nothing can be seen."""
        reading = said(200, {"rfr": 1} | body)
        assert isinstance(reading, Found) if good else reading == Failure("", "wrong_person")


async def test_the_connector_keeps_its_promises() -> None:
    """The conformance kit finds every promise kept: asked by civil status, the person seen; by number, where a name cannot be."""
    by_name, by_number = (load_cases(FAMILIES / operation.id) for operation in (BY_NAME, BY_NUMBER))

    def made(client: httpx.AsyncClient) -> Service:
        return Service("dgfip", {impots.NAME: RestApi(URL, TOKEN, client)})

    for cases, unseen in ((by_name, set()), (by_number, {"somebody_else"})):
        results = await examined(made, cases)
        assert {result.promise.name: result.seen for result in results if result.verdict == "failed"} == {}
        assert {result.promise.name for result in results if result.verdict == "skipped"} == unseen
