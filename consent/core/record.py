"""The consent record and receipt as JSON-LD: ISO/IEC TS 27560:2023 in the rendering of the W3C Data Privacy Vocabulary (DPV guide
"Consent Records and Receipts as per ISO/IEC TS 27560:2023", profiles `record-eu-gdpr` and `receipt-eu-gdpr`).

Two ways: `write` renders a life, `read` gives back what a document says of it, whatever its words. What DPV has no term for is under
`accord:`. A `legal` basis is no consent: its record keeps the shape and does not claim the consent profiles.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from consent.core import vocabulary as v
from consent.core import wording
from consent.core.facts import State, Terms
from consent.core.life import Collected, Event, Life
from consent.core.note import split
from consent.core.vocabulary import both, iri, ms, time
from exchange.core import rule
from exchange.core.rendering import rfc3339

Document = dict[str, Any]


class Party(NamedTuple):
    """An organisation as a record names it; empty texts where only its number is known."""

    name: str = ""
    address: str = ""
    contact: str = ""
    url: str = ""


class About(NamedTuple):
    """What a receipt says beside the life itself: whose word it is, at which time, and what its leaves do not hold.

    `labels` are French texts by scope; `parties` by SIRET, SIREN or provider; `status` is `final` once a witness has cosigned every
    checkpoint, else `pending`; `edition` is that of the page for people (`consent.paper`); `code` opens this agreement to whoever has it.
    """

    authorisation: bytes
    subject_ref: bytes
    operator: str
    uses: int
    at_ms: int
    origin: str
    leaf_hash: bytes
    status: str
    edition: str
    title: str
    labels: Mapping[str, str]
    parties: Mapping[str, Party]
    code: str = ""


class Said(NamedTuple):
    """What a document says that leaves must prove."""

    terms: Terms
    state: State
    events: tuple[tuple[str, int, int], ...]
    collected: Collected


def write(life: Life, about: About) -> Document:
    """The receipt, without its proof; the record is its `dpv:hasRecordOfActivity`."""
    consent = life.terms.basis == "consent"
    return {
        "@context": v.CONTEXT,
        "@id": f"urn:accord:receipt:{about.authorisation.hex()}:{about.at_ms}",
        "@type": "dpv:ConsentReceipt" if consent else "accord:Receipt",
        "dct:identifier": f"{about.authorisation.hex()}:{about.at_ms}",
        "dpv:hasIdentifier": f"{about.authorisation.hex()}:{about.at_ms}",
        "dct:conformsTo": v.PROFILE + "receipt-eu-gdpr" if consent else v.LEGAL_PROFILE,
        "dct:created": time(about.at_ms),
        "dct:publisher": iri("log", about.origin),
        "schema:recipient": _subject(about),
        "accord:origin": about.origin,
        "accord:entry": life.act.leaf_index,
        "accord:leafHash": about.leaf_hash.hex(),
        "accord:status": about.status,
        "accord:edition": about.edition,
        "accord:shortCode": about.code,
        "dpv:hasRecordOfActivity": _record(life, about, consent),
    }


def record(receipt: Document) -> Document:
    """The record alone, with a context of its own: for exports; it proves nothing by itself."""
    return {"@context": receipt["@context"], **receipt["dpv:hasRecordOfActivity"]}


def _record(life: Life, about: About, consent: bool) -> Document:
    terms, identifier = life.terms, v.uuid(about.authorisation)
    return {
        "@id": f"urn:uuid:{identifier}",
        "@type": "dpv:ConsentRecord" if consent else "dpv:DataProcessingRecord",
        "dct:identifier": identifier,
        "dct:conformsTo": v.PROFILE + "record-eu-gdpr" if consent else v.LEGAL_PROFILE,
        "dpv:hasDataSubject": {"@id": _subject(about), "@type": "dpv:DataSubject"},
        "dpv:hasDataController": iri("siret", terms.recipient),
        "dpv:hasJurisdiction": ["loc:FR", "loc:EU"],
        "dpv:hasApplicableLaw": "eu-gdpr:GDPR",
        "dpv:hasAuthority": v.CNIL["@id"],
        "dpv:hasLegalBasis": _basis(terms, consent),
        "dpv:hasNotice": _notice(terms, consent),
        "dpv:hasProcess": _process(terms, about),
        "dpv:hasRight": [
            {"@type": ["dpv:DataSubjectRight", f"eu-gdpr:{article}"], "dct:title": both(words),
             "dpv:isExercisedAt": v.CNIL["@id"] if article == "A77" else iri("siret", terms.recipient)}
            for article, words in wording.RIGHTS.items() if consent or article != "A7-3"
        ],
        "dpv:hasConsentStatus" if consent else "accord:hasStatus": [_event(event, terms, about) for event in life.events],
        "accord:state": life.state.value,
        "accord:uses": about.uses,
        "accord:collected": _collected(life.act.collected),
        "dpv:hasEntity": [*_organisations(terms, about), v.CNIL],
    }  # fmt: skip


def _subject(about: About) -> str:
    """A pairwise reference, empty of meaning elsewhere; unknown where nobody was identified (a refusal)."""
    return iri("subject", about.subject_ref.hex() or "unknown")


def _basis(terms: Terms, consent: bool) -> Document:
    if consent:
        return {"@id": "eu-gdpr:A6-1-a", "accord:basis": terms.basis, "dct:source": terms.legal_reference}
    return {"@id": "eu-gdpr:A6-1-e", "accord:basis": terms.basis, "dct:source": terms.legal_reference}


def _notice(terms: Terms, consent: bool) -> Document:
    return {
        "@id": f"urn:sha256:{terms.notice_hash.hex() or 'none'}",
        "@type": "dpv:ConsentNotice" if consent else "dpv:PrivacyNotice",
        "dct:hasVersion": terms.notice_version,
        "dct:language": "fr",
    }


def _process(terms: Terms, about: About) -> Document:
    recipient = iri("siret", terms.recipient)
    return {
        "@type": "dpv:Process",
        "dct:title": {"@language": "fr", "@value": about.title},
        "accord:dataSet": terms.data_set,
        "dpv:hasPurpose": {"@type": "dpv:Purpose", "skos:broader": "dpv:ServiceProvision", "dct:identifier": terms.purpose,
                           "dct:description": both(wording.purpose(terms.purpose))},
        "dpv:hasPersonalData": [
            {"@type": "dpv:PersonalData", "skos:broader": v.CATEGORIES.get(scope, "dpv:PersonalData"), "dct:identifier": scope,
             "dct:description": both(wording.scope(scope, about.labels.get(scope, ""))), "dpv:hasNecessity": "dpv:Required"}
            for scope in terms.scopes
        ],
        "dpv:hasProcessing": ["dpv:Collect", "dpv:Use", "dpv:Store"],
        "dpv:hasDataSource": {"@id": iri("provider", terms.provider), "@type": "dpv:ThirdPartyDataSource"},
        "dpv:hasDataController": recipient,
        "dpv:hasRecipient": [recipient],
        "dpv:hasStorageCondition": [
            {"@type": "dpv:StorageLocation", "dpv:hasLocation": "loc:FR"},
            {"@type": "dpv:StorageDuration", "dpv:hasDuration": f"P{terms.data_life_days}D"},
        ],
        "dpv:hasProcessingCondition": {"@type": "dpv:ProcessingLocation", "dpv:hasLocation": "loc:FR"},
        "dpv:hasConsentControl": {"@type": "dpv:WithdrawConsent", "dpv:isExercisedAt": about.parties.get(terms.recipient, Party()).url or recipient,
                                  "dct:description": both(v.WITHDRAWAL)},
        "accord:notBefore": time(terms.not_before_ms),
        "accord:notAfter": time(terms.not_after_ms),
        "accord:maximumUses": terms.max_uses,
        "accord:assuranceRequired": terms.assurance,
        **_bounds(terms),
    }  # fmt: skip


def _bounds(terms: Terms) -> Document:
    """What further bounds the exchange, where it is bounded: the rule whose answer alone is given, how often a change may be looked for."""
    found: Document = {"accord:watchEveryMs": terms.watch_every_ms} if terms.watch_every_ms else {}
    if terms.rule:
        asked = rule.parse(split(terms.rule.decode())[0])
        found["accord:rule"] = {
            "@type": "accord:Rule", "dct:identifier": asked.name, "accord:hash": asked.hash.hex(), "accord:signed": terms.rule.decode(),
            "dct:description": both(wording.Words(asked.fr, asked.en)),
        }  # fmt: skip
    return found


def _event(event: Event, terms: Terms, about: About) -> Document:
    """One event of the life; those that open the processing last until the end of validity, the others for good."""
    types, by = v.EVENTS[event.kind]
    if terms.basis == "legal":
        types = (f"accord:{event.kind}",)
    indicated = {"controller": iri("siret", terms.recipient), "ledger": iri("log", about.origin)}.get(by)
    found: Document = {
        "@type": list(types),
        "accord:kind": event.kind,
        "accord:entry": event.leaf_index,
        "dpv:isIndicatedAtTime": rfc3339(event.at_ms),
        "dpv:isIndicatedBy": indicated or _who(event.collected, about),
        "dpv:hasDuration": [{"@type": "dpv:EndlessDuration"}],
    }
    if event.kind in v.OPENING:
        found["dpv:hasIndicationMethod"] = event.collected.channel
        found["dpv:hasDuration"] = [
            {"@type": "dpv:UntilTimeDuration", "rdf:value": rfc3339(event.terms.not_after_ms)},
            {"@type": "dpv:FixedOccurrencesDuration", "rdf:value": str(event.terms.max_uses)},
        ]
    return found


def _who(collected: Collected, about: About) -> str | Document:
    if not collected.representation:
        return _subject(about)
    kind = "dpv:ParentOfDataSubject" if collected.representation == "parent" else "dpv:Representative"
    return {"@id": iri("subject", collected.representative_ref.hex()), "@type": kind}


def _collected(collected: Collected) -> Document:
    return {
        "accord:channel": collected.channel,
        "accord:assisted": collected.assisted,
        "accord:agent": collected.agent,
        "accord:evidenceHash": collected.evidence_hash.hex(),
        "accord:assurance": collected.assurance,
        "accord:representation": collected.representation,
        "accord:representative": collected.representative_ref.hex(),
        "accord:representationHash": collected.representation_hash.hex(),
    }


def _organisations(terms: Terms, about: About) -> list[Document]:
    """The parties: name, address and contact where the ledger has been told them, the number always."""
    roles = [(iri("siret", terms.recipient), terms.recipient, ["dpv:DataController", "dpv:Recipient"])]
    roles.append((iri("provider", terms.provider), terms.provider, ["dpv:ThirdParty"]))
    if about.operator and about.operator != terms.recipient[:9]:
        roles.append((iri("siren", about.operator), about.operator, ["dpv:DataProcessor"]))
    return [
        v.entity(identifier, number, types, about.parties.get(number, Party())) for identifier, number, types in roles
    ]


def read(document: Document) -> Said:
    """What a receipt says; ValueError if it is not one of ours."""
    try:
        found = document["dpv:hasRecordOfActivity"]
        process, basis, notice = found["dpv:hasProcess"], found["dpv:hasLegalBasis"], found["dpv:hasNotice"]
        digest, storage = notice["@id"].removeprefix("urn:sha256:"), process["dpv:hasStorageCondition"][1]
        terms = Terms(
            v.name(found["dpv:hasDataController"]), v.name(process["dpv:hasDataSource"]["@id"]), process["accord:dataSet"],
            process["dpv:hasPurpose"]["dct:identifier"], tuple(d["dct:identifier"] for d in process["dpv:hasPersonalData"]),
            ms(process["accord:notBefore"]["@value"]), ms(process["accord:notAfter"]["@value"]), process["accord:maximumUses"], basis["accord:basis"],
            basis["dct:source"], b"" if digest == "none" else bytes.fromhex(digest), notice["dct:hasVersion"],
            int(storage["dpv:hasDuration"][1:-1]), process["accord:assuranceRequired"],
            process.get("accord:rule", {}).get("accord:signed", "").encode(), process.get("accord:watchEveryMs", 0),
        )  # fmt: skip
        if _bounds(terms) != {
            name: process[name] for name in ("accord:rule", "accord:watchEveryMs") if name in process
        }:
            raise ValueError("not the words of its rule")
        statuses = found.get("dpv:hasConsentStatus") or found["accord:hasStatus"]
        events = tuple((e["accord:kind"], ms(e["dpv:isIndicatedAtTime"]), e["accord:entry"]) for e in statuses)
        c = found["accord:collected"]
        collected = Collected(
            c["accord:channel"], c["accord:agent"], bytes.fromhex(c["accord:evidenceHash"]), c["accord:assurance"],
            c["accord:representation"], bytes.fromhex(c["accord:representative"]), bytes.fromhex(c["accord:representationHash"]),
        )  # fmt: skip
        return Said(terms, State(found["accord:state"]), events, collected)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("not a receipt") from error


def told(life: Life) -> Said:
    """What the leaves say, to be compared with `read`."""
    events = tuple((event.kind, event.at_ms, event.leaf_index) for event in life.events)
    return Said(life.terms, life.state, events, life.act.collected)


def digest(document: Document) -> bytes:
    """SHA-256 of the document's one encoding: keys sorted, no space, UTF-8. ValueError if it holds what has none."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).digest()


def statement(origin: str, document: Document) -> str:
    """What the log signs (C2SP signed note) for a document whose proof has no statement yet."""
    return f"{origin}/receipt\n{base64.b64encode(digest(document)).decode()}\n"


def parse(text: str) -> Document:
    """JSON as a document; ValueError for anything that two readers could read in two ways: a key twice, a float."""

    def once(pairs: list[tuple[str, Any]]) -> Document:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key twice")
        return found

    def no(_: str) -> Any:
        raise ValueError("not a whole number")

    try:
        found = json.loads(text, object_pairs_hook=once, parse_float=no, parse_constant=no)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("not a document")
    return found


def dump(document: Document) -> str:
    """The document as a file: indented, one way to write it."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
