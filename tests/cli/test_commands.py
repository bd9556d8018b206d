"""The commands as a person or a program runs them, each in its own process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from connectors.rest.descriptions import parts_of
from connectors.sandbox import FAMILIES, load_cases
from consent.issuers import DECLARED, write_issuers
from exchange.cli.dev import clear
from exchange.embedded import jars
from exchange.places import Places
from exchange.settings import RECIPIENT
from portal.identity.accounts import read_account, read_directory
from portal.identity.people import people
from tests.portal.identity.signing_in import access_token
from tests.running import left_behind, running

STATE_CASES = Path("../shared/state-api-cases/api_particulier_v3_cnav_quotient_familial_with_civility")
EVERY_STATE_CASE = Path("../shared/state-api-cases")
STORY = [
    "broker_ready", "request_without_consent", "consent_given", "request_with_consent", "receipt_verified", "withdrawn_in_flight",
    "request_after_withdrawal", "dpo_query", "ledger_verified",
]  # fmt: skip


def accord(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "exchange.cli", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env=os.environ | env, timeout=200, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestDemo:
    """`accord demo` tells the story on a real broker."""

    @pytest.mark.skipif(not STATE_CASES.exists(), reason="the State's cases (../shared) are not here")
    def test_story_and_state_cases(self, tmp_path: Path) -> None:
        """Each step goes as told, each of the State's cases ends as the State says, data unchanged; nothing is left running."""
        done = accord("demo", "--json", "--data", str(tmp_path), "--cases", str(STATE_CASES))
        told = lines(done)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line["step"] for line in told if line["step"] != "case"] == STORY
        cases = {line["case"]: line for line in told if line["step"] == "case"}
        assert set(cases) == {path.name for path in STATE_CASES.glob("*.yaml")}
        for path in STATE_CASES.glob("*.yaml"):
            expected = json.loads(_payload(path))
            line = cases[path.name]
            assert (line["data"], line["outcome"]) == (
                (expected["data"], "released") if line["status"] == 200 else (None, "not_found")
            )
            assert line["code"] == (None if line["status"] == 200 else expected["errors"][0]["code"])
        assert left_behind(tmp_path) == []

    @pytest.mark.skipif(not EVERY_STATE_CASE.exists(), reason="the State's cases (../shared) are not here")
    @pytest.mark.parametrize("data_set", ["insee.etablissement.v1", "marche-public.candidature.v1"])
    def test_the_states_cases_of_a_data_set(
        self, data_set: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Each of the State's own cases of a data set about companies goes as told on a real broker; how many is said."""
        words = ("--dataset", data_set, "--cases", str(EVERY_STATE_CASE))
        done = accord("demo", "--json", "--data", str(tmp_path), *words)
        told = lines(done)
        assert done.returncode == 0, done.stdout + done.stderr
        (counted,) = [line for line in told if line["step"] == "cases_counted"]
        assert counted["passed"] == counted["cases"] == [line["step"] for line in told].count("case") > 1
        operations = [operation.id for part in parts_of(data_set).values() for operation in part.operations]
        named = {line["case"] for line in told if line["step"] == "case"}
        assert named <= {path.name for each in operations for path in (EVERY_STATE_CASE / each).glob("*.yaml")}
        with capsys.disabled():
            print(f"\n{data_set}: {counted['passed']}/{counted['cases']} cas de l'État, broker embarqué", end="")
        assert left_behind(tmp_path) == []

    def test_our_candidatures(self, tmp_path: Path) -> None:
        """Our own companies, one of which Urssaf asks two days for: each part as its case tells, the whole failed where one part is."""
        done = accord("demo", "--json", "--data", str(tmp_path), "--dataset", "marche-public.candidature.v1")
        assert done.returncode == 0, done.stdout + done.stderr
        told = [line for line in lines(done) if line["step"] == "case"]
        assert {line["outcome"] for line in told} == {"released", "not_found", "refused", "failed"}
        assert {line["code"] for line in told if line["outcome"] == "failed"} == {"04501"}

    def test_story_in_words(self, tmp_path: Path) -> None:
        """Without --json the story is told in the language of the locale, withdrawn answers shown unopenable."""
        done = accord("demo", "--data", str(tmp_path), LC_ALL="en_GB.UTF-8")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Everything went as told." in done.stdout
        assert "nobody can open it any more" in done.stdout
        assert left_behind(tmp_path) == []

    def test_nothing_personal_at_rest(self, tmp_path: Path) -> None:
        """After the story no name of the family lies in clear in any file: topics, ledger, logs, traces."""
        assert accord("demo", "--json", "--data", str(tmp_path)).returncode == 0
        words = [word.encode() for word in ("TREVARIN", "OSTREVANT", "MAËLLE", "TILLEULS")]
        found = {
            (path.name, word)
            for path in tmp_path.rglob("*")
            if path.is_file()
            for word in words
            if word in path.read_bytes()
        }
        assert found == set()
        traces = [
            json.loads(line) for path in (tmp_path / "traces").glob("*.jsonl") for line in path.read_text().splitlines()
        ]
        by_trace: dict[str, set[str]] = {}
        for span in traces:
            by_trace.setdefault(span["context"]["trace_id"], set()).add(span["name"])
        assert {"request", "gate", "connector", "release"} in by_trace.values()


def _payload(path: Path) -> str:
    import yaml

    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["payload"])


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("dev")
    with running(folder, "--no-seed") as ready:
        yield folder, ready


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started meanwhile hears Ctrl-C, also where whoever runs the tests ignores it (a shell's background)."""
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


class TestDev:
    """`accord dev` keeps a bus up; the other commands use it."""

    def test_ready(self, dev: tuple[Path, dict[str, Any]]) -> None:
        """One object says how to reach it, and the portal answers there."""
        folder, ready = dev
        portal = ready["portal"]
        parts = {"api": f"{portal}/v1", "console": f"{portal}/console", "data": str(folder)}
        parts |= {"demarche": ready["demarche"], "facade": ready["facade"]}
        assert httpx.get(ready["demarche"]).status_code == 200
        assert ready == {"kafka": ready["kafka"], "state_api": ready["state_api"], "portal": portal, **parts}
        assert httpx.get(f"{portal}/healthz").text == "ok\n"
        assert ready["kafka"].startswith("127.0.0.1:")

    def test_facade(self, dev: tuple[Path, dict[str, Any]]) -> None:
        """It is up, asks for its token, and asks the identity provider whose a person's is."""
        facade, dss = dev[1]["facade"], "/v3/dss/quotient_familial"
        assert httpx.get(f"{facade}{dss}/identite").json()["errors"][0]["code"] == "00101"
        bearer, recipient = {"authorization": "Bearer inconnu"}, {"recipient": RECIPIENT}
        told = httpx.get(f"{facade}{dss}/france_connect", params=recipient, headers=bearer)
        assert (told.status_code, told.json()["errors"][0]["code"]) == (401, "50002")

    def test_facade_by_franceconnect(self, dev: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        """Somebody logs in with the collectivity, agrees, and their access token alone asks for their quotient familial."""
        folder, ready = dev
        person = tmp_path / "person.json"
        person.write_text(json.dumps(_family()), encoding="utf-8")
        given = accord("consent", "give", "--identity", str(person), "--data", str(folder), "--json")
        assert given.returncode == 0, given.stderr
        root = folder / "collectivities" / RECIPIENT
        account = read_account(root, next(one for one in read_directory(root).clients if one.kind == "citizen"))
        who = next(p.id for p in people(load_cases(FAMILIES)).citizens if p.claims["family_name"] == "TREVARIN")

        async def token() -> str:
            async with httpx.AsyncClient() as http:
                return await access_token(http, account.client.issuer, account.client.client_id, account.secret, who)

        bearer = {"authorization": f"Bearer {asyncio.run(token())}"}
        at = f"{ready['facade']}/v3/dss/quotient_familial/france_connect"
        told = httpx.get(at, params={"recipient": RECIPIENT}, headers=bearer, timeout=30)
        assert told.status_code == 200 and told.json()["data"]["quotient_familial"]["valeur"] == 742

    def test_give_request_withdraw(self, dev: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        """Agree, ask, withdraw, ask again, from the command line: 0, 0, 0, then 3 with the reason."""
        folder, _ = dev
        person = tmp_path / "person.json"
        person.write_text(json.dumps(_family()), encoding="utf-8")
        where = ("--data", str(folder), "--json")
        given = accord("consent", "give", "--identity", str(person), *where)
        assert given.returncode == 0, given.stderr
        consent = lines(given)[0]["consent"]
        asked = accord("request", "cnaf.quotient-familial.v1", "--consent", consent, *where)
        assert asked.returncode == 0, asked.stdout + asked.stderr
        assert lines(asked)[0]["data"]["quotient_familial"]["valeur"] == 742
        withdrawn = accord("consent", "withdraw", consent, *where)
        assert (withdrawn.returncode, lines(withdrawn)[0]["named"]) == (0, [])
        again = accord("request", "cnaf.quotient-familial.v1", "--consent", consent, *where)
        assert (again.returncode, lines(again)[0]["error"]) == (3, "withdrawn")
        shown = lines(accord("consent", "show", consent, *where))[0]
        assert [entry["kind"] for entry in shown["entries"]] == ["given", "released", "withdrawn", "refused"]

    def test_a_watch(self, dev: tuple[Path, dict[str, Any]], tmp_path: Path, interruptible: None) -> None:
        """The first answer is told with the watch's name, and the command stays until it is interrupted; without an agreement to it, refused."""
        folder, _ = dev
        person, where = tmp_path / "person.json", ("--data", str(folder), "--json")
        person.write_text(json.dumps(_family()), encoding="utf-8")
        ask = ("request", "cnaf.quotient-familial.v1", "--watch", "1", "--consent")
        plain = lines(accord("consent", "give", "--identity", str(person), *where))[0]["consent"]
        told = accord(*ask, plain, *where)
        assert (told.returncode, lines(told)[0]["error"]) == (3, "watch_exceeded")
        given = lines(accord("consent", "give", "--identity", str(person), "--watch", "1", *where))[0]["consent"]
        argv = [sys.executable, "-m", "exchange.cli", *ask, given, *where]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                first = json.loads(process.stdout.readline())
                assert (first["data"]["quotient_familial"]["valeur"], first["number"]) == (742, 0)
                assert given in first["watch"]
                assert process.poll() is None
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 130
            finally:
                process.kill()

    def test_a_preview(self, dev: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        """Where the person is asked first: the request says that it waits for them (4), an agent records their no, then their yes."""
        folder, _ = dev
        person, data_set, where = (
            tmp_path / "student.json",
            "cnous.etudiant-boursier.v2",
            ("--data", str(folder), "--json"),
        )
        person.write_text(json.dumps(_student()), encoding="utf-8")
        given = accord("consent", "give", "--identity", str(person), "--dataset", data_set, *where)
        consent = lines(given)[0]["consent"]
        for option, word in (("--reject", "preview_rejected"), ("--accept", "preview_accepted")):
            asked = accord("request", data_set, "--consent", consent, "--timeout", "10", *where)
            assert (asked.returncode, lines(asked)[0]["error"]) == (4, "preview_pending")
            (waiting,) = lines(accord("consent", "preview", consent, *where))
            by = ("--channel", "phone", "--agent", "agent-7")
            said = accord("consent", "preview", consent, option, waiting["request"], *by, *where)
            assert (said.returncode, lines(said)[0]["outcome"]) == (0, word)
            again = accord("consent", "preview", consent, option, waiting["request"], *by, *where)
            assert (again.returncode, lines(again)[0]["error"]) == (3, "nothing_waits")
        assert accord("consent", "preview", consent, *where).stdout == ""
        for _ in range(60):
            kinds = [entry["kind"] for entry in lines(accord("consent", "show", consent, *where))[0]["entries"]]
            if "released" in kinds:
                break
        assert kinds == ["given", "preview_rejected", "refused", "preview_accepted", "released"]

    def test_a_rule(self, dev: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        """Sign a shipped rule, agree to its answer, ask: the answer and nothing of the datum; the datum is refused; another bus's rule too."""
        folder, _ = dev
        person, rule, where = tmp_path / "person.json", tmp_path / "qf.rule", ("--data", str(folder), "--json")
        person.write_text(json.dumps(_family()), encoding="utf-8")
        (signed,) = lines(accord("rule", "sign", "quotient-familial-650", "--output", str(rule), *where))
        (checked,) = lines(accord("rule", "check", str(rule), *where))
        (shown,) = lines(accord("rule", "show", str(rule), "--json"))
        assert signed["hash"] == checked["hash"] == shown["hash"] and checked["signed"] is True
        assert shown["computed"] == "quotient_familial.valeur <= 650" and shown["answers"] == [
            "true",
            "false",
            "unknown",
        ]
        given = accord("consent", "give", "--identity", str(person), "--rule", str(rule), *where)
        consent, ask = lines(given)[0]["consent"], ("request", "cnaf.quotient-familial.v1", "--consent")
        (asked,) = lines(accord(*ask, consent, "--rule", str(rule), *where))
        assert (asked["result"], asked["rule"], asked["data"]) == (False, signed["hash"], None)
        assert not re.search(r"\b742\b", json.dumps(asked))
        said = accord(*ask, consent, "--rule", str(rule), "--data", str(folder), LC_ALL="fr_FR.UTF-8")
        assert (said.returncode, said.stdout.strip()) == (0, "non")
        datum = accord(*ask, consent, "--scope", "cnaf_quotient_familial", *where)
        assert (datum.returncode, lines(datum)[0]["error"]) == (3, "rule_mismatch")
        rule.write_text(rule.read_text(encoding="utf-8").replace("650", "651"), encoding="utf-8")
        for command in (
            ("rule", "check", str(rule)),
            ("consent", "give", "--identity", str(person), "--rule", str(rule)),
        ):
            done = accord(*command, *where)
            assert (done.returncode, lines(done)[0]["error"]) == (3, "rule_invalid")

    def test_not_found(self, dev: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
        """A person the State does not know: `not_found`, with the State's code."""
        folder, _ = dev
        person = tmp_path / "person.json"
        person.write_text(json.dumps(_family() | {"nomNaissance": "INCONNUE"}), encoding="utf-8")
        where = ("--data", str(folder), "--json")
        consent = lines(accord("consent", "give", "--identity", str(person), *where))[0]["consent"]
        asked = lines(accord("request", "cnaf.quotient-familial.v1", "--consent", consent, *where))[0]
        assert (asked["outcome"], asked["code"]) == ("not_found", "35003")

    def test_ledger_and_topics(self, dev: tuple[Path, dict[str, Any]]) -> None:
        """The running ledger verifies; topics are there already; an operator more gets its own."""
        folder, _ = dev
        where = ("--data", str(folder), "--json")
        assert lines(accord("ledger", "verify", *where))[0]["ok"] is True
        assert lines(accord("topics", "apply", *where)) == [{"created": []}]
        assert lines(accord("topics", "apply", "--operator", "213105554", *where)) == [
            {"created": ["outcomes.213105554.v1", "requests.213105554.v1"]}
        ]

    def test_restarted(self, dev: tuple[Path, dict[str, Any]]) -> None:
        """A process of the bus that dies is started again."""
        folder, _ = dev
        ready = folder / "run" / "connector-cnaf.ready"
        victim = json.loads(ready.read_text())["pid"]
        ready.unlink()
        os.kill(victim, signal.SIGKILL)
        deadline_s = monotonic() + 60
        while not ready.exists():
            assert monotonic() < deadline_s
            sleep(0.1)

    def test_second_instance(self, dev: tuple[Path, dict[str, Any]]) -> None:
        """A second bus on the same data is one clear error, and the first goes on."""
        folder, _ = dev
        second = accord("dev", "--json", "--data", str(folder))
        assert (second.returncode, lines(second)[0]["error"]) == (4, "data_in_use")
        assert lines(accord("ledger", "verify", "--data", str(folder), "--json"))[0]["ok"] is True


class TestKept:
    """Data are kept between runs."""

    def test_agreement_of_an_earlier_run(self, tmp_path: Path) -> None:
        """An agreement given in one run, whose broker still had a jar to fetch, serves in the next."""
        person = tmp_path / "person.json"
        person.write_text(json.dumps(_family()), encoding="utf-8")
        where = ("--data", str(tmp_path / "bus"), "--json")
        cache = tmp_path / "cache" / "kafka-4.3.0"
        cache.mkdir(parents=True)
        for jar in jars.kafka_cache().glob("*.jar"):
            if not jar.name.startswith("argparse4j"):
                shutil.copy2(jar, cache)
        with running(tmp_path / "bus", "--no-seed", ACCORD_CACHE=str(tmp_path / "cache")):
            consent = lines(accord("consent", "give", "--identity", str(person), *where))[0]["consent"]
        with running(tmp_path / "bus", "--no-seed"):
            assert accord("request", "cnaf.quotient-familial.v1", "--consent", consent, *where).returncode == 0

    def test_reset(self, tmp_path: Path) -> None:
        """`--reset` removes what is the bus's in the folder, and nothing else."""
        for part in ("ledger/ledger.db", "broker/meta", "trust.json", "mine.txt"):
            (tmp_path / part).parent.mkdir(exist_ok=True)
            (tmp_path / part).touch()
        clear(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class TestLedgerAlone:
    """The ledger does not know Kafka."""

    def test_withdrawal_without_kafka(self, tmp_path: Path) -> None:
        """With no broker anywhere an agreement is recorded, withdrawn and proven; a second ledger on the same store is refused."""
        person = tmp_path / "person.json"
        person.write_text(json.dumps(_family()), encoding="utf-8")
        where = ("--data", str(tmp_path / "bus"), "--json")
        write_issuers(Places(tmp_path / "bus").issuers, DECLARED)
        argv = [sys.executable, "-m", "exchange.cli", "ledger", "run", *where]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"ready": "ledger"}
        assert accord("ledger", "introduce", *where).returncode == 0
        consent = lines(accord("consent", "give", "--identity", str(person), *where))[0]["consent"]
        withdrawn = accord("consent", "withdraw", consent, *where)
        assert (withdrawn.returncode, lines(withdrawn)[0]["outcome"]) == (0, "withdrawn")
        second = accord("ledger", "run", *where)
        assert (second.returncode, lines(second)[0]["error"]) == (4, "data_in_use")
        assert lines(accord("ledger", "verify", *where))[0]["ok"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert lines(accord("ledger", "verify", *where))[0]["ok"] is True


class TestErrors:
    """What / why / do this, with the right exit code, and never a stack trace."""

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("request", "cnaf.quotient-familial.v1", "--consent", "00" * 16), 4, "unavailable"),
            (("consent", "withdraw", "00" * 16), 4, "unavailable"),
            (("ledger", "verify"), 4, "no_ledger"),
        ],
    )
    def test_no_bus(self, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
        """Without a bus every command says so and leaves with 4."""
        done = accord(*arguments, "--data", str(tmp_path), "--json")
        assert (done.returncode, lines(done)[0]["error"]) == (code, said)
        assert "Traceback" not in done.stdout + done.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ("nonsense",),
            ("consent", "withdraw", "not-an-id"),
            ("worker", "--roles", "emperor"),
            ("sandbox", "--cases", "/nowhere"),
            ("demo", "--cases", "/nowhere"),
        ],
    )
    def test_usage(self, arguments: tuple[str, ...]) -> None:
        """A wrong call leaves with 2 and says what is wrong."""
        done = accord(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stdout + done.stderr

    def test_bad_cases(self, tmp_path: Path) -> None:
        """A broken case file is named."""
        (tmp_path / "broken.yaml").write_text("status: [", encoding="utf-8")
        done = accord("demo", "--json", "--cases", str(tmp_path))
        assert (done.returncode, lines(done)[0]["error"]) == (2, "bad_cases")
        assert "broken.yaml" in lines(done)[0]["cause"]

    def test_key_readable_by_others(self, tmp_path: Path) -> None:
        """A key file that others can read stops the ledger, with 5; doctor sees it too."""
        keys = tmp_path / "ledger" / "keys"
        keys.mkdir(parents=True)
        (keys / "log.key").write_bytes(bytes(32))
        (keys / "log.key").chmod(0o644)
        assert accord("ledger", "run", "--data", str(tmp_path)).returncode == 5
        assert accord("doctor", "--data", str(tmp_path)).returncode == 4

    def test_doctor(self, tmp_path: Path) -> None:
        """A sound machine passes every check."""
        done = accord("doctor", "--json", "--data", str(tmp_path))
        assert (done.returncode, {line["ok"] for line in lines(done)}) == (0, {True})


def _family() -> dict[str, Any]:
    return _asked("*quotient_familial_with_civility/01-*.yaml")


def _student() -> dict[str, Any]:
    return _asked("*etudiant_boursier_with_civility/boursiere-*.yaml")


def _asked(of: str) -> dict[str, Any]:
    import yaml

    from connectors.sandbox import FAMILIES

    path = next(FAMILIES.glob(of))
    params: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["params"]
    return params
