"""The identity sandbox as a process: who believes it, and who may ask it."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from consent.issuers import DECLARED, Issuer, Issuers, read_issuers, write_issuers
from exchange.places import Places
from exchange.settings import RECIPIENT
from portal.identity.accounts import IDENTITY, read_account, read_directory

ELSEWHERE = Issuer("https://fc.test/api/v2", "citizen", {"keys": []}, {"client": "*"})


@contextmanager
def sandbox(data: Path) -> Iterator[str]:
    """`accord identity`, ended as a service is; its URL."""
    argv = [sys.executable, "-m", "exchange.cli", "identity", "--data", str(data), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_it_makes_itself_known_and_nothing_else_unknown(tmp_path: Path) -> None:
    """The ledger believes it beside others, marked as before; the bus and the collectivity each have their clients, whose secrets are
    theirs alone; started again elsewhere it takes its own place, with the same key."""
    places = Places(tmp_path)
    write_issuers(places.issuers, msgspec.structs.replace(DECLARED, issuers=(ELSEWHERE,)))
    keys = []
    for _ in range(2):
        with sandbox(tmp_path) as url:
            found = read_issuers(places.issuers)
            assert isinstance(found, Issuers) and found.declared and found.issuers[0] == ELSEWHERE
            ours = {one.kind: one for one in found.issuers[1:]}
            assert len(found.issuers) == 3 and all(one.issuer.startswith(url) for one in ours.values())
            assert ours["citizen"].clients == {"accord-bus-citizen": "*", f"mairie-{RECIPIENT}-citizen": RECIPIENT}
            document = httpx.get(f"{ours['citizen'].issuer}/.well-known/openid-configuration").json()
            assert httpx.get(document["jwks_uri"]).json() == ours["citizen"].jwks
            keys.append(ours["citizen"].jwks)
    assert keys[0] == keys[1]
    for root in (tmp_path, places.collectivity(RECIPIENT)):
        clients = read_directory(root).clients
        assert [client.name for client in clients] == ["franceconnect", "proconnect"]
        assert all(len(read_account(root, client).secret) == 64 for client in clients)
        assert stat.S_IMODE((root / IDENTITY).stat().st_mode) == 0o600
