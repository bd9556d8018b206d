"""`accord bench`: counts and shape, never a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from typer.testing import CliRunner

from bench import report
from bench.agreements import Agreement
from bench.load import Load, WrongCount
from consent.core.facts import RequestKey, Verdict
from exchange import wire
from exchange.cli.bench import app
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.heads import TAIL_AT, read_head
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.ports import Record
from exchange.schemas import catalogue

AGREEMENTS = [Agreement(bytes([n]) * 16, bytes([n]) * 32, n % 2 == 0) for n in range(4)]
ASKS = [Ask("21130055300016", QUOTIENT_FAMILIAL.name, "cantine", ("cnaf_quotient_familial",), (("mois", "3"),))]


def test_the_gate_beside_the_echo(tmp_path: Path) -> None:
    """One object with both figures, nothing said of peers that were not measured, every fate checked on the way; the same in the file asked for; no process stays."""
    out = tmp_path / "gate.json"
    argv = [
        "bench",
        "gate",
        "--json",
        "--no-peers",
        "--repeat",
        "1",
        "--requests",
        "3000",
        "--authorisations",
        "500",
        "--out",
        str(out),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "exchange.cli", *argv], capture_output=True, text=True, timeout=200, check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert json.loads(out.read_text()) == said
    assert report.read(out).as_json() == said
    assert (said["bench"], said["repeat"], said["sizes"]["authorisations"], said["sizes"]["requests"]) == (
        "gate",
        1,
        500,
        3000,
    )
    assert [contender["name"] for contender in said["contenders"]] == ["echo", "gate"]
    for contender in said["contenders"]:
        assert set(contender["figures"]) == {"per_s", "per_cpu_s", "rss_bytes"} and contender["figures"]["per_s"] > 0
    found = {target["name"]: target["met"] for target in said["targets"]}
    assert found.pop("gate_to_echo") in (True, False) and set(found.values()) == {None}
    assert said["machine"]["cores"] == os.cpu_count() and 300 <= said["sizes"]["record_bytes"] <= 600
    assert list(tmp_path.glob("accord-bench-*")) == []
    assert [p for p in Path("/proc").glob("[0-9]*") if str(tmp_path) in _command(p)] == []


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize("option", ["--requests", "--authorisations", "--repeat"])
def test_no_bench_of_nothing(option: str) -> None:
    """A size of zero is a usage error."""
    assert CliRunner().invoke(app, ["gate", option, "0"]).exit_code == 2


def test_a_load_is_what_the_sdk_would_write() -> None:
    """Each request is a strict one under its own authorisation, numbered in its id; headers are CloudEvents'."""
    load = Load.draw(AGREEMENTS, ASKS, 20, 1_000)
    prefix = catalogue().prefix("exchange-request")
    for number, message in enumerate(load.messages()):
        head = read_head(message.value, prefix)
        agreement = AGREEMENTS[load.drawn[number]]
        assert (message.key, head.authorisation, head.certificate_hash) == (
            *[agreement.authorisation] * 2,
            agreement.certificate_hash,
        )
        assert int.from_bytes(head.request[-4:], "big") == number and head.ask == load.asks[0]
        assert dict(message.headers)["ce_id"] == head.request.hex().encode() and head.tail_at == TAIL_AT
    assert load.allowed == sum(AGREEMENTS[n].live for n in load.drawn)


class Output(NamedTuple):
    key: bytes | None
    value: bytes


def fates(load: Load) -> tuple[list[Output], list[Output]]:
    """The tasks and verdicts that a sound gate gives."""
    tasks, verdicts = [], []
    for number, message in enumerate(load.messages()):
        if AGREEMENTS[load.drawn[number]].live:
            tasks.append(Output(message.key, message.value))  # a task begins like its request
        else:
            verdicts.append(Output(message.key, refusal(message.value, Code.WITHDRAWN)))
    return tasks, verdicts


def refusal(value: bytes, reason: Code) -> bytes:
    key = RequestKey("211300553", value[21:37], value[5:21])
    return wire.write_verdict(Verdict(key, bytes(32), 0, "refused", reason), "gate")


async def stream(outputs: list[Output]) -> AsyncIterator[Sequence[Record]]:
    yield cast(Sequence[Record], outputs)


async def test_every_fate_is_checked() -> None:
    """A task for who agreed and a refusal for who withdrew, once each, passes; any other set of outputs is a wrong count."""
    load = Load.draw(AGREEMENTS, ASKS, 40, 1_000)
    tasks, verdicts = fates(load)
    await load.check(stream(tasks), stream(verdicts))
    other = Output(tasks[0].key, refusal(tasks[0].value, Code.WITHDRAWN))
    wrong = Output(verdicts[0].key, refusal(verdicts[0].value, Code.EXPIRED))
    foreign = Output(b"x" * 16, tasks[0].value)
    for told, refused in (
        (tasks[1:], verdicts), (tasks, verdicts[1:]), (tasks + tasks[:1], verdicts), (tasks, verdicts + verdicts[:1]),
        (tasks[1:], [*verdicts, other]), (tasks, [wrong, *verdicts[1:]]), ([foreign, *tasks[1:]], verdicts),
    ):  # fmt: skip
        with pytest.raises(WrongCount):
            await load.check(stream(told), stream(refused))
