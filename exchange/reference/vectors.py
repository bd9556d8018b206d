"""Inputs with what is made of them, for who writes a client without the SDK: the bytes and hashes of protocol §5 and §6."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import wire
from exchange.core import sealing
from exchange.core.decision import Ask
from exchange.core.identity import Identity, canonical, commitment
from exchange.sealing import public_bytes, sign_answers

OPERATOR, RECIPIENT = "211300553", "21130055300016"
AUTHORISATION, REQUEST, SALT = bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 64))
SAID, DEADLINE_MS = b"what a connector said", 1_900_000_000_000
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
"""A connector's, for these vectors."""
PEOPLE = {
    "une personne née en France · born in France": Identity(
        nom_naissance="TREVARIN", prenoms=("Maëlle", "Anne"), date_naissance="1985-05-20", sexe_etat_civil="F",
        code_cog_insee_pays_naissance="99100", code_cog_insee_commune_naissance="13055",
    ),
    "née à l'étranger, jour inconnu · born abroad, day unknown": Identity(
        nom_naissance="BENTHAOUI", prenoms=("Samira",), date_naissance="1979-03-00", sexe_etat_civil="F",
        code_cog_insee_pays_naissance="99350",
    ),
    "une entreprise · a company": Identity(siret="90000001900019"),
}  # fmt: skip


def document() -> dict[str, Any]:
    """JSON values; bytes in hexadecimal."""
    ask = wire.write_ask(
        Ask(
            RECIPIENT,
            "cnaf.quotient-familial.v1",
            "tarification-cantine",
            ("quotient_familial",),
            (("annee", "2025"), ("mois", "1")),
        )
    )
    ask_hash = sealing.ask_hash(ask)
    digest = sealing.request_digest(OPERATOR, AUTHORISATION, REQUEST, ask_hash)
    return {
        "identities": [
            {"what": what, "canonical": (made := canonical(who)).hex(), "salt": SALT.hex(), "commitment": commitment(SALT, made).hex()}
            for what, who in PEOPLE.items()
        ],
        "request": {
            "operator": OPERATOR, "authorisation": AUTHORISATION.hex(), "request": REQUEST.hex(), "ask": ask.hex(), "ask_hash": ask_hash.hex(),
            "digest": digest.hex(), "identity_info": sealing.identity_info(digest).hex(),
        },
        "answers": _answers(digest),
    }  # fmt: skip


def _answers(digest: bytes) -> dict[str, Any]:
    """What lies inside the inner seal, said alone and among others (ADR 0044)."""
    context = sealing.Context(
        digest, bytes(32), bytes(16), bytes(32), ("quotient_familial",), sealing.NO_RULE, DEADLINE_MS
    )
    transcript, others = sealing.transcript(context), [(context, b"one"), (context, b"two")]
    alone, together = sign_answers([(context, SAID)], SIGNING), sign_answers([*others, (context, SAID)], SIGNING)
    return {
        "certificate_hash": context.certificate_hash.hex(), "recipient_key": context.recipient_key.hex(), "schema_hash": context.schema_hash.hex(),
        "scopes": list(context.scopes), "rule_hash": context.rule_hash.hex(), "deadline_ms": DEADLINE_MS, "transcript": transcript.hex(),
        "inner_info": sealing.inner_info(transcript).hex(), "said": SAID.hex(), "connector": public_bytes(SIGNING).hex(),
        "inside_alone": alone[0].hex(), "inside_third_of_three": together[2].hex(),
    }  # fmt: skip
