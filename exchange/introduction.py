"""Making a bus's parties known to its ledger: who may ask what, and the public keys of providers and collectivities."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.agent import ConnectorKeys
from consent import certificates
from consent.core.facts import Evidence, Terms
from consent.door import Door
from consent.keys import read_or_make
from exchange.clock import SystemClock
from exchange.core.identity import Identity, canonical
from exchange.core.referentials import USUAL, purposes_of
from exchange.data_sets import DATA_SETS, PROVIDERS, QUOTIENT_FAMILIAL
from exchange.hpke import KeyPair
from exchange.places import Places
from exchange.ports import Ledger
from exchange.recording import ONLINE as ONLINE
from exchange.sealing import public_bytes
from exchange.settings import Settings
from exchange.trust import Trust
from exchange.wallet import Wallet

KEY_LIFE_MS = 90 * 86_400_000
LEGAL_REFERENCE = "CRPA L114-8"
PURPOSES = USUAL


def open_connector_keys(folder: Path) -> ConnectorKeys:
    """A connector's keys in its folder, made at the first opening; `ledger.mac` is the secret it shares with the ledger."""
    return ConnectorKeys(
        KeyPair.of(read_or_make(folder / "sealing.key")),
        Ed25519PrivateKey.from_private_bytes(read_or_make(folder / "signing.key")),
        read_or_make(folder / "ledger.mac"),
    )


def open_wallet(places: Places, settings: Settings) -> Wallet:
    """The wallet, in this data directory, of the collectivity the settings name, under its operator."""
    recipient = settings.recipient
    issuer = Trust.load(places.trust).certificate if places.trust.exists() else b""
    return Wallet.open(places.collectivity(recipient), recipient, settings.operator_of(recipient), issuer)


async def introduce(ledger: Door, places: Places, wallet: Wallet) -> None:
    """The providers of this data directory and this collectivity become known to the ledger; repeating it changes nothing."""
    now_ms = SystemClock().now_ms()
    for provider in PROVIDERS:
        folder = places.connector(provider)
        enrolment = Ed25519PrivateKey.from_private_bytes(read_or_make(folder / "enrolment.key"))
        await introduce_provider(ledger, provider, open_connector_keys(folder), enrolment, now_ms)
    await introduce_collectivity(ledger, wallet, now_ms)


async def introduce_provider(
    ledger: Door, provider: str, keys: ConnectorKeys, enrolment: Ed25519PrivateKey, now_ms: int
) -> None:
    """A provider's sealing key and its connector's signing key enter the directory."""
    known = {entry.public_key for entry in await ledger.directory()}
    for kind, public in (("provider", keys.sealing.public), ("connector", public_bytes(keys.signing))):
        if public not in known:
            await ledger.enter(certificates.enrol(kind, provider, "", public, now_ms + KEY_LIFE_MS, enrolment))


async def introduce_collectivity(ledger: Door, wallet: Wallet, now_ms: int) -> None:
    """A collectivity's recipient key, its operator's delegation, and habilitations for all data sets under their usual purposes."""
    known = {entry.public_key for entry in await ledger.directory()}
    if wallet.private.public in known:
        return
    until_ms = now_ms + KEY_LIFE_MS
    await ledger.delegate(wallet.recipient, wallet.operator, until_ms)
    for data_set in DATA_SETS.values():
        for purpose in purposes_of(data_set.name):
            await ledger.habilitate(
                wallet.recipient, data_set.name, purpose, tuple(sorted(data_set.scopes)), LEGAL_REFERENCE, until_ms
            )
    await ledger.enter(wallet.entry(until_ms))


def terms(recipient: str, now_ms: int, data_set: str = QUOTIENT_FAMILIAL.name, **changes: object) -> Terms:
    """Terms for a data set, all its scopes, one year; `changes` replace fields."""
    known = DATA_SETS.get(data_set, QUOTIENT_FAMILIAL)
    base: dict[str, object] = {
        "recipient": recipient,
        "provider": known.provider,
        "data_set": data_set,
        "purpose": purposes_of(data_set)[0],
        "scopes": tuple(sorted(known.scopes)),
        "not_before_ms": now_ms,
        "not_after_ms": now_ms + 365 * 86_400_000,
    }
    return Terms(**base | changes)  # type: ignore[arg-type]  # the caller's types are the fields' own


async def give(ledger: Door, wallet: Wallet, identity: Identity, now_ms: int, **changes: Any) -> bytes:
    """An agreement of this person, online, under the usual terms but for `changes`; its id."""
    authorisation = os.urandom(16)
    await record(ledger, wallet, authorisation, terms(wallet.recipient, now_ms, **changes), identity, ONLINE)
    return authorisation


async def record(
    ledger: Ledger, wallet: Wallet, authorisation: bytes, agreed: Terms, identity: Identity, evidence: Evidence
) -> None:
    """An agreement under these terms, its capsule kept in the wallet."""
    grant = await ledger.grant(authorisation, agreed, canonical(identity), evidence, wallet.operator)
    wallet.keep(authorisation, grant.capsule)
