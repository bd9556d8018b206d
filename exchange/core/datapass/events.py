"""What DataPass tells, by webhook or by its API: each call is a snapshot of one *demande*, so that of several the latest counts,
whatever their order or number (DataPass `docs/webhooks.md`, `config/openapi/v1.yaml`).

The name of an event plays no part but for `revoke`: rights are those of the habilitations that are active and not revoked.
"""

from __future__ import annotations

import hmac
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from exchange.core.referentials import is_siret

SIGNATURE = "x-hub-signature-256"
ENVIRONMENT = "x-app-environment"
BODY_MAX_BYTES = 1 << 20
AHEAD_MAX_S = 86_400
_LEGAL_MAX_CHARS, _SCOPE_MAX_CHARS = 1_000, 200


class BadCall(ValueError):
    """Not a call of DataPass, or one that does not say what it must; names the field."""


class Right(NamedTuple):
    """A scope that a definition gives an organisation (SIRET), on the legal basis it declared, in its own words on one line."""

    recipient: str
    definition: str
    scope: str
    legal: str


class Snapshot(NamedTuple):
    """All that one demande gives, as of `at_s` (Unix seconds, DataPass's clock). `over` is what its habilitations that are no longer
    active gave: what must be looked at, whether or not we ever heard that it was given."""

    demande: str
    at_s: int
    rights: frozenset[Right]
    over: frozenset[Right] = frozenset()


class _Organization(msgspec.Struct):
    siret: str | None = None


class Listed(msgspec.Struct):
    """An habilitation, in a webhook's `authorizations` and in `GET /habilitations` (which adds the last two fields)."""

    state: Literal["active", "obsolete", "revoked"]
    revoked: bool = False
    definition_id: str = ""
    data: dict[str, Any] = {}
    request_id: int | str = ""
    organization: _Organization | None = None

    @property
    def live(self) -> bool:
        """`revoked` is what counts: an habilitation may be obsolete and revoked."""
        return self.state == "active" and not self.revoked


class _Demande(msgspec.Struct):
    id: int | str
    organization: _Organization | None = None
    state: str = ""
    authorizations: list[Listed] | None = None
    data: dict[str, Any] = {}


class _Event(msgspec.Struct):
    event: str
    fired_at: int
    data: _Demande
    model_type: str = ""


class _Test(msgspec.Struct):
    test: Literal[True]
    timestamp: str


def signed(body: bytes, header: str, secrets: Sequence[bytes]) -> bool:
    """Whether `X-Hub-Signature-256` is `sha256=` and the HMAC of these raw bytes under one of the secrets; in constant time."""
    given = header.encode("utf-8", "surrogateescape")
    checks = [hmac.compare_digest(f"sha256={hmac.new(s, body, 'sha256').hexdigest()}".encode(), given) for s in secrets]
    return any(checks)


def read(body: bytes, now_s: int) -> Snapshot | None:
    """What a webhook's body says; None for a test call. BadCall if it is neither, or far ahead of our clock: it would stand above
    whatever comes later."""
    try:
        if _is_test(body):
            msgspec.json.decode(body, type=_Test)
            return None
        event = msgspec.json.decode(body, type=_Event)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadCall(type(error).__name__) from None
    if not 0 < event.fired_at <= now_s + AHEAD_MAX_S:
        raise BadCall("fired_at")
    return Snapshot(_id(event.data.id), event.fired_at, *_given(event))


def _is_test(body: bytes) -> bool:
    known = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return bytes(known.get("test", msgspec.Raw(b""))) == b"true"


def _given(event: _Event) -> tuple[frozenset[Right], frozenset[Right]]:
    """What an event's demande gives, and gave."""
    demande = event.data
    revoked = event.event == "revoke" and (demande.state == "revoked" or demande.authorizations is None)
    if demande.authorizations is None and event.event in ("approve", "transfer"):
        raise BadCall("authorizations")
    listing = demande.authorizations or []
    if demande.authorizations is None and revoked:
        listing = [Listed("revoked", definition_id=event.model_type.rpartition("/")[2], data=demande.data)]
    siret = demande.organization.siret if demande.organization else None
    live, over = set[Right](), set[Right]()
    for one in listing:
        (live if one.live and not revoked else over).update(rights(one, siret, demande.data))
    return frozenset(live), frozenset(over)


def rights(one: Listed, siret: str | None, otherwise: Mapping[str, Any] | None = None) -> Iterable[Right]:
    """What one habilitation gives while it is live; nothing unless its organisation has a true SIRET. `otherwise` is where the legal
    basis stands if the habilitation itself does not say it."""
    if not siret or not is_siret(siret):
        return
    found = one.data.get("cadre_juridique_nature") or (otherwise or {}).get("cadre_juridique_nature")
    legal, definition = line(found), one.definition_id.replace("-", "_")
    for scope in scopes(one.data.get("scopes")):
        yield Right(siret, definition, scope, legal)


def scopes(value: object) -> list[str]:
    """Scopes as a list, as a list in JSON, or with commas between them (the open CSV)."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except (ValueError, RecursionError):
            value = []
    found = [v.strip() for v in value if isinstance(v, str)] if isinstance(value, list) else []
    return [scope for scope in found if scope and len(scope) <= _SCOPE_MAX_CHARS and scope.isprintable()]


def line(text: object) -> str:
    """A text on one line, in NFC, without what cannot be printed, at most 1000 characters; empty if it is no text."""
    if not isinstance(text, str):
        return ""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(c for c in plain if c.isprintable())[:_LEGAL_MAX_CHARS]


def listed(habilitations: Iterable[Listed], at_s: int) -> list[Snapshot]:
    """Snapshots of the demandes in a list of the API, which must have all states: what is not listed is not known to have ended."""
    given: dict[str, tuple[set[Right], set[Right]]] = {}
    for one in habilitations:
        siret = one.organization.siret if one.organization else None
        if one.request_id != "":
            live, over = given.setdefault(_id(one.request_id), (set(), set()))
            (live if one.live else over).update(rights(one, siret))
    return [Snapshot(d, at_s, frozenset(live), frozenset(over)) for d, (live, over) in sorted(given.items())]


def _id(value: int | str) -> str:
    """Ids come with their prefix or without (`D123`, `123`)."""
    text = str(value).removeprefix("D")
    if not (text.isascii() and text.isalnum() and len(text) <= 40):
        raise BadCall("id")
    return text


def merge(known: Snapshot | None, told: Snapshot) -> Snapshot:
    """The later of two; of one second, what both give. Commutative, associative, idempotent: order and repeats change nothing."""
    if known is None or told.at_s > known.at_s:
        return told
    if told.at_s < known.at_s:
        return known
    return told._replace(rights=known.rights & told.rights, over=known.over | told.over)
