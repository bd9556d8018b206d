from __future__ import annotations

import asyncio
import json
import logging
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateApi, StateRefusal
from connectors.core.call import call
from connectors.core.cases import QUOTIENT_FAMILIAL, Case, parse
from connectors.core.description import PLACEHOLDER
from connectors.rest.api import BODY_MAX_BYTES, RestApi
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, INCIDENTS, ROUTES, Incident, Sandbox, load_cases, somebody_else
from exchange.clock import SystemClock

SIRET = "13002526500013"
TOKEN = "jeton-de-test"
QF = "cnaf.quotient-familial.v1"
PATH = ROUTES[QUOTIENT_FAMILIAL]
WIDTHS = (("annee", 4), ("mois", 2), ("jour", 2))
TLS = ssl.create_default_context()
STATE = Path(__file__).parents[3] / "shared" / "state-api-cases"
state_only = pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")

OURS = {case.name: case for case in load_cases(FAMILIES / QUOTIENT_FAMILIAL)}
COUPLE = OURS["01-couple-deux-enfants"]
STATE_FOLDERS = sorted(path for path in STATE.iterdir() if path.is_dir()) if STATE.is_dir() else []
STATE_QF = load_cases(STATE / QUOTIENT_FAMILIAL) if STATE.is_dir() else []


@dataclass(frozen=True)
class Person:
    nom_naissance: str
    nom_usage: str
    prenoms: tuple[str, ...]
    date_naissance: str
    sexe_etat_civil: str
    code_cog_insee_pays_naissance: str
    code_cog_insee_commune_naissance: str
    nom_commune_naissance: str
    code_cog_insee_departement_naissance: str
    numero_fiscal: str = ""
    ine: str = ""
    identifiant_france_travail: str = ""
    siret: str = ""


def query(identity: Person, recipient: str, parameters: dict[str, str]) -> list[tuple[str, str]]:
    return call(descriptions()[QF], identity, recipient, parameters).query


def person_of(case: Case) -> Person:
    def one(name: str) -> str:
        return case.params.get(name, ("",))[0]

    date = "-".join(one(f"{part}DateNaissance").zfill(width) for part, width in WIDTHS)
    return Person(
        one("nomNaissance"), one("nomUsage"), case.params["prenoms"], date, one("sexeEtatCivil").upper(),
        one("codeCogInseePaysNaissance"), one("codeCogInseeCommuneNaissance").upper(), one("nomCommuneNaissance"),
        one("codeCogInseeDepartementNaissance"),
    )  # fmt: skip


def ask(url: str, identity: Person, parameters: Mapping[str, str] | None = None, **settings: Any) -> Reading:
    async def once() -> Reading:
        async with httpx.AsyncClient(timeout=None, trust_env=False, verify=TLS) as client:
            api: StateApi = RestApi(url, TOKEN, client, **settings)
            return await api.fetch(QF, identity, SIRET, parameters or {})

    return asyncio.run(once())


def get(url: str, pairs: Any, path: str = PATH, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {TOKEN}"} | headers
    return httpx.get(url + path, params=pairs, headers=sent, verify=TLS, trust_env=False)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(list(OURS.values()), token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def calm() -> Iterator[Sandbox]:
    with Sandbox([*OURS.values(), *STATE_QF], token=TOKEN) as server:
        yield server


@pytest.mark.parametrize("name", [name for name, case in OURS.items() if case.status == 200 and not case.before])
def test_our_families_are_found(calm: Sandbox, name: str) -> None:
    """Each fictitious family is found by its identity, as its file tells it."""
    case = OURS[name]
    parameters = {key: case.params[key][0] for key in ("annee", "mois") if key in case.params}
    assert ask(calm.url, person_of(case), parameters) == Found(json.loads(case.payload)["data"])


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("13-non-reference-35003", NotFound("35003", "Allocataire non référencé")),
        ("14-absent-cnaf-23003", NotFound("23003", "Dossier allocataire absent CNAF")),
        ("15-absent-msa-10003", NotFound("10003", "Dossier allocataire absent MSA")),
        ("16-non-identifiable-00355", StateRefusal("00355", "Impossible d'identifier l'allocataire")),
        ("18-trop-de-requetes-00429", Retry("00429", 1.0)),
        ("19-reponse-inconnue-37999", Retry("37999", 0.0)),
        ("20-hors-delai-37002", Retry("37002", 0.0)),
    ],
)
def test_our_refusals(calm: Sandbox, name: str, reading: Reading) -> None:
    """Each refusal of ours is read as what it means."""
    assert ask(calm.url, person_of(OURS[name])) == reading


def test_passing_conflict(sandbox: Sandbox) -> None:
    """A case may begin with 409s and answer the third time."""
    readings = [ask(sandbox.url, person_of(OURS["17-conflit-passager"])) for _ in range(3)]
    assert readings[:2] == [Retry("00015", 0.0)] * 2
    assert isinstance(readings[2], Found)


def test_past_month_is_asked_or_not(calm: Sandbox) -> None:
    """The quotient of a past month is another answer, given only to who asks that month."""
    person = person_of(COUPLE)
    values = [ask(calm.url, person, parameters) for parameters in ({}, {"annee": "2025", "mois": "03"})]
    assert [found.data["quotient_familial"]["valeur"] for found in values if isinstance(found, Found)] == [742, 688]


@state_only
@pytest.mark.parametrize("case", STATE_QF, ids=lambda case: case.name)
def test_state_cases_through_http(calm: Sandbox, case: Case) -> None:
    """Each case of the State's own sandbox (13 found, 3 not) gives its answer over HTTP."""
    assert len(STATE_QF) == 16
    reading = ask(calm.url, person_of(case))
    if case.status == 200:
        assert reading == Found(json.loads(case.payload)["data"])
    else:
        assert reading == NotFound("37003", "Dossier allocataire absent CNAV")


@state_only
@pytest.mark.parametrize("folder", STATE_FOLDERS, ids=lambda folder: folder.name)
def test_state_folders_load(folder: Path) -> None:
    """Every folder of the State's sandbox loads: one case per YAML file."""
    files = [file for file in folder.iterdir() if file.suffix in (".yaml", ".yml")]
    assert [case.name for case in load_cases(folder)] == [file.stem for file in sorted(files)]


@state_only
def test_state_operations_are_served() -> None:
    """Loaded together, the State's folders answer on their own routes."""
    cases = load_cases(STATE)
    with Sandbox(cases) as server:
        for case in cases:
            if case.operation in ROUTES:
                pairs = {f"{key}[]" if key == "prenoms" else key: items for key, items in case.params.items()}
                ours = {"recipient": (SIRET,), "context": ("marchés publics",), "object": ("2026-17",)}
                path = PLACEHOLDER.sub(lambda found: pairs.pop(found[1])[0], ROUTES[case.operation])  # noqa: B023  # called here
                answer = get(server.url, pairs | ours, path)
                assert answer.status_code == case.status, case.name


def test_wrong_person(sandbox: Sandbox) -> None:
    """An answer about somebody else is never handed on."""
    sandbox.control.script(somebody_else(OURS["02-mere-seule-msa"]))
    assert ask(sandbox.url, person_of(COUPLE)) == Failure("", "wrong_person")


@state_only
def test_states_own_wrong_person() -> None:
    """The State's FranceConnect cases hold an answer about another person than the one asked: it is refused."""
    cases = load_cases(STATE / QUOTIENT_FAMILIAL.replace("civility", "france_connect"))
    case = next(case for case in cases if case.name == "fake_france_connect_cnaf_2")
    with Sandbox([replace(case, operation=QUOTIENT_FAMILIAL)], token=TOKEN) as server:
        assert ask(server.url, person_of(case)) == Failure("", "wrong_person")


@pytest.mark.parametrize(
    ("incident", "reading"),
    [
        (INCIDENTS["409"], Retry("00015", 0.0)),
        (INCIDENTS["504"], Retry("37002", 0.0)),
        (INCIDENTS["coupure"], Retry("", 0.0, "network")),
        (INCIDENTS["illisible"], Failure("", "garbage")),
        (INCIDENTS["html"], Failure("", "content_type")),
        (Incident(302, headers={"location": "http://127.0.0.1:9/?nomNaissance=X"}), Failure("", "redirect")),
        (Incident(200, b" " * (BODY_MAX_BYTES + 1)), Failure("", "too_large")),
    ],
)
def test_incidents(sandbox: Sandbox, incident: Incident, reading: Reading) -> None:
    """What a network or a State may do wrong is a reading, and the next call is answered."""
    sandbox.control.script(incident, case=COUPLE)
    assert ask(sandbox.url, person_of(COUPLE)) == reading
    assert isinstance(ask(sandbox.url, person_of(COUPLE)), Found)


def test_slow_state_and_short_timeout(sandbox: Sandbox) -> None:
    """A State slower than our time limit is to be asked again, even over a client that would wait for ever."""
    release = threading.Event()
    sandbox.control.script(Incident(504, b"", hold=release))
    assert ask(sandbox.url, person_of(COUPLE), timeout_s=0.2) == Retry("", 0.0, "timeout")
    release.set()


def test_no_server() -> None:
    """A closed port is a network trouble, to be tried again."""
    with Sandbox([]) as server:
        url = server.url
    assert ask(url, person_of(COUPLE)) == Retry("", 0.0, "network")


def test_identical_concurrent_call(sandbox: Sandbox) -> None:
    """While a call is in progress the same call gets 409 00015, another person's does not."""
    release, readings = threading.Event(), []
    sandbox.control.script(Incident(hold=release), case=COUPLE)
    first = threading.Thread(target=lambda: readings.append(ask(sandbox.url, person_of(COUPLE))))
    first.start()
    until(lambda: bool(sandbox.control.in_progress))
    assert ask(sandbox.url, person_of(COUPLE)) == Retry("00015", 0.0)
    assert isinstance(ask(sandbox.url, person_of(OURS["03-sans-enfant"])), Found)
    release.set()
    first.join(10)
    assert isinstance(readings[0], Found)
    assert isinstance(ask(sandbox.url, person_of(COUPLE)), Found)


class Stopped(SystemClock):
    def now_ms(self) -> int:
        return 1_790_000_000_000


def test_rate_limit() -> None:
    """Beyond the limit in one second a token gets 429 with the State's headers; another token does not."""
    pairs = query(person_of(COUPLE), SIRET, {})
    with Sandbox([COUPLE], rate_per_s=2, clock=Stopped()) as server:
        answers = [get(server.url, pairs) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[2].json()["errors"][0]["code"] == "00429"
        assert (answers[2].headers["ratelimit-reset"], answers[2].headers["retry-after"]) == ("1790000001", "1")
        assert get(server.url, pairs, authorization="Bearer autre").status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"recipient": ""}, 422, "00203"),
        ({"recipient": "13002526500014"}, 422, "00210"),
        ({"nomNaissance": ""}, 422, "00361"),
        ({"prenoms[]": ""}, 422, "00367"),
        ({"moisDateNaissance": "0"}, 422, "00363"),
        ({"anneeDateNaissance": "1987", "moisDateNaissance": "2", "jourDateNaissance": "29"}, 422, "00363"),
        ({"sexeEtatCivil": ""}, 422, "00427"),
        ({"codeCogInseePaysNaissance": "FR"}, 422, "00400"),
        ({"codeCogInseeCommuneNaissance": "20004"}, 422, "00365"),
        ({"codeCogInseeCommuneNaissance": "", "nomCommuneNaissance": "Rennes"}, 422, "00428"),
        ({"nomNaissance": "INCONNUE"}, 404, "35003"),
        ({"jourDateNaissance": "13"}, 404, "35003"),
        ({}, 200, ""),
        ({"nomNaissance": "trevarin"}, 200, ""),
        ({"prenoms[]": "MAE\u0308LLE"}, 200, ""),
        ({"nomUsage": "OSTREVANT"}, 200, ""),
    ],
)
def test_parameters_by_the_contract(calm: Sandbox, change: dict[str, str], status: int, code: str) -> None:
    """The sandbox refuses what the State refuses, with its codes, and compares as the State compares."""
    pairs = [*(dict(query(person_of(COUPLE), SIRET, {})) | change).items()]
    answer = get(calm.url, [(name, value) for name, value in pairs if value])
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/vnd.api+json")
    assert status == 200 or answer.json()["errors"][0]["code"] == code


def test_token_is_required(calm: Sandbox) -> None:
    """No token or another's is 401 00101, whatever is asked."""
    for token in ("", "Bearer autre", "Basic x"):
        answer = get(calm.url, query(person_of(COUPLE), SIRET, {}), authorization=token)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "00101")


def test_cache_header(sandbox: Sandbox) -> None:
    """The second answer says it is cached; ``no-cache`` has it fetched again."""
    pairs = query(person_of(COUPLE), SIRET, {})
    more_headers: list[dict[str, str]] = [{}, {}, {"cache-control": "no-cache"}]
    cached = [get(sandbox.url, pairs, **more) for more in more_headers]
    assert [answer.headers["x-response-cached"] for answer in cached] == ["false", "true", "false"]


def test_fewer_scopes(sandbox: Sandbox) -> None:
    """A token of fewer scopes gets fewer root keys, over HTTP too."""
    sandbox.control.hidden = frozenset(("adresse", "enfants"))
    reading = ask(sandbox.url, person_of(COUPLE))
    assert isinstance(reading, Found)
    assert reading.data.keys() == {"quotient_familial", "allocataires"}


def test_extra_parameter_makes_no_call(sandbox: Sandbox) -> None:
    """An ask with a parameter outside its data set never reaches the State."""
    assert ask(sandbox.url, person_of(COUPLE), {"nomNaissance": "AUTRE"}) == Failure("", "parameter")
    assert sandbox.control.calls == []


def test_call_log_names_nobody(sandbox: Sandbox) -> None:
    """The log tells operation, recipient and status of each call, one hash per query, and no civil status."""
    for case in (COUPLE, COUPLE, OURS["13-non-reference-35003"]):
        ask(sandbox.url, person_of(case))
    first, second, third = sandbox.control.calls
    assert first == second != third
    assert (third.operation, third.recipient, third.status) == (QUOTIENT_FAMILIAL, SIRET, 404)
    assert not any(word in str(sandbox.control.calls).casefold() for word in ("trevarin", "maëlle", "1988", "35238"))


def test_no_query_in_any_log(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, no log of httpx, httpcore or ours holds the person or the token."""
    for name in ("", "httpx", "httpcore", "httpcore.http11", "httpcore.connection", "uvicorn", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    elsewhere = {"location": f"{sandbox.url}/?nomNaissance=TREVARIN"}
    sandbox.control.script(Incident(302, headers=elsewhere), INCIDENTS["coupure"])
    for _ in range(3):
        ask(sandbox.url, person_of(COUPLE))
    logging.getLogger("connectors.test").warning("the log is read")
    assert "the log is read" in caplog.text
    assert not any(word in caplog.text.casefold() for word in ("trevarin", "1988", "35238", TOKEN))


def test_unencodable_identity_never_raises(sandbox: Sandbox) -> None:
    """An identity that cannot be put on the wire is a failure that repeats nothing."""
    assert ask(sandbox.url, replace(person_of(COUPLE), nom_naissance="\ud800")) == Failure("", "client")


def test_own_client(sandbox: Sandbox) -> None:
    """Given no client, the connector makes its own."""

    async def once() -> Reading:
        api = RestApi(sandbox.url, TOKEN)
        reading = await api.fetch(QF, person_of(COUPLE), SIRET, {})
        await api.close()
        return reading

    assert isinstance(asyncio.run(once()), Found)


def test_plain_http_only_on_the_loopback() -> None:
    """A civil status never leaves in clear: any other http address is refused at once."""
    for url in ("http://particulier.api.gouv.fr", "ftp://127.0.0.1", "127.0.0.1:80"):
        with pytest.raises(ValueError, match="https"):
            RestApi(url, TOKEN)


GOOD = {"params": {"nomNaissance": "X"}, "status": 200, "payload": "{}"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (json.dumps(GOOD | {"params": None}), "params"),
        (json.dumps(GOOD | {"status": "200"}), "status"),
        (json.dumps(GOOD | {"payload": "{"}), "payload"),
        (json.dumps(GOOD | {"before": ["panne"]}), "before"),
        ("params: [\nSECRET: }", "not a YAML document"),
    ],
)
def test_a_bad_case_names_its_file(tmp_path: Path, text: str, says: str) -> None:
    """A file that is not a case is one error with its name and what is wrong, not its content."""
    (tmp_path / "cas.yaml").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"cas.yaml: {says}") as error:
        load_cases(tmp_path)
    assert "SECRET" not in str(error.value)


def test_unknown_folder_is_quotient_familial(tmp_path: Path) -> None:
    """A folder of any other name holds quotient familial cases; what is not YAML is passed over."""
    (tmp_path / "summary.csv").write_text("x")
    (tmp_path / "cas.yaml").write_text(json.dumps(GOOD), "utf-8")
    assert [case.operation for case in load_cases(tmp_path)] == [QUOTIENT_FAMILIAL]
    assert parse("api_entreprise_v4_insee_etablissements_diffusables", "x", GOOD).operation not in ROUTES


def test_sigterm_is_a_clean_stop() -> None:
    """Served alone, the sandbox announces its address, answers, and SIGTERM ends it with status 0."""
    code = "from connectors.sandbox import *\nSandbox(load_cases(FAMILIES)).serve(lambda url: print(url, flush=True))"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stdout is not None
        assert isinstance(ask(process.stdout.readline().strip(), person_of(COUPLE)), Found)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout and process.stdout.close()
