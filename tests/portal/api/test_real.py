"""The HTTP API as it runs: processes, a broker, a client registered by the command, the SDK by its settings alone."""

from __future__ import annotations

import json
from pathlib import Path

from joserfc.jwk import ECKey
from typer.testing import CliRunner

from connectors.core.cases import QUOTIENT_FAMILIAL
from connectors.sandbox import FAMILIES, load_cases
from consent.core.facts import State
from exchange import introduction
from exchange.cli import app
from exchange.cli.story import read_case
from exchange.local import local_bus, open_bus
from exchange.settings import Settings
from tests.world import RECIPIENT

FAMILY = read_case(
    next(
        case
        for case in load_cases(FAMILIES)
        if (case.operation, case.name) == (QUOTIENT_FAMILIAL, "01-couple-deux-enfants")
    )
)[0]


LAW: dict[str, object] = {
    "basis": "legal", "legal_reference": introduction.LEGAL_REFERENCE, "notice_hash": b"n" * 32, "notice_version": "2026-1",
}  # fmt: skip


async def test_an_exchange_by_http(tmp_path: Path) -> None:
    """From a key and an address to a legal basis on record, an opened answer, and the end of the client."""
    settings, key = Settings(data=tmp_path / "bus"), ECKey.generate_key("P-256")
    public, private = tmp_path / "public.jwk", tmp_path / "private.jwk"
    public.write_text(json.dumps(key.as_dict(private=False)))
    private.touch(mode=0o600)
    private.write_text(json.dumps(key.as_dict(private=True)))
    async with local_bus(settings, settings.places(), brief=True, portal=True) as local:
        asked = [
            "client",
            "add",
            "mairie",
            "--operator",
            RECIPIENT[:9],
            "--key-file",
            str(public),
            "--data",
            str(settings.data),
        ]
        assert CliRunner().invoke(app, ["portal", *asked]).exit_code == 0
        by_http = settings.model_copy(update={"url": local.portal_url, "client": "mairie", "client_key_file": private})
        async with open_bus(by_http) as bus:
            wanted = await bus.want(introduction.terms(bus.wallet.recipient, bus.clock.now_ms()))
            assert (await local.ledger.agreement(wanted)).state is State.REQUESTED
            agreement = await bus.record(introduction.terms(bus.wallet.recipient, bus.clock.now_ms(), **LAW), FAMILY)
            request = await bus.request("cnaf.quotient-familial.v1", consent=agreement, purpose="tarification-cantine")
            answer = await request.answer(60)
            assert answer.data is not None and answer.data["quotient_familial"]["valeur"] == 742
        removed = CliRunner().invoke(app, ["portal", "client", "remove", "mairie", "--data", str(settings.data)])
        assert removed.exit_code == 0
