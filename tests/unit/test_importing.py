"""Consents from elsewhere: what can be honoured becomes terms, never wider; what cannot is refused with every reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.core.facts import State, Terms
from consent.core.importing import TEXTS, Imported, Known, Names, Objection, authorisation, parse, read
from consent.core.importing.drafts import DAY_MS
from consent.core.life import Collected, Event, Life
from consent.core.record import About, record, write
from exchange.core.decision import DataSet
from exchange.data_sets import QUOTIENT_FAMILIAL
from tests.world import RECIPIENT

OTHER = DataSet("dgfip.rfr.v1", "dgfip", frozenset({"rfr", "foyer"}), frozenset())
START = "2026-01-01T00:00:00.000Z"
START_MS, YEAR_MS = 1_767_225_600_000, 365 * DAY_MS
KNOWN = Known(RECIPIENT, ("tarification-cantine", "tarification-periscolaire"),
              {d.name: d for d in (QUOTIENT_FAMILIAL, OTHER)}, START_MS + 1)  # fmt: skip
NAMES = Names(
    purposes={"101": "tarification-cantine", "dpv:ServiceProvision": "tarification-cantine"},
    data_sets={"DEPOSIT": QUOTIENT_FAMILIAL.name, "INCOME": OTHER.name},
    scopes={
        "SUMMARY": ["cnaf_quotient_familial"],
        "PROFILE": ["cnaf_allocataires", "foyer"],
        "pd:IncomeBracket": ["cnaf_quotient_familial"],
    },
    recipients={"cantine@fiu": RECIPIENT},
)


def artefact(**changes: Any) -> dict[str, Any]:
    """An Account Aggregator artefact that can be honoured; `None` removes a field."""
    body = {
        "consentStart": START, "consentExpiry": "2027-01-01T00:00:00.000+0000", "consentMode": "STORE", "fetchType": "PERIODIC",
        "consentTypes": ["SUMMARY"], "fiTypes": ["DEPOSIT"], "DataConsumer": {"id": "cantine@fiu", "type": "FIU"},
        "Customer": {"id": "jeanne@aa"}, "Purpose": {"code": "101", "refUri": "https://example.org/101.xml", "text": "Cantine"},
        "FIDataRange": {"from": "2025-01-01T00:00:00Z", "to": "2028-01-01T00:00:00Z"}, "DataLife": {"unit": "MONTH", "value": 6},
        "Frequency": {"unit": "MONTH", "value": 2}, "DataFilter": [],
    } | changes  # fmt: skip
    return {name: value for name, value in body.items() if value is not None}


def dpv(process: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A DPV record that can be honoured; `None` removes a field."""
    body = {
        "@context": "https://w3id.org/dpv", "@type": "dpv:ConsentRecord", "dct:conformsTo": "https://w3id.org/dpv/schema/dpv-27560#record",
        "dpv:hasLegalBasis": "eu-gdpr:A6-1-a", "dpv:hasNotice": {"@id": "https://example.org/notice", "dct:hasVersion": "3"},
        "dpv:hasDataController": f"urn:siret:{RECIPIENT}",
        "dpv:hasConsentStatus": [
            {"@type": "dpv:ConsentRequested", "dpv:isIndicatedAtTime": "2025-12-31T00:00:00Z"},
            {"@type": "dpv:ConsentGiven", "dpv:isIndicatedAtTime": START, "dpv:hasDuration": {"@type": "dpv:TemporalDuration", "rdf:value": "P1Y"}},
        ],
        "dpv:hasProcess": {
            "@type": "dpv:Process", "dpv:hasPurpose": "dpv:ServiceProvision", "dpv:hasPersonalData": [{"@type": "pd:IncomeBracket"}],
            "dpv:hasStorageCondition": [{"@type": "dpv:StorageLocation"}, {"@type": "dpv:StorageDuration", "dpv:hasDuration": "P6M"}],
        } | (process or {}),
    } | changes  # fmt: skip
    return {name: value for name, value in body.items() if value is not None}


def imported(body: object) -> Imported:
    return read(body, NAMES, KNOWN)


def objections(body: object) -> list[str]:
    found = imported(body)
    assert not (found.drafts and found.reasons)
    return list(dict.fromkeys(reason.code.value for reason in found.reasons))


class TestAggregator:
    """Account Aggregator artefacts (ReBIT)."""

    def test_terms(self) -> None:
        """Two a month for a year are 24 uses over the year; six months of data life are 180 days; the types are data set and scopes."""
        (draft,) = imported(artefact()).drafts
        t = draft.terms
        assert (t.recipient, t.provider, t.data_set, t.purpose) == (
            RECIPIENT,
            "cnaf",
            QUOTIENT_FAMILIAL.name,
            "tarification-cantine",
        )
        assert (t.scopes, t.not_before_ms, t.not_after_ms) == (
            ("cnaf_quotient_familial",),
            START_MS,
            START_MS + YEAR_MS,
        )
        assert (t.max_uses, t.data_life_days, t.basis) == (24, 180, "consent")
        assert (draft.channel, draft.signed) == ("online", False)

    def test_several_data_sets(self) -> None:
        """One draft for each, with the scopes that are its own."""
        found = imported(artefact(fiTypes=["DEPOSIT", "INCOME"], consentTypes=["PROFILE", "SUMMARY"])).drafts
        assert [(d.terms.data_set, d.terms.scopes) for d in found] == [
            (QUOTIENT_FAMILIAL.name, ("cnaf_allocataires", "cnaf_quotient_familial")), (OTHER.name, ("foyer",)),
        ]  # fmt: skip

    def test_once(self) -> None:
        """A one-time fetch is one use, whatever its frequency."""
        assert imported(artefact(fetchType="ONETIME", Frequency=None)).drafts[0].terms.max_uses == 1

    def test_uses_left(self) -> None:
        """What was used elsewhere is not given again."""
        outer = {"consentId": "1", "status": "ACTIVE", "ConsentUse": {"count": 20}, "ConsentDetail": artefact()}
        assert imported(outer).drafts[0].terms.max_uses == 4
        assert objections(outer | {"ConsentUse": {"count": 24}}) == ["used_up"]

    def test_signed(self) -> None:
        """The payload of a signed artefact is what counts, and it is marked: its signature is not ours to check."""
        payload = base64.urlsafe_b64encode(json.dumps(artefact(consentTypes=["PROFILE"])).encode()).decode().rstrip("=")
        (draft,) = imported(
            {"ver": "2.0.0", "status": "ACTIVE", "signedConsent": f"e30.{payload}.c2ln", "ConsentDetail": artefact()}
        ).drafts
        assert draft.signed and draft.terms.scopes == ("cnaf_allocataires",)
        for bad in ("", "a.b", "a.!.c", 7, f"e30.{payload[:-5]}.x"):
            assert "signature_unreadable" in objections({"signedConsent": bad})

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"consentExpiry": "2025-06-01T00:00:00Z"}, ["validity"]),
            ({"consentStart": "2024-01-01T00:00:00Z", "consentExpiry": "2025-01-02T00:00:00Z", "FIDataRange": None}, ["expired"]),
            ({"consentStart": "yesterday", "FIDataRange": None}, ["validity"]),
            ({"consentExpiry": None}, ["validity"]),
            ({"DataConsumer": {"id": "bank@fiu"}}, ["recipient_unknown"]), ({"DataConsumer": None}, ["recipient_unknown"]),
            ({"DataConsumer": {"id": "1" * 14}}, ["recipient_other"]),
            ({"fiTypes": ["MUTUAL_FUNDS"]}, ["data_set_unknown"]), ({"fiTypes": []}, ["data_set_unknown"]),
            ({"fiTypes": [{}]}, ["data_set_unknown"]), ({"Purpose": {"code": "105"}}, ["purpose_unknown"]),
            ({"Purpose": None}, ["purpose_unknown"]), ({"consentTypes": ["TRANSACTIONS"]}, ["scope_unknown", "scope_missing"]),
            ({"consentTypes": None}, ["scope_missing"]), ({"consentMode": "STREAM"}, ["mode"]), ({"consentMode": "QUERY"}, ["mode"]),
            ({"Frequency": {"unit": "INF", "value": 1}}, ["frequency"]), ({"Frequency": {"unit": "HOUR", "value": 24}}, ["frequency"]),
            ({"Frequency": {"unit": "DAY", "value": 0}}, ["frequency"]), ({"Frequency": {"unit": "DAY", "value": True}}, ["frequency"]),
            ({"Frequency": {"unit": "DAY", "value": 10**400}}, ["frequency"]), ({"Frequency": None}, ["frequency"]),
            ({"fetchType": "ALWAYS"}, ["frequency"]), ({"DataLife": {"unit": "INF", "value": 0}}, ["data_life"]),
            ({"DataLife": {"unit": "CENTURY", "value": 1}}, ["data_life"]), ({"DataLife": None}, ["data_life"]),
            ({"DataFilter": [{"type": "TRANSACTIONAMOUNT", "operator": ">", "value": "20000"}]}, ["data_filter"]),
            ({"Accounts": [{"linkRefNumber": "1"}]}, ["accounts"]),
            ({"FIDataRange": {"from": "2026-06-01T00:00:00Z", "to": "2028-01-01T00:00:00Z"}}, ["data_range"]),
            ({"status": "PAUSED"}, ["not_given"]), ({"ver": "7.0"}, ["profile_unknown"]),
            ({"consentMode": "STREAM", "DataLife": {"unit": "INF"}, "Purpose": {}}, ["mode", "purpose_unknown", "data_life"]),
        ],
    )  # fmt: skip
    def test_refused(self, changes: dict[str, Any], said: list[str]) -> None:
        """What cannot be honoured is named, all of it at once."""
        assert objections(artefact(**changes)) == said

    def test_only_asked_for(self) -> None:
        """A detail sent before the person answered, without id, status or signature, is not given."""
        assert objections({"ver": "2.0.0", "txnid": "1", "ConsentDetail": artefact()}) == ["not_given"]
        assert objections({"consentId": "1", "status": "REVOKED", "ConsentDetail": artefact()}) == ["not_given"]


class TestDpv:
    """JSON-LD records per ISO/IEC TS 27560 in DPV's words."""

    def test_terms(self) -> None:
        """Validity from the event that holds, data life from the storage condition, the data set from the data."""
        (draft,) = imported(dpv()).drafts
        t = draft.terms
        assert (t.data_set, t.scopes, t.purpose) == (
            QUOTIENT_FAMILIAL.name,
            ("cnaf_quotient_familial",),
            "tarification-cantine",
        )
        assert (t.not_before_ms, t.not_after_ms, t.max_uses, t.data_life_days) == (
            START_MS,
            START_MS + YEAR_MS,
            100,
            180,
        )
        assert (t.notice_hash, t.notice_version) == (b"", "3")

    def test_full_names_and_graph(self) -> None:
        """The same with full IRIs, as a graph with references, reads the same."""
        text = json.dumps(dpv()).replace('"dpv:', '"https://w3id.org/dpv#').replace('"pd:', '"https://w3id.org/dpv/pd#')
        body = json.loads(text)
        names = Names(
            purposes={"ServiceProvision": "tarification-cantine"},
            scopes={"IncomeBracket": ["cnaf_quotient_familial"]},
            recipients={},
        )
        process = body.pop("https://w3id.org/dpv#hasProcess") | {"@id": "_:p"}
        body["https://w3id.org/dpv#hasProcess"] = {"@id": "_:p"}
        found = read({"@graph": [{"@id": "_:x", "@type": "dpv:DPIA"}, body, process]}, names, KNOWN)
        assert found == imported(dpv())

    def test_uses(self) -> None:
        """A number of occurrences bounds the uses; a singular frequency is one use."""
        status = dpv()["dpv:hasConsentStatus"][1]
        status = status | {
            "dpv:hasDuration": [status["dpv:hasDuration"], {"@type": "dpv:FixedOccurrencesDuration", "rdf:value": "7"}]
        }
        assert imported(dpv(**{"dpv:hasConsentStatus": status})).drafts[0].terms.max_uses == 7
        assert imported(dpv({"dpv:hasFrequency": "dpv:SingularFrequency"})).drafts[0].terms.max_uses == 1

    @pytest.mark.parametrize(
        ("process", "changes", "said"),
        [
            ({}, {"dpv:hasConsentStatus": {"@id": "dpv:ConsentRefused"}}, ["not_given", "validity"]),
            ({}, {"dpv:hasConsentStatus": None}, ["not_given", "validity"]),
            ({}, {"dpv:hasConsentStatus": [*dpv()["dpv:hasConsentStatus"], {"@type": "dpv:ConsentWithdrawn",
             "dpv:isIndicatedAtTime": "2026-02-01T00:00:00Z"}]}, ["not_given", "validity"]),
            ({}, {"dpv:hasLegalBasis": "eu-gdpr:A6-1-e"}, ["basis_not_consent"]),
            ({}, {"@type": "dpv:DataProcessingRecord"}, ["basis_not_consent"]),
            ({}, {"dpv:hasNotice": None}, ["notice_missing"]), ({}, {"dpv:hasNotice": {"@id": "urn:sha256:none"}}, ["notice_missing"]),
            ({}, {"dct:conformsTo": "https://example.org/mine"}, ["profile_unknown"]),
            ({}, {"dpv:hasDataController": "ex:Acme"}, ["recipient_unknown"]),
            ({"dpv:hasRecipient": ["urn:siret:" + "1" * 14]}, {}, ["recipient_other"]),
            ({"dpv:hasPurpose": "dpv:Marketing"}, {}, ["purpose_unknown"]), ({"dpv:hasPurpose": None}, {}, ["purpose_unknown"]),
            ({"dpv:hasPersonalData": ["pd:Email"]}, {}, ["scope_unknown", "scope_missing"]),
            ({"dpv:hasPersonalData": None}, {}, ["scope_missing"]), ({"accord:dataSet": "x.v9"}, {}, ["data_set_unknown", "scope_unknown"]),
            ({"dpv:hasFrequency": "dpv:ContinuousFrequency"}, {}, ["frequency"]),
            ({"dpv:hasStorageCondition": None}, {}, ["data_life"]),
            ({"dpv:hasStorageCondition": {"dpv:hasDuration": {"@type": "dpv:EndlessDuration"}}}, {}, ["data_life"]),
            ({"accord:assuranceRequired": "eidas2"}, {}, ["assurance"]),
            ({}, {"accord:collected": {"accord:representation": "parent"}}, ["represented"]),
        ],
    )  # fmt: skip
    def test_refused(self, process: dict[str, Any], changes: dict[str, Any], said: list[str]) -> None:
        """What cannot be honoured is named."""
        assert objections(dpv(process, **changes)) == said

    def test_endless(self) -> None:
        """A consent for good has no end we could keep."""
        status = dpv()["dpv:hasConsentStatus"][1] | {"dpv:hasDuration": {"@type": "dpv:EndlessDuration"}}
        assert objections(dpv(**{"dpv:hasConsentStatus": status})) == ["validity"]

    def test_a_graph_that_refers_to_itself(self) -> None:
        """Nodes that all refer to all are cut, not followed for ever."""
        nodes = [{"@id": f"_:{n}", "dpv:hasPart": [{"@id": f"_:{m}"} for m in range(50)]} for n in range(50)]
        assert objections({"@graph": nodes}) == ["not_an_artefact"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mangled(draw: st.DrawFn) -> Any:
    """A sound artefact with one or two of its values, anywhere, replaced by any JSON."""
    body = json.loads(
        json.dumps(draw(st.sampled_from([artefact(), dpv(), {"consentId": "1", "ConsentDetail": artefact()}])))
    )
    for _ in range(draw(st.integers(1, 2))):
        place: Any = body
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            if draw(st.booleans()) or not isinstance(place[key], dict | list):
                place[key] = draw(JSON)
                break
            place = place[key]
    return body


@settings(max_examples=300, deadline=None)
@given(JSON | mangled())
def test_any_json_is_answered(body: Any) -> None:
    """Arbitrary JSON never raises: drafts, or reasons; the terms drawn up are bounded and of the catalogue."""
    found = imported(body)
    assert bool(found.drafts) != bool(found.reasons)
    for draft in found.drafts:
        t = draft.terms
        assert t.recipient == RECIPIENT and t.purpose in KNOWN.purposes
        assert set(t.scopes) <= KNOWN.data_sets[t.data_set].scopes and t.scopes
        assert 0 <= t.not_before_ms < t.not_after_ms and t.not_after_ms > KNOWN.now_ms
        assert 1 <= t.max_uses <= 10_000 and 0 <= t.data_life_days <= 36_500


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_not(data: bytes) -> None:
    """Bytes are one JSON value or nothing."""
    assert parse(data) is None or json.loads(data) is not Ellipsis


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b"{" + b" " * (1 << 20) + b"}", b"1" * 5000, b'{"a":1}x']
)
def test_unclear_bytes(data: bytes) -> None:
    """Truncated, nested too deep, too long, a name twice: no artefact."""
    assert objections(parse(data)) == ["not_an_artefact"]


def test_ids_follow_from_the_artefact() -> None:
    """The same artefact and place: the same id of 16 bytes; any other, another."""
    ids = {authorisation(bytes([n]) * 32, place) for n in range(3) for place in range(3)}
    assert len(ids) == 9 and {len(i) for i in ids} == {16}
    assert authorisation(bytes(32), 0) == authorisation(bytes(32), 0)


def test_every_objection_has_its_words() -> None:
    """French and English for each, and each is a reason that some artefact above was refused for."""
    assert set(TEXTS) == set(Objection)
    assert all(fr and en and fr != en for fr, en in TEXTS.values())
    assert len({fr for fr, _ in TEXTS.values()}) == len(Objection)


def test_names_in_reasons_are_fields() -> None:
    """A reason repeats nothing of the artefact's values."""
    found = imported(
        artefact(Purpose={"code": "secret-purpose"}, DataConsumer={"id": "secret-bank"}, fiTypes=["secret-type"])
    )
    assert found.reasons and "secret" not in str(found.reasons)


@pytest.mark.parametrize("channel", ["online", "counter"])
def test_our_own_records_come_back(channel: str) -> None:
    """A receipt of ours, or its record alone, is imported under the same terms and channel; withdrawn, it is not given any more."""
    terms = Terms(RECIPIENT, "cnaf", QUOTIENT_FAMILIAL.name, "tarification-cantine", ("cnaf_enfants", "cnaf_quotient_familial"), START_MS,
                  START_MS + YEAR_MS, 12, notice_hash=b"n" * 32, notice_version="2026-1", data_life_days=90)  # fmt: skip
    events = [Event("given", START_MS, 7, terms, Collected(channel, "agent", b"h" * 32))]
    about = About(
        b"a" * 16, b"s" * 32, RECIPIENT[:9], 0, START_MS, "accord.test/log", bytes(32), "final", "1", "Titre", {}, {}
    )
    known = Known(RECIPIENT, (terms.purpose,), {QUOTIENT_FAMILIAL.name: QUOTIENT_FAMILIAL}, START_MS)
    receipt = json.loads(json.dumps(write(Life(terms, State.LIVE, tuple(events)), about)))
    for body in (receipt, record(receipt)):
        found = read(body, Names(), known)
        assert [(draft.terms, draft.channel) for draft in found.drafts] == [(terms, channel)], found.reasons
    events.append(events[0]._replace(kind="withdrawn", at_ms=START_MS + 1))
    gone = read(write(Life(terms, State.WITHDRAWN, tuple(events)), about), Names(), known)
    assert Objection.NOT_GIVEN in [reason.code for reason in gone.reasons]
