"""What a login's answers must hold, claim by claim; and tokens that are forged."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from exchange.bounded import Outside, Said
from exchange.core.errors import Code
from exchange.published_keys import PublishedKeys
from portal.core import login
from portal.core.login import Client, Going, NotLoggedIn, Provider
from portal.identity.accounts import Account
from portal.identity.tokens import opened
from tests.world import SetClock

ISSUER, NOW_S = "https://fc.test/api/v2", 1_800_000_000
CLIENT = Client(name="fc", kind="citizen", issuer=ISSUER, client_id="c-1")
GOING = Going(
    client="fc", state="s", nonce="n", verifier="v" * 43, began_ms=NOW_S * 1000, role="citizen", assurance="eidas2"
)
CLAIMS = {"iss": ISSUER, "aud": "c-1", "sub": "p-1", "nonce": "n", "acr": "eidas2", "iat": NOW_S, "exp": NOW_S + 60}
PROVIDER = Provider(ISSUER, f"{ISSUER}/authorize", f"{ISSUER}/token", f"{ISSUER}/userinfo", f"{ISSUER}/jwks")


def refused(claims: dict[str, Any], now_s: int = NOW_S) -> Code | None:
    try:
        login.read_token({name: value for name, value in claims.items() if value is not None}, CLIENT, GOING, now_s)
    except NotLoggedIn as error:
        return error.code
    return None


SPOILT: dict[str, tuple[dict[str, Any], Code | None]] = {
    "as it should be": ({}, None),
    "one audience in a list": ({"aud": ["c-1"]}, None),
    "a higher level": ({"acr": "eidas3"}, None),
    "another issuer": ({"iss": "https://else.test"}, Code.LOGIN_INVALID),
    "another client": ({"aud": "c-2"}, Code.LOGIN_INVALID),
    "two audiences": ({"aud": ["c-1", "c-2"]}, Code.LOGIN_INVALID),
    "no audience": ({"aud": None}, Code.LOGIN_INVALID),
    "another party": ({"azp": "c-2"}, Code.LOGIN_INVALID),
    "another nonce": ({"nonce": "m"}, Code.LOGIN_INVALID),
    "no nonce": ({"nonce": None}, Code.LOGIN_INVALID),
    "a lower level": ({"acr": "eidas1"}, Code.ASSURANCE_TOO_LOW),
    "no level": ({"acr": None}, Code.ASSURANCE_TOO_LOW),
    "an unknown level": ({"acr": "eidas9"}, Code.ASSURANCE_TOO_LOW),
    "expired": ({"exp": NOW_S - 60}, Code.LOGIN_EXPIRED),
    "old": ({"iat": NOW_S - 601}, Code.LOGIN_EXPIRED),
    "to come": ({"iat": NOW_S + 61}, Code.LOGIN_INVALID),
    "a time that is a text": ({"iat": str(NOW_S)}, Code.LOGIN_INVALID),
    "nobody": ({"sub": ""}, Code.LOGIN_INVALID),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_each_claim_counts(spoilt: str) -> None:
    """Issuer, audience, nonce, level, times, subject."""
    changes, code = SPOILT[spoilt]
    assert refused(CLAIMS | changes) is code


@pytest.mark.parametrize("changes", [{"sub": "p-2"}, {"iss": "https://else.test"}, {"aud": "c-2"}])
def test_a_userinfo_is_of_the_same_login(changes: dict[str, str]) -> None:
    """Another subject, issuer or client: refused."""
    login.read_userinfo({"sub": "p-1"}, CLAIMS, CLIENT)
    with pytest.raises(NotLoggedIn):
        login.read_userinfo(CLAIMS | changes, CLAIMS, CLIENT)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("access_denied", Code.LOGIN_REFUSED),
        ("unmet_authentication_requirements", Code.ASSURANCE_TOO_LOW),
        ("server_error", Code.IDENTITY_PROVIDER_UNAVAILABLE),
    ],
)
def test_an_error_of_the_provider_s_is_told_in_our_words(error: str, code: Code) -> None:
    """The person's own refusal is told apart from a fault."""
    with pytest.raises(NotLoggedIn, match=code):
        login.came_back(PROVIDER, GOING, {"state": "s", "error": error}, NOW_S * 1000)


def test_addresses_are_secure() -> None:
    """A discovery document that leads to another issuer, or over plain http, is refused."""
    document = {name: getattr(PROVIDER, name) for name in Provider.__struct_fields__}
    assert login.discovered(document, CLIENT) == PROVIDER
    for changes in ({"issuer": "https://else.test"}, {"token_endpoint": "http://fc.test/token"}, {"jwks_uri": None}):
        with pytest.raises(NotLoggedIn, match=Code.IDENTITY_PROVIDER_UNAVAILABLE):
            login.discovered(document | changes, CLIENT)


def test_an_agent_without_a_siret_is_none() -> None:
    """ProConnect's `siret` says for whom an agent works; `profile`'s names are not its own."""
    told = {"sub": "a", "given_name": "Léo", "usual_name": "MARIN", "siret": "211 300 553 00016"}
    assert login.agent_of(told).siret == "21130055300016"
    for changes in ({"siret": "1"}, {"siret": None}, {"usual_name": None, "family_name": "MARIN"}):
        with pytest.raises(NotLoggedIn):
            login.agent_of(told | changes)


KEY, OTHER = (ECKey.generate_key("P-256", {"kid": "k", "use": "sig"}) for _ in range(2))


class Keys(Outside):
    """Publishes one key."""

    async def read(self, method: str, url: str, form: Any = None, bearer: str = "") -> Said:
        return Said(200, "application/json", json.dumps(KeySet([KEY]).as_dict(private=False)).encode())


def by_hand(algorithm: str, secret: bytes = b"") -> str:
    """A token that no library would sign."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": algorithm, "kid": "k"}, CLAIMS)
    ]
    signature = hmac.digest(secret, b".".join(parts), "sha256") if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def signed(key: ECKey) -> str:
    return jwt.encode({"alg": "ES256", "kid": "k"}, CLAIMS, key, algorithms=["ES256"])


@pytest.mark.parametrize(
    "token",
    [
        by_hand("none"),
        by_hand("HS256", KEY.as_pem(private=False)),
        signed(OTHER),
        signed(KEY)[:-3],
        "",
        "a.b.c",
        "é",
        signed(KEY).rpartition(".")[0] + ".",
    ],
    ids=["none", "hs256", "another-key", "cut", "empty", "letters", "accent", "unsigned"],
)
async def test_a_forged_token_proves_nothing(token: str) -> None:
    """No signature, HS256 under the public key, another key of the same name, bytes that are no token: one refusal for all."""
    keys = PublishedKeys("https://fc.test/jwks", Keys(), SetClock())
    assert (await opened(Account(CLIENT), keys, signed(KEY)))[1] == CLAIMS
    with pytest.raises(NotLoggedIn, match=Code.LOGIN_INVALID):
        await opened(Account(CLIENT), keys, token)
