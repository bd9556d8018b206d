"""The JSON-LD record and receipt: the fields of the DPV guide for ISO/IEC TS 27560, and nothing lost between writing and reading."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core import life, record, vocabulary
from consent.core.facts import Assurance, Basis, State, Terms
from consent.core.life import Collected, Content, Fact
from consent.core.record import About, Party
from exchange.core.rendering import rfc3339

MS = st.integers(0, 4_000_000_000_000)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-.", min_size=1, max_size=20)
TERMS = st.builds(
    Terms, NAMES, NAMES, NAMES, TEXTS, st.lists(TEXTS, min_size=1, max_size=5, unique=True).map(sorted).map(tuple), MS, MS,
    st.integers(1, 10**6), st.sampled_from(get_args(Basis)), TEXTS | st.just(""), st.just(b"") | st.binary(min_size=32, max_size=32),
    TEXTS | st.just(""), st.integers(0, 10**5), st.sampled_from(get_args(Assurance)),
)  # fmt: skip
COLLECTED = st.builds(
    Collected, st.sampled_from(["online", "counter", "phone", "paper"]), TEXTS | st.just(""), st.binary(max_size=32),
    st.sampled_from(get_args(Assurance)), st.sampled_from(["", "parent", "mandate"]), st.binary(max_size=32), st.binary(max_size=32),
)  # fmt: skip
ABOUT = About(
    bytes(range(16)), b"s" * 32, "130007669", 3, 1_800_000_000_000, "accord.test/log", bytes(32), "pending", "0" * 16,
    "Quotient familial", {"cnaf_enfants": "Identité des enfants"}, {},
)  # fmt: skip
GIVEN = Terms("21130055300016", "cnaf", "cnaf.quotient-familial.v1", "tarification-cantine", ("cnaf_enfants",), 10, 20)


ONLINE = Collected("online")


def lived(terms: Terms = GIVEN, collected: Collected = ONLINE, *later: tuple[str, Content]) -> life.Life:
    facts = [Fact(0, "given", 1_000, b"l", Content(terms, collected))]
    facts += [Fact(n, kind, 1_000 + n, b"l", content) for n, (kind, content) in enumerate(later, start=1)]
    return life.live(facts)


def full(name: str, context: dict[str, Any]) -> str:
    """A name as an absolute IRI."""
    prefix, colon, rest = name.partition(":")
    if prefix in context:
        return str(context[prefix]) + rest
    assert colon and prefix in ("urn", "https", "http"), name
    return name


def expanded(document: Any, context: dict[str, Any], key: str = "") -> Any:
    """JSON-LD expansion of what our documents use (inline context, prefixes, `@id` coercion, `@json`), from the JSON-LD 1.1 text:
    every key and every coerced value becomes an absolute IRI, or it fails."""
    coerced = context.get(key, {}).get("@type") if isinstance(context.get(key), dict) else None
    if coerced == "@json":
        return [{"@type": "@json", "@value": document}]
    if isinstance(document, list):
        return [item for part in document for item in expanded(part, context, key)]
    if not isinstance(document, dict):
        return [{"@id": full(document, context)} if coerced == "@id" else {"@value": document}]
    if "@value" in document:
        return [document | ({"@type": full(document["@type"], context)} if "@type" in document else {})]
    return [dict(_member(name, value, context) for name, value in document.items() if name != "@context")]


def _member(name: str, value: Any, context: dict[str, Any]) -> tuple[str, Any]:
    if name == "@type":
        return name, [full(one, context) for one in ([value] if isinstance(value, str) else value)]
    if name == "@id":
        return name, full(value, context)
    assert not name.startswith("@"), name
    return full(name, context), expanded(value, context, name)


DPV, DCT = "https://w3id.org/dpv#", "http://purl.org/dc/terms/"


def expand(document: record.Document) -> dict[str, Any]:
    (found,) = expanded(document, document["@context"])
    assert isinstance(found, dict)
    return found


def test_a_receipt_expands_without_a_network() -> None:
    """Its context is inline: no remote one, and every name in it becomes an absolute IRI of a published vocabulary or of ours."""
    document = record.write(lived(), ABOUT) | {"accord:proof": {"any": "thing"}}
    assert all(isinstance(iri, str) or iri.keys() == {"@type"} for iri in document["@context"].values())
    receipt = expand(document)
    assert receipt["@type"] == [DPV + "ConsentReceipt"]
    assert receipt["urn:accord:v1:proof"] == [{"@type": "@json", "@value": {"any": "thing"}}]


def test_the_receipt_has_the_fields_of_its_profile() -> None:
    """Receipt: schema version, identifier, time of creation, the record it is about."""
    receipt = expand(record.write(lived(), ABOUT))
    assert receipt[DCT + "conformsTo"] == [{"@id": "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"}]
    assert receipt[DPV + "hasIdentifier"] and receipt[DCT + "created"][0]["@value"] == rfc3339(ABOUT.at_ms)
    assert [r["@type"] for r in receipt[DPV + "hasRecordOfActivity"]] == [[DPV + "ConsentRecord"]]


def test_the_record_has_every_mandatory_field_and_those_of_the_gdpr() -> None:
    """Header, notice, processing, parties, events: what the guide says MUST be present, and what its EU-GDPR profile adds."""
    parties = {GIVEN.recipient: Party("Ville", "1 rue", "dpo@ville.example", "https://ville.example")}
    found = expand(record.record(record.write(lived(), ABOUT._replace(parties=parties))))
    assert found[DCT + "conformsTo"] == [{"@id": "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"}]
    assert found[DCT + "identifier"] and found[DPV + "hasDataSubject"][0]["@type"] == [DPV + "DataSubject"]
    assert (
        found[DPV + "hasNotice"][0]["@type"] == [DPV + "ConsentNotice"]
        and found[DPV + "hasNotice"][0][DCT + "language"]
    )
    (process,) = found[DPV + "hasProcess"]
    for name in (
        "hasPurpose", "hasPersonalData", "hasStorageCondition", "hasDataController", "hasRecipient", "hasConsentControl",
        "hasDataSource", "hasProcessing", "hasProcessingCondition",
    ):  # fmt: skip
        assert process[DPV + name], name
    assert [s["@type"] for s in process[DPV + "hasStorageCondition"]] == [
        [DPV + "StorageLocation"],
        [DPV + "StorageDuration"],
    ]
    assert process[DPV + "hasConsentControl"][0][DPV + "isExercisedAt"] == [{"@id": "https://ville.example"}]
    assert found[DPV + "hasJurisdiction"] and found[DPV + "hasAuthority"] == [{"@id": "https://www.cnil.fr/"}]
    assert found[DPV + "hasLegalBasis"][0]["@id"] == "https://w3id.org/dpv/legal/eu/gdpr#A6-1-a"
    assert {r["@type"][1].rpartition("#")[2] for r in found[DPV + "hasRight"]} == {
        "A7-3",
        "A15",
        "A16",
        "A17",
        "A18",
        "A21",
        "A77",
    }
    (given_event,) = found[DPV + "hasConsentStatus"]
    for name in ("isIndicatedAtTime", "hasDuration", "isIndicatedBy", "hasIndicationMethod"):
        assert given_event[DPV + name], name
    town = next(e for e in found[DPV + "hasEntity"] if e["@id"] == "urn:siret:21130055300016")
    for name in (
        DPV + "hasName",
        DPV + "hasIdentifier",
        "https://schema.org/address",
        "https://schema.org/contactPoint",
    ):
        assert town[name], name


def test_a_party_unknown_by_name_is_its_number() -> None:
    """Nothing is invented: without a setting, an organisation is its SIRET."""
    found = record.write(lived(), ABOUT)["dpv:hasRecordOfActivity"]["dpv:hasEntity"]
    assert found[0] == {"@id": "urn:siret:21130055300016", "@type": ["dpv:DataController", "dpv:Recipient"], "dpv:hasIdentifier": "21130055300016"}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(life.KINDS))
def test_every_event_has_a_status_and_only_given_ones_allow(kind: str) -> None:
    """Each thing that happens has DPV's word; those valid for processing are those that leave an agreement live."""
    types, _ = vocabulary.EVENTS[kind]
    valid = bool({"dpv:ConsentGiven", "dpv:RenewedConsentGiven"} & set(types))
    assert valid == (kind in vocabulary.OPENING) and set(vocabulary.EVENTS) == life.KINDS


def test_a_legal_basis_claims_no_consent() -> None:
    """Same shape, other types: no consent record, no consent status, no right to withdraw a consent; the text it rests on."""
    terms = msgspec.structs.replace(GIVEN, basis="legal", legal_reference="CRPA L114-8")
    text = json.dumps(record.write(lived(terms), ABOUT))
    for word in ("dpv-27560", "ConsentRecord", "hasConsentStatus", "A7-3", "A6-1-a", "ConsentGiven"):
        assert word not in text
    assert "A6-1-e" in text and "CRPA L114-8" in text


def test_assistance_and_representation_are_told() -> None:
    """A receipt says when an agent recorded the act, and who spoke for the person, by reference."""
    collected = Collected("phone", "agent-7", b"e", "eidas1", "parent", b"p" * 32)
    found = record.write(lived(GIVEN, collected), ABOUT)["dpv:hasRecordOfActivity"]
    assert (
        found["accord:collected"]["accord:assisted"] is True and found["accord:collected"]["accord:agent"] == "agent-7"
    )
    (event,) = found["dpv:hasConsentStatus"]
    assert event["dpv:isIndicatedBy"] == {"@id": f"urn:accord:subject:{'70' * 32}", "@type": "dpv:ParentOfDataSubject"}


@given(TERMS, COLLECTED)
def test_what_is_written_is_read_back(terms: Terms, collected: Collected) -> None:
    """Any terms, any collection: reading the document gives what was written, through JSON text and back."""
    told = lived(terms, collected, ("narrowed", Content(scopes=terms.scopes[:1])), ("withdrawn", Content()))
    again = record.parse(record.dump(record.write(told, ABOUT)))
    assert record.read(again) == record.told(told)
    assert record.digest(again) == record.digest(record.write(told, ABOUT))


def test_a_life_is_folded_from_its_facts() -> None:
    """Narrowed to fewer scopes, renewed with uses on top of those made, expired: terms and state follow; the act is the agreement."""
    renewal = Content(terms=GIVEN, evidence=Collected("counter", "agent-7"), uses=4)
    told = lived(GIVEN, Collected("online"), ("expired", Content()), ("renewed", renewal), ("used_up", Content()))
    assert (told.state, told.terms.max_uses) == (State.USED_UP, 104)
    assert told.act.kind == "given" and told.act.collected.channel == "online"


@pytest.mark.parametrize("facts", [
    [], [Fact(0, "expired", 1, b"l", Content())], [Fact(0, "released", 1, b"l", Content(GIVEN, Collected("online")))],
    [Fact(0, "given", 1, b"l", Content(GIVEN, Collected("online"))), Fact(1, "withdrawn", 2, b"m", Content())],
    [Fact(1, "given", 1, b"l", Content(GIVEN, Collected("online"))), Fact(0, "withdrawn", 2, b"l", Content())],
])  # fmt: skip
def test_facts_that_are_no_life_are_refused(facts: list[Fact]) -> None:
    """None at all, none with terms, of another kind, of two authorisations, out of order: ValueError."""
    with pytest.raises(ValueError):
        life.live(facts)


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '{"a":1.0}', '{"a":NaN}', "[]", '"a"', "", "{" * 100_000, '{"a":' * 50_000]
)
def test_a_document_has_one_reading(text: str) -> None:
    """A key twice, a float, not an object, too deep: ValueError, nothing else."""
    with pytest.raises(ValueError):
        record.parse(text)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda c: st.lists(c) | st.dictionaries(TEXTS, c))
)
def test_reading_anything_raises_nothing_but_value_error(value: Any) -> None:
    """Bad documents are refused, never a crash."""
    with pytest.raises(ValueError):
        record.read({"dpv:hasRecordOfActivity": value})


@given(MS)
def test_times_are_read_back_to_the_millisecond(ms: int) -> None:
    """RFC 3339 with milliseconds, and no other way to write the same instant."""
    assert vocabulary.ms(rfc3339(ms)) == ms
    with pytest.raises(ValueError):
        vocabulary.ms(rfc3339(ms).replace("Z", "+00:00"))
