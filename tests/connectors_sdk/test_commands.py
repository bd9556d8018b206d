"""`accord connector`: new, test, health; what a State team sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.contract import Failure, Found, Reading, Retry
from connectors.sdk.declare import Answered, Asked, BadConnector, Connector
from connectors.sdk.scaffold import files
from connectors.sdk.state import BadAnswer, StateHttp
from exchange.bounded import TooLarge
from exchange.cli import app
from exchange.data_sets import DATA_SETS
from tests.world import JEANNE, PAUL, QUOTIENT, RECIPIENT

DATA_SET = "cnaf.quotient-familial.v1"
WRONG = """
from connectors.sdk.declare import Asked, Connector

c = Connector("cnaf")


@c.answers("cnaf.quotient-familial.v1")
async def answer(asked: Asked):
    said = await asked.get("/v3/dss/quotient_familial/identite", asked.query())
    return said.data()
"""


def accord(*words: str) -> tuple[int, list[dict[str, Any]]]:
    ran = CliRunner().invoke(app, ["connector", *words, "--json"], catch_exceptions=False)
    return ran.exit_code, [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


def test_a_new_connector_keeps_every_promise(tmp_path: Path) -> None:
    """Three commands away from nothing: its files are written, and pass the kit as they are."""
    folder = tmp_path / "cantine"
    code, (made,) = accord("new", str(folder))
    assert (code, made["folder"]) == (0, str(folder))
    assert {"connector.py", "test_cantine.py"} < set(made["files"])
    code, results = accord("test", str(folder / "connector.py"))
    assert (code, {result["verdict"] for result in results}) == (0, {"passed"})
    assert all(result["sentence"] and result["data_set"] == DATA_SET for result in results)


def test_a_wrong_connector_is_told_why(tmp_path: Path) -> None:
    """A connector that takes every answer for data fails, promise by promise, with exit code 3."""
    file = tmp_path / "wrong.py"
    file.write_text(WRONG, encoding="utf-8")
    code, results = accord("test", str(file))
    failed = {result["promise"] for result in results if result["verdict"] == "failed"}
    assert code == 3
    assert {"not_found", "refusal", "conflict_409", "too_many_429", "restart"} <= failed


@pytest.mark.parametrize(
    "words",
    [
        ["test", "nobody"],
        ["test", "absent.py"],
        ["new", "Majuscule"],
        ["new", "ici", "--data-set", "x.y.v1"],
        ["new", "ici", "--data-set", "insee.unite-legale.v1"],
        ["run", "nobody", "--token-file", __file__, "--kafka", "127.0.0.1:1", "--url", "http://127.0.0.1:1"],
    ],
)
def test_a_wrong_word_is_an_error_of_usage(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2 and nothing written."""
    monkeypatch.chdir(tmp_path)
    if words[0] == "run":
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "ledger.ready").write_text("{}", encoding="utf-8")
        words = [*words, "--data", str(tmp_path)]
    assert accord(*words)[0] == 2
    assert not (tmp_path / "ici").exists()


def test_health_is_read_where_connectors_write_it(tmp_path: Path) -> None:
    """One line for each provider, in the State's own shape."""
    seen = {
        "provider": "cnaf",
        "status": "maintenance",
        "last_update": "2026-11-22T08:00:00+00:00",
        "last_ok_status": None,
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cnaf.health.json").write_text(json.dumps(seen), encoding="utf-8")
    assert accord("health", "--data", str(tmp_path)) == (0, [seen])
    (finding,) = [one for one in doctor_of(tmp_path) if one["name"] == "providers"]
    assert (finding["ok"], finding["warning"], finding["seen"]) == (True, True, "cnaf maintenance")


def doctor_of(folder: Path) -> list[dict[str, Any]]:
    ran = CliRunner().invoke(app, ["doctor", "--json", "--data", str(folder)])
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize("data_set", [name for name in DATA_SETS if DATA_SETS[name].provider in ("cnaf", "cnous")])
def test_the_files_of_a_connector_are_of_its_data_set(data_set: str) -> None:
    """Whatever data set about a person is chosen, the function declared answers for it."""
    made = files("essai", data_set)
    namespace: dict[str, Any] = {"__name__": "essai"}
    exec(compile(made["connector.py"], "connector.py", "exec"), namespace)  # our own text
    connector = namespace["c"]
    assert isinstance(connector, Connector)
    assert list(connector.open("https://etat.exemple", "jeton").apis) == [data_set]


def test_a_connector_declares_what_is_there() -> None:
    """Not somebody else's data set, not one twice, not none, and no limit misspelt."""
    c = Connector("cnaf")
    with pytest.raises(BadConnector):
        c.open("https://etat.exemple", "")
    with pytest.raises(BadConnector):
        c.answers("insee.unite-legale.v1")
    with pytest.raises(ValueError, match="rate"):
        c.answers(DATA_SET, rate="20")
    with pytest.raises(ValueError, match="concurrency"):
        c.answers(DATA_SET, concurrency=0)
    declare = c.answers(DATA_SET)

    async def answer(asked: Asked) -> Answered:
        return dict(QUOTIENT)

    declare(answer)
    with pytest.raises(BadConnector):
        declare(answer)
    with pytest.raises(ValueError, match="https"):
        c.open("http://etat.exemple", "")


def raises(error: Exception) -> Any:
    async def answer(asked: Asked) -> Answered:
        raise error

    return answer


def returns(answered: Any) -> Any:
    async def answer(asked: Asked) -> Answered:
        return answered  # type: ignore[no-any-return]  # whatever a State team may write

    return answer


MARTIN = QUOTIENT | {
    "allocataires": [{"nom_naissance": "MARTIN", "nom_usage": None, "prenoms": "JEANNE", "date_naissance": "1980-01-02", "sexe": "F"}]
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (returns(dict(QUOTIENT)), Found(dict(QUOTIENT))),
        (returns(Found(MARTIN)), Found(MARTIN)),
        (returns(Retry("00015", 0)), Retry("00015", 0)),
        (returns({}), Failure("", "schema")),
        (returns({"conformance": 1}), Failure("", "schema")),
        (returns(None), Failure("", "garbage")),
        (returns("text"), Failure("", "garbage")),
        (returns({"allocataires": [1]}), Failure("", "schema")),
        (raises(TimeoutError()), Retry("", 0.0, "timeout")),
        (raises(TooLarge()), Failure("", "too_large")),
        (raises(BadAnswer()), Failure("", "garbage")),
        (raises(RuntimeError("MARTIN")), Failure("", "client")),
    ],
)
async def test_what_a_function_says_becomes_a_reading(function: Any, expected: Reading) -> None:
    """Data, a reading, or whatever it raises or returns wrongly: one word, and nothing of the person."""
    c = Connector("cnaf")
    c.answers(DATA_SET)(function)
    api = c.open("https://etat.exemple", "").apis[DATA_SET]
    assert await api.fetch(DATA_SET, JEANNE, RECIPIENT, {}) == expected
    assert await api.fetch(DATA_SET, JEANNE, RECIPIENT, {"spi": "1"}) == Failure("", "parameter")
    assert await api.fetch("x.y.v1", JEANNE, RECIPIENT, {}) == Failure("", "parameter")


async def test_an_answer_about_somebody_else_is_none() -> None:
    """Even where the function believes it."""
    c = Connector("cnaf")
    c.answers(DATA_SET)(returns(MARTIN))
    api = c.open("https://etat.exemple", "").apis[DATA_SET]
    assert await api.fetch(DATA_SET, PAUL, RECIPIENT, {}) == Failure("", "wrong_person")


async def test_a_ping_is_asked_of_the_same_state() -> None:
    """The status function gets the State API its functions call."""
    c, seen = Connector("cnaf"), list[StateHttp]()
    c.answers(DATA_SET)(returns({}))

    @c.status
    async def ping(state: StateHttp) -> bool:
        seen.append(state)
        return True

    service = c.open("https://etat.exemple", "")
    assert service.ping is not None and await service.ping()
    assert len(seen) == 1
    await service.close()
