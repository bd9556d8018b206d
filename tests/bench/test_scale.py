"""`accord bench scale` and the agreements it is made of: counts and shape, never a time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from bench.agreements import stock
from bench.report import Contender
from bench.scale import FULL, LABELS, Size, result
from consent.keys import open_keys
from consent.ledger import Ledger
from consent.stores import tables as t
from consent.stores.engine import open_sqlite
from exchange.cli import app
from exchange.clock import SystemClock
from exchange.introduction import terms
from exchange.places import Places


def test_gate_and_releases_at_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every size has its gate, its releases and its store; sizes other than the targets' judge nothing; nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    argv = ["--json", "--authorisations", "300", "--requests", "200", "--answers", "50", "--repeat", "1"]
    done = CliRunner().invoke(app, ["bench", "scale", *argv])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    seen = {(c["name"], c["at"]): c["figures"] for c in said["contenders"]}
    assert set(seen) == {(name, 300) for name in LABELS}
    assert 0 < (seen["gate", 300]["start_s"] or 0) < 60
    assert seen["gate", 300]["per_s"] > 0 and seen["gate", 300]["rss_bytes"] > 0 and seen["release", 300]["per_s"] > 0
    assert seen["store", 300]["bytes_each"] > 1_000
    assert {target["met"] for target in said["targets"]} == {None} and list(tmp_path.iterdir()) == []


def test_the_largest_size_is_judged_beside_the_smallest() -> None:
    """80 % of the rate at 10 k is kept at 10 M, within the memory; one below misses."""
    contenders = [Contender("store", LABELS["store"], {"size_bytes": 1}, at) for at in FULL]
    for at, rate, rss_bytes in ((FULL[0], 100.0, 1e8), (FULL[-1], 80.0, 4e8)):
        contenders += [
            Contender("gate", LABELS["gate"], {"per_s": rate, "rss_bytes": rss_bytes, "start_s": at / 1e5}, at),
            Contender("release", LABELS["release"], {"per_s": rate - 1}, at),
        ]
    found = result(Size(FULL), contenders, 0.0)
    assert {target.name: target.met for target in found.targets} == {
        "gate_kept": True, "release_kept": False, "gate_rss_bytes": True,
    }  # fmt: skip
    assert "0 s at 10 000, 100 s at 10 000 000 agreements" in found.remarks[0][1]


async def test_filler_is_as_large_as_what_it_stands_in_for(tmp_path: Path) -> None:
    """Whole and filler have the same columns of the same lengths, a leaf and a content key each; the log they are in verifies."""
    places = Places(tmp_path)
    keys = open_keys(places.ledger_keys, "accord.bench/stock")
    made = stock(places, keys, terms("21130055300016", 1_700_000_000_000), 120, {0, 1, 2, 11})
    assert sorted(made) == [0, 1, 2, 11] and [made[n].live for n in sorted(made)] == [False, True, True, True]
    engine = open_sqlite(places.store)
    ids = [agreement.authorisation for agreement in made.values()]
    a, k = t.authorisation, t.release_key.c
    with engine.connect() as connection:
        counted = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (a, t.content_key, t.subject_key)
        ]
        assert counted == [120] * 3
        assert connection.execute(select(func.count()).select_from(t.release_key)).scalar_one() == 108
        assert connection.execute(select(func.count()).select_from(t.leaf)).scalar_one() == 120 + 12
        for column in (a.c.person, a.c.commitment, a.c.subject_ref, a.c.certificate_hash):
            assert len(connection.execute(select(func.length(column)).distinct()).all()) == 1, column.name
        assert len(connection.execute(select(func.length(k.wrapped)).distinct()).all()) == 1
        lengths = {row[0] for row in connection.execute(select(func.length(a.c.certificate)).where(a.c.id.in_(ids)))}
        (filler,) = connection.execute(select(func.length(a.c.certificate)).where(a.c.id.not_in(ids)).distinct()).one()
    assert all(abs(length - filler) <= 2 for length in lengths)
    assert await Ledger(engine, keys, SystemClock(), lambda _: b"").verify() == []
    engine.dispose()
