"""The HTTP API as it runs: processes, a broker, a client registered by the command with its certificate, the SDK by its settings alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from typer.testing import CliRunner

from connectors.core.cases import QUOTIENT_FAMILIAL
from connectors.sandbox import FAMILIES, load_cases
from consent.core.facts import State
from exchange import introduction
from exchange.cli import app
from exchange.cli.story import read_case
from exchange.core.errors import Code
from exchange.local import local_bus, open_bus
from exchange.outcomes import ExchangeError
from exchange.settings import Settings
from tests.portal.api.authority import SERVER, Authority
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


async def test_an_exchange_by_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a key, a certificate and an address to a legal basis on record, an opened answer, and to the end of the client; without the certificate, nothing."""
    authority = Authority(tmp_path)
    own, shown = authority.issue("portal", use=SERVER), authority.issue("mairie")
    monkeypatch.setenv("ACCORD_PORTAL_TLS_CERT_FILE", str(own.certificate))
    monkeypatch.setenv("ACCORD_PORTAL_TLS_KEY_FILE", str(own.key))
    monkeypatch.setenv("ACCORD_PORTAL_CLIENT_CA_FILE", str(authority.certificate))
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
            "--certificate",
            str(shown.certificate),
            "--data",
            str(settings.data),
        ]
        assert CliRunner().invoke(app, ["portal", *asked]).exit_code == 0
        assert local.portal_url.startswith("https://")
        known = {
            "url": local.portal_url,
            "client": "mairie",
            "client_key_file": private,
            "url_ca_file": authority.certificate,
        }
        shows = {"client_tls_cert_file": shown.certificate, "client_tls_key_file": shown.key}
        with pytest.raises(ExchangeError, match=Code.CLIENT_INVALID):
            async with open_bus(settings.model_copy(update=known)):
                raise AssertionError("it was let in")
        by_http = settings.model_copy(update=known | shows)
        async with open_bus(by_http) as bus:
            wanted = await bus.want(introduction.terms(bus.wallet.recipient, bus.clock.now_ms()))
            assert (await local.ledger.agreement(wanted)).state is State.REQUESTED
            agreement = await bus.record(introduction.terms(bus.wallet.recipient, bus.clock.now_ms(), **LAW), FAMILY)
            request = await bus.request("cnaf.quotient-familial.v1", consent=agreement, purpose="tarification-cantine")
            answer = await request.answer(60)
            assert answer.data is not None and answer.data["quotient_familial"]["valeur"] == 742
        removed = CliRunner().invoke(app, ["portal", "client", "remove", "mairie", "--data", str(settings.data)])
        assert removed.exit_code == 0
