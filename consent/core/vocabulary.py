"""Names of the published vocabularies that a consent record uses, its JSON-LD context, and how values are written in it.

The context is inline: a document expands without a network. Sources: DPV 2 (w3id.org/dpv), its extensions for the GDPR, locations
and personal data, DCMI terms, SKOS, schema.org.
"""

from __future__ import annotations

import uuid as _uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from consent.core.wording import Words
from exchange.core.rendering import rfc3339

if TYPE_CHECKING:
    from consent.core.record import Party

PROFILE = "https://w3id.org/dpv/schema/dpv-27560#"
LEGAL_PROFILE = "urn:accord:v1:legal-basis"
_REFERENCES = (
    "dct:conformsTo", "dct:publisher", "dpv:hasApplicableLaw", "dpv:hasAuthority", "dpv:hasDataController", "dpv:hasJurisdiction",
    "dpv:hasLocation", "dpv:hasNecessity", "dpv:hasProcessing", "dpv:hasRecipient", "dpv:isExercisedAt", "dpv:isIndicatedBy",
    "schema:recipient", "schema:url", "skos:broader",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "accord": "urn:accord:v1:",
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "loc": "https://w3id.org/dpv/loc#",
    "pd": "https://w3id.org/dpv/pd#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "schema": "https://schema.org/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    **{name: {"@type": "@id"} for name in _REFERENCES},
    "accord:proof": {"@type": "@json"},
}
CNIL: dict[str, Any] = {
    "@id": "https://www.cnil.fr/",
    "@type": ["dpv:DataProtectionAuthority"],
    "dpv:hasIdentifier": "https://www.cnil.fr/",
    "dpv:hasName": "Commission nationale de l'informatique et des libertés (CNIL)",
    "schema:address": {"@type": "schema:PostalAddress", "schema:streetAddress": "3 place de Fontenoy, TSA 80715, 75334 Paris Cedex 07"},
    "schema:contactPoint": {"@type": "schema:ContactPoint", "schema:url": "https://www.cnil.fr/fr/plaintes"},
}  # fmt: skip
CATEGORIES = {
    "cnaf_quotient_familial": "pd:IncomeBracket",
    "cnaf_allocataires": "pd:Name",
    "cnaf_enfants": "pd:Offspring",
    "cnaf_adresse": "pd:PhysicalAddress",
}
"""The category of personal data of each scope."""

_GIVEN = ("eu-gdpr:A6-1-a", "dpv:ExpressedConsent")
EVENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "requested": (("dpv:ConsentRequested",), "controller"),
    "given": (("dpv:ConsentGiven", *_GIVEN), "person"),
    "refused": (("dpv:ConsentRefused",), "person"),
    "narrowed": (("dpv:RenewedConsentGiven", *_GIVEN), "person"),
    "renewed": (("dpv:RenewedConsentGiven", *_GIVEN), "person"),
    "rebound": (("dpv:RenewedConsentGiven", *_GIVEN), "person"),
    "opposed": (("dpv:ConsentWithdrawn",), "person"),
    "withdrawn": (("dpv:ConsentWithdrawn",), "person"),
    "erased": (("dpv:ConsentWithdrawn",), "person"),
    "expired": (("dpv:ConsentExpired",), "ledger"),
    "used_up": (("dpv:ConsentExpired",), "ledger"),
    "ended": (("dpv:ConsentRevoked",), "controller"),
    "invalidated": (("dpv:ConsentInvalidated",), "ledger"),
}
"""What happens → DPV's consent status (and type of consent), and who says so."""

OPENING = frozenset({"given", "narrowed", "renewed", "rebound"})
"""Events after which the processing is allowed: DPV's states valid for processing, and no other."""

WITHDRAWAL = Words(
    "À tout moment et sans justification : en ligne, au guichet, par téléphone ou par courrier, auprès de la collectivité.",
    "At any time and without giving reasons: online, at the counter, by phone or by letter, with the local authority.",
)


def iri(kind: str, name: str) -> str:
    """A name of ours as an IRI; SIRET and SIREN are the State's numbers."""
    return f"urn:{kind}:{name}" if kind in ("siret", "siren") else f"urn:accord:{kind}:{name}"


def name(identifier: str) -> str:
    """The name in an IRI of ours; ValueError if it has none."""
    start, _, found = identifier.rpartition(":")
    if start not in ("urn:siret", "urn:siren", "urn:accord:provider"):
        raise ValueError("not a party")
    return found


def uuid(identifier: bytes) -> str:
    return str(_uuid.UUID(bytes=identifier))


def both(words: Words) -> list[dict[str, str]]:
    """A text in both languages."""
    return [{"@language": "fr", "@value": words.fr}, {"@language": "en", "@value": words.en}]


def time(at_ms: int) -> dict[str, str]:
    """An instant as a typed literal."""
    return {"@type": "xsd:dateTime", "@value": rfc3339(at_ms)}


def ms(text: str) -> int:
    """An instant written by `rfc3339`, in ms; ValueError for any other way to write one."""
    found = round(datetime.fromisoformat(text).timestamp() * 1000)
    if rfc3339(found) != text:
        raise ValueError("not a time")
    return found


def entity(identifier: str, number: str, types: list[str], party: Party) -> dict[str, Any]:
    """A party (27560's entity fields); what is not known is left out, never invented."""
    found: dict[str, Any] = {"@id": identifier, "@type": types, "dpv:hasIdentifier": number}
    if party.name:
        found["dpv:hasName"] = party.name
    if party.address:
        found["schema:address"] = {"@type": "schema:PostalAddress", "schema:streetAddress": party.address}
    if party.contact:
        found["schema:contactPoint"] = {"@type": "schema:ContactPoint", "schema:email": party.contact}
    if party.url:
        found["schema:url"] = party.url
    return found
