"""An identity provider's word, as one would sign it: what the ledger verifies before it records an act (protocol §7)."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from consent.core.agreement import grant_nonce, reference_of
from consent.core.facts import Evidence, Terms, Tokens
from consent.issuers import Issuer, Issuers
from exchange.core.identity import Identity
from tests.world import JEANNE, RECIPIENT

CITIZENS, AGENTS, CLIENT = "https://login.test/api/v2", "https://agents.test/api/v2", "client-of-marseille"
KEY, AGENT_KEY, OTHER = (ECKey.generate_key("P-256", parameters={"kid": kid}) for kid in ("k1", "k2", "k1"))


def issuer(name: str, kind: Any, key: ECKey, recipient: str = RECIPIENT) -> Issuer:
    return Issuer(
        name, kind, dict(KeySet([key]).as_dict(private=False)), {CLIENT: recipient, "client-of-lyon": "21690123100011"}
    )


def issuers(recipient: str = RECIPIENT) -> Issuers:
    """Those of citizens and of agents, for a client of this recipient's; nothing is taken on anybody's declaration."""
    return Issuers(
        issuers=(
            issuer(CITIZENS, "citizen", KEY, recipient),
            issuer(AGENTS, "agent", AGENT_KEY, recipient),
        )
    )


def pivot(person: Identity) -> dict[str, Any]:
    """FranceConnect's claims of a person."""
    return {
        "family_name": person.nom_naissance, "given_name": " ".join(person.prenoms), "birthdate": person.date_naissance,
        "gender": {"F": "female", "M": "male"}.get(person.sexe_etat_civil, ""), "birthplace": person.code_cog_insee_commune_naissance,
        "birthcountry": person.code_cog_insee_pays_naissance or "99100",
    }  # fmt: skip


class Login:
    """A login for these terms, as an identity provider would sign it; `changes` spoil it."""

    def __init__(
        self, now_ms: int, terms: Terms, authorisation: bytes, agent: bool = False, who: Identity = JEANNE
    ) -> None:
        self.random, self.agent, self.authorisation = os.urandom(32), agent, authorisation
        self.key, self.terms, self.now_s = AGENT_KEY if agent else KEY, terms, now_ms // 1000
        self.claims: dict[str, Any] = {
            "iss": AGENTS if agent else CITIZENS, "aud": CLIENT, "sub": "s-1", "acr": "eidas1", "iat": self.now_s, "exp": self.now_s + 60,
            "nonce": grant_nonce(terms, authorisation, self.random),
        }  # fmt: skip
        self.userinfo: dict[str, Any] = {"iss": CITIZENS, "aud": CLIENT, "sub": "s-1"} | pivot(who)

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key, algorithms=["ES256"])

    def evidence(self, **changes: Any) -> Evidence:
        tokens = Tokens(self.sign(self.claims), "" if self.agent else self.sign(self.userinfo), self.random)
        base = (
            Evidence("counter", reference_of(AGENTS, "s-1"), b"e" * 32, tokens=tokens)
            if self.agent
            else Evidence("online", tokens=tokens)
        )
        return msgspec.structs.replace(base, **changes)
