"""`accord bench gate` and its peers: counts and shape, never a time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import cast

import pytest

from bench.agreements import Agreement
from bench.gate import Size, judged, run
from bench.load import Load, WrongCount
from bench.peers_streams import SOURCES, Absent, Team, Tuned, built, said
from bench.report import Figures
from exchange.core.decision import Ask
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import terms
from exchange.ports import Message, Record

RECIPIENT = "21130055300016"
AGREED = terms(RECIPIENT, 1_700_000_000_000)
AGREEMENTS = [Agreement(bytes([n]) * 16, bytes([n]) * 32, n % 2 == 0) for n in range(4)]
ASKS = [Ask(RECIPIENT, QUOTIENT_FAMILIAL.name, "cantine", ("cnaf_quotient_familial",), (("mois", "3"),))]
LOAD = Load.draw(AGREEMENTS, ASKS, 20, 1_000)
shared = pytest.mark.skipif(not SOURCES.is_dir(), reason="../shared/peers is not there")


def left() -> set[Path]:
    """What Kafka Streams keeps where it runs."""
    return set(Path("/tmp").glob("ks-state-*"))


def quiet(fr: str, en: str) -> None:
    """Nobody listens."""


@shared
@pytest.mark.skipif(shutil.which("mvn") is None or shutil.which("javac") is None, reason="no JDK or no Maven")
async def test_the_gate_beside_its_peers() -> None:
    """Every contender saw every request, each with its own fate, and every target is judged; nothing is left behind."""
    before = left()
    result = await run(Size(requests=400, authorisations=50, repeat=1, faust=100), quiet)
    assert [c.name for c in result.contenders] == ["echo", "gate", "streams", "streams-raw", "faust"]
    assert all(c.figures["per_s"] and c.figures["per_s"] > 0 for c in result.contenders)
    assert len(result.targets) == 6 and all(target.met is not None for target in result.targets)
    assert result.remarks == () and result.sizes["faust_requests"] == 100
    assert left() <= before


def test_targets_are_ratios_of_the_same_run() -> None:
    """Wall rates against all, CPU rates against Kafka Streams too; who was not measured has no verdict."""
    found: dict[str, Figures] = {
        "gate": {"per_s": 60, "per_cpu_s": 50}, "echo": {"per_s": 100, "per_cpu_s": 100}, "streams": {"per_s": 24, "per_cpu_s": 25},
        "streams-raw": {"per_s": 30, "per_cpu_s": None},
    }  # fmt: skip
    ratios, targets = judged(found)
    assert ratios["gate_to_echo"] == 0.6 and ratios["gate_to_echo_cpu"] == 0.5
    assert {target.name: target.met for target in targets} == {
        "gate_to_echo": True, "gate_to_streams": True, "gate_to_streams_cpu": False, "gate_to_streams-raw": True,
        "gate_to_streams-raw_cpu": None, "gate_to_faust": None,
    }  # fmt: skip


def test_a_peer_that_cannot_be_built_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its sources, without a JDK, and where Maven fails, the word is why, in both languages."""
    with pytest.raises(Absent) as missing:
        built(tmp_path / "nowhere")
    assert "not there" in missing.value.words[1] and "n'est pas là" in missing.value.words[0]
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "pom.xml").write_text("<no/>")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Absent, match="no JDK"):
        built(tmp_path / "sources")
    for name, script in (("javac", "#!/bin/sh\n"), ("mvn", "#!/bin/sh\necho refused\nexit 1\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(Absent, match="Maven failed: refused"):
        built(tmp_path / "sources")


class Output(Message):
    """What a peer wrote."""


@shared
@pytest.mark.parametrize("record_bytes", [400, 574])
def test_a_peer_reads_requests_as_long_as_the_gate_s(record_bytes: int) -> None:
    """Key and value together; what it says of a request is read back as its number, its authorisation and its fate."""
    for form in (Team(AGREED), Tuned(AGREED, LOAD.asks)):
        key, value, _ = form.request(7, AGREEMENTS[2], record_bytes)
        assert key is not None and len(key) + len(value) == record_bytes
        assert (
            form.consent(AGREEMENTS[2]).key == key
            and form.consent(AGREEMENTS[1]).value != form.consent(AGREEMENTS[2]).value
        )
    value = Tuned(AGREED, LOAD.asks).request(7, AGREEMENTS[2], record_bytes).value
    task = value[:37] + bytes(8) + b"\2" + value[46:]
    form = Tuned(AGREED, LOAD.asks)
    assert form.decided(cast(Record, Output(b"", task, []))) == (7, AGREEMENTS[2].authorisation, False)
    with pytest.raises(WrongCount):
        form.decided(cast(Record, Output(b"", value[:37] + bytes(8) + b"\3" + value[46:], [])))


def test_a_peer_s_word_must_be_about_the_whole_load(tmp_path: Path) -> None:
    """The last line counts, and only if it is about every request and as many were allowed as should be."""
    log = tmp_path / "streams.log"
    lines = [f"10 5 /s wall 6 /cpu-s allow={LOAD.allowed}", f"{LOAD.count} 7 /s wall 8 /cpu-s allow={LOAD.allowed}"]
    log.write_text(os.linesep.join(lines))
    assert said(log, LOAD) == {"per_s": 7, "per_cpu_s": 8}
    for wrong in (
        lines[:1],
        [f"{LOAD.count} 7 /s wall 8 /cpu-s allow={LOAD.allowed + 1}"],
        ["java: out of memory"],
        [],
    ):
        log.write_text("\n".join(wrong))
        with pytest.raises(WrongCount):
            said(log, LOAD)
