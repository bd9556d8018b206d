"""What an identity provider signed, and may have encrypted to us: opened and verified; what it says is judged in `portal.core.login`."""

from __future__ import annotations

from typing import Any

from joserfc import jwe, jwt
from joserfc.jwk import KeySet

from exchange.core.errors import Code
from exchange.ports import Unavailable
from exchange.published_keys import PublishedKeys
from portal.core.login import NotLoggedIn
from portal.identity.accounts import Account

SIGNED = ["ES256"]
"""What the ledger takes too (`consent.tokens`): neither `none`, nor a shared secret."""
SEALED = ["ECDH-ES", "A256GCM"]


async def opened(account: Account, keys: PublishedKeys, token: str) -> tuple[str, dict[str, Any]]:
    """The JWS that this token is or holds, and its claims, whose signature holds. Raises `NotLoggedIn`."""
    try:
        inner = _decrypted(account, token)
        return inner, _verified(await keys.for_token(inner.encode()), inner)
    except Unavailable:
        raise NotLoggedIn(Code.IDENTITY_PROVIDER_UNAVAILABLE) from None
    except Exception:  # whatever these bytes are, they prove nothing; and what is raised may hold some of them
        raise NotLoggedIn(Code.LOGIN_INVALID) from None


def _decrypted(account: Account, token: str) -> str:
    """FranceConnect+ repeats `iss` and `aud` in the JWE's header, which a strict reading would refuse."""
    if not account.client.plus:
        return token
    key = account.key("enc")
    if key is None:
        raise ValueError("no key to decrypt with")
    registry = jwe.JWERegistry(algorithms=SEALED, strict_check_header=False)
    return (jwe.decrypt_compact(token, key, registry=registry).plaintext or b"").decode("ascii")


def _verified(keys: KeySet, token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, keys, algorithms=SIGNED).claims)
