"""`/v1/consents`: asked for, checked, withdrawn and proven by the collectivity's own operator, and by nobody else."""

from __future__ import annotations

import base64
import os

import pytest

from consent.core import record
from consent.core.facts import Evidence, Terms
from consent.core.proof import read as read_proof
from exchange import rules
from exchange.adapters.http import evidence_body, terms_body
from exchange.core.identity import canonical
from exchange.introduction import LEGAL_REFERENCE
from exchange.introduction import terms as usual
from exchange.recording import sealed_whom
from tests.portal.api.stand import Stand
from tests.portal.api.test_requests import OTHER, asked, ended
from tests.world import JEANNE

QF, PURPOSE, SCOPE = "cnaf.quotient-familial.v1", "tarification-cantine", "cnaf_quotient_familial"


def wanted(stand: Stand, **changes: object) -> dict[str, object]:
    return {"recipient": stand.bus.recipient, "data_set": QF, "purpose": PURPOSE, "scopes": [SCOPE]} | changes


async def test_an_agreement_is_asked_for_then_given(stand: Stand) -> None:
    """201 with its address; it is the ledger's, waits for the person, and serves once they gave it."""
    made = await stand.call("POST", "/consents", json=wanted(stand))
    assert (made.status_code, made.json()["state"]) == (201, "requested")
    id = made.json()["id"]
    assert made.headers["location"].endswith(f"/v1/consents/{id}")
    same = await stand.call(
        "POST",
        "/consents",
        json=wanted(stand, id=id, not_before=made.json()["not_before"], not_after=made.json()["not_after"]),
    )
    assert (same.status_code, same.json()) == (201, made.json())
    other = await stand.call("POST", "/consents", json=wanted(stand, id=id, max_uses=3))
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    authorisation = bytes.fromhex(id)
    terms = await stand.bus.ledger.terms(authorisation)
    grant = await stand.bus.ledger.grant(
        authorisation, terms, canonical(JEANNE), Evidence("online"), stand.bus.operator
    )
    assert (await stand.call("GET", f"/consents/{id}")).json()["state"] == "live"
    capsule = (await stand.call("GET", f"/consents/{id}/capsule")).json()
    assert base64.b64decode(capsule["certificate"]) == grant.certificate
    stand.bus.wallet.keep(authorisation, base64.b64decode(capsule["capsule"]))
    opened = stand.bus.wallet.capsule(authorisation)
    assert opened is not None and opened.identity == canonical(JEANNE)


async def test_nothing_of_the_person_is_told(stand: Stand) -> None:
    """Neither the agreement, nor its receipt, nor its sealed capsule names anybody."""
    agreement = await stand.bus.give(JEANNE)
    for path in ("", "/receipt", "/proof", "/capsule"):
        told = await stand.call("GET", f"/consents/{agreement.hex()}{path}")
        assert told.status_code == 200
        assert "martin" not in told.text.lower() and "jeanne" not in told.text.lower()


async def test_checked_before_it_is_asked(stand: Stand) -> None:
    """Allowed until when and how often; or why not, and what to do: what the gate itself would say."""
    agreement = await stand.bus.give(JEANNE, max_uses=2)
    ask = wanted(stand, authorisation=agreement.hex())
    told = (await stand.call("POST", "/consents/checks", json=ask)).json()
    assert (told["allowed"], told["uses_left"], told["problem"]) == (True, 2, None) and told["until"] > "2027"
    request, _ = await asked(stand, agreement)
    await ended(stand, request)
    assert (await stand.call("POST", "/consents/checks", json=ask)).json()["uses_left"] == 1
    for change, code in (
        ({"purpose": "tarification-creche"}, "purpose_mismatch"), ({"scopes": ["cnaf_adresse", "no_such"]}, "scope_exceeded"),
        ({"parameters": [{"name": "nom", "value": "x"}]}, "parameter_unknown"), ({"authorisation": os.urandom(16).hex()}, "authorisation_unknown"),
    ):  # fmt: skip
        told = (await stand.call("POST", "/consents/checks", json=ask | change)).json()
        assert (told["allowed"], told["problem"]["code"]) == (False, code) and told["problem"]["todo"]
    await stand.bus.withdraw(agreement)
    assert (await stand.call("POST", "/consents/checks", json=ask)).json()["problem"]["code"] == "withdrawn"


async def test_withdrawn_once(stand: Stand) -> None:
    """Ask 12: a withdrawal told to the collectivity destroys the keys; told again it gets the same signed word."""
    agreement = await stand.bus.give(JEANNE)
    first = await stand.call(
        "POST",
        f"/consents/{agreement.hex()}/withdrawals",
        json={"happening": "withdrawn", "evidence": {"channel": "online"}},
    )
    again = await stand.call("POST", f"/consents/{agreement.hex()}/withdrawals", json={})
    assert (first.status_code, first.json()["state"], first.json()["named"]) == (200, "withdrawn", [])
    assert again.json() == first.json()
    assert not await stand.bus.ledger.has_key(agreement)
    request, _ = await asked(stand, agreement)
    assert (await ended(stand, request))["outcome"]["reason"] == "withdrawn"


@pytest.mark.parametrize("accept", ["application/ld+json", "application/pdf", "text/plain", ""])
async def test_a_receipt_in_each_form(stand: Stand, accept: str) -> None:
    """By `Accept`: signed JSON-LD by default, a page, or the C2SP proof; each stands with the log's key alone."""
    agreement = await stand.bus.give(JEANNE)
    told = await stand.call(
        "GET", f"/consents/{agreement.hex()}/receipt", headers={"accept": accept} if accept else {"accept": "*/*"}
    )
    assert told.headers["content-type"].partition(";")[0] == (accept or "application/ld+json")
    if accept == "application/pdf":
        assert told.content.startswith(b"%PDF-")
    elif accept == "text/plain":
        assert told.text == (await stand.call("GET", f"/consents/{agreement.hex()}/proof")).text
        assert read_proof(told.text).leaf_index >= 0
    else:
        assert record.parse(told.text)["accord:proof"]["facts"]
    refused = await stand.call("GET", f"/consents/{agreement.hex()}/receipt", headers={"accept": "image/png"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")


async def test_anothers_agreement_is_unknown(stand: Stand) -> None:
    """The same 404 as for an id nobody gave, at every address; asking in another's name is refused."""
    agreement, other = (await stand.bus.give(JEANNE)).hex(), await stand.another(OTHER)
    told = set()
    for id, token in ((agreement, other), (os.urandom(16).hex(), other), (os.urandom(16).hex(), None)):
        for method, path in (
            ("GET", ""),
            ("GET", "/receipt"),
            ("GET", "/proof"),
            ("GET", "/capsule"),
            ("POST", "/withdrawals"),
        ):
            more = {"json": {}} if method == "POST" else {}
            answer = await stand.call(method, f"/consents/{id}{path}", token, **more)
            told.add((answer.status_code, answer.content))
        answer = await stand.call("POST", "/consents/checks", token, json=wanted(stand, authorisation=id))
        assert answer.json()["problem"]["code"] == "authorisation_unknown"
    assert len(told) == 1 and next(iter(told))[0] == 404
    answer = await stand.call("POST", "/consents", other, json=wanted(stand))
    assert (answer.status_code, answer.json()["code"]) == (403, "delegation_absent")
    assert (await stand.call("GET", f"/consents/{agreement}")).json()["state"] == "live"


LAW = {"basis": "legal", "legal_reference": LEGAL_REFERENCE, "notice_hash": b"n" * 32, "notice_version": "2"}


async def act(stand: Stand, id: bytes, terms: Terms, **changes: object) -> dict[str, object]:
    """The body that has Jeanne's agreement recorded under this id."""
    sealed = sealed_whom(
        await stand.bus.ledger.intake(), id, terms, canonical(JEANNE), Evidence("online"), stand.bus.operator
    )
    body = {"sealed": base64.b64encode(sealed).decode(), "evidence": evidence_body(Evidence("online"))}
    return body | terms_body(terms) | changes


async def test_a_legal_basis_is_recorded(stand: Stand) -> None:
    """201 with the capsule, which the collectivity alone opens; the agreement tells its text, its notice and no name; the same again is
    the same; and it serves."""
    terms, id = usual(stand.bus.recipient, stand.bus.clock.now_ms(), QF, **LAW), os.urandom(16)
    made = await stand.call("POST", f"/consents/{id.hex()}/grants", json=await act(stand, id, terms))
    assert (made.status_code, made.headers["location"].endswith(f"/v1/consents/{id.hex()}")) == (201, True)
    stand.bus.wallet.keep(id, base64.b64decode(made.json()["capsule"]))
    opened = stand.bus.wallet.capsule(id)
    assert opened is not None and opened.identity == canonical(JEANNE)
    seen = (await stand.call("GET", f"/consents/{id.hex()}")).json()
    assert (seen["state"], seen["basis"], seen["notice_hash"], seen["notice_version"]) == (
        "live",
        "legal",
        "6e" * 32,
        "2",
    )
    again = await stand.call("POST", f"/consents/{id.hex()}/grants", json=await act(stand, id, terms))
    assert (again.status_code, again.json()["certificate"]) == (201, made.json()["certificate"])
    request, _ = await asked(stand, id)
    assert (await ended(stand, request))["status"] == "released"


async def test_what_names_somebody_is_sealed(stand: Stand) -> None:
    """Not a word of the person passes in clear: neither in the body, nor in what is answered, nor in a refusal."""
    terms, id = usual(stand.bus.recipient, stand.bus.clock.now_ms(), QF), os.urandom(16)
    body = await act(stand, id, terms)
    assert canonical(JEANNE) not in base64.b64decode(str(body["sealed"]))
    for sent in (body, body | {"max_uses": 3}):
        told = await stand.call("POST", f"/consents/{id.hex()}/grants", json=sent)
        heard = f"{told.text}{told.headers}{sent}".lower()
        assert "martin" not in heard and "jeanne" not in heard


async def test_an_act_is_recorded_as_it_was_sealed(stand: Stand) -> None:
    """Under another id, other terms or another word on how it was collected: refused, and nothing is recorded."""
    terms, id, other = usual(stand.bus.recipient, stand.bus.clock.now_ms(), QF), os.urandom(16), os.urandom(16)
    body = await act(stand, id, terms)
    carried: list[tuple[bytes, dict[str, object]]] = [(other, {})]
    carried += [
        (id, {"max_uses": 3}),
        (id, {"evidence": {"channel": "online", "agent": "x"}}),
        (id, {"sealed": "AAAA"}),
    ]
    for at, change in carried:
        told = await stand.call("POST", f"/consents/{at.hex()}/grants", json=body | change)
        assert (told.status_code, told.json()["code"]) == (409, "identity_unopenable")
    for change in ({"sealed": ""}, {"not_before": None}, {"identity": "MARTIN"}):
        told = await stand.call("POST", f"/consents/{id.hex()}/grants", json=body | change)
        assert (told.status_code, told.json()["code"]) == (400, "bad_field")
    assert await stand.bus.ledger.lookup([id, other]) == [None, None]


async def test_an_act_is_recorded_for_ones_own(stand: Stand) -> None:
    """Not for a collectivity one has no delegation of; another operator's client cannot carry it either."""
    terms, id = usual(stand.bus.recipient, stand.bus.clock.now_ms(), QF), os.urandom(16)
    token, body = await stand.another(OTHER), await act(stand, id, terms)
    told = await stand.call("POST", f"/consents/{id.hex()}/grants", token, json=body)
    assert (told.status_code, told.json()["code"]) == (403, "delegation_absent")
    assert await stand.bus.ledger.lookup([id]) == [None]


async def test_a_refusal_is_recorded_for_ones_own(stand: Stand) -> None:
    """Of what was wanted, and of what nobody wanted before; another's agreement is unknown, and stays as it was."""
    made = (await stand.call("POST", "/consents", json=wanted(stand))).json()
    for id in (made["id"], os.urandom(16).hex()):
        said = await stand.call("POST", f"/consents/{id}/refusals", json=wanted(stand))
        assert (said.status_code, said.json()["state"]) == (201, "refused")
    agreement, lyon, other = await stand.bus.give(JEANNE), "21690123100011", "216901231"
    await stand.bus.ledger.delegate(lyon, other, stand.bus.clock.now_ms() + 10**9)
    told = await stand.call(
        "POST", f"/consents/{agreement.hex()}/refusals", await stand.another(other), json=wanted(stand, recipient=lyon)
    )
    assert (told.status_code, told.json()["code"]) == (404, "authorisation_unknown")
    assert (await stand.call("GET", f"/consents/{agreement.hex()}")).json()["state"] == "live"


async def test_a_rule_and_a_watch_are_wanted_too(stand: Stand) -> None:
    """Whatever terms the ledger knows can be told over HTTP, and are told back."""
    signed = await stand.bus.ledger.sign_rule(rules.shipped()["tranche-quotient-familial"])
    ruled = wanted(stand, rule=base64.b64encode(signed).decode(), watch_every_ms=30 * 86_400_000)
    made = (await stand.call("POST", "/consents", json=ruled)).json()
    assert (base64.b64decode(made["rule"]), made["watch_every_ms"]) == (signed, 30 * 86_400_000)
    unsigned = wanted(stand, rule=base64.b64encode(b"{}").decode())
    assert (await stand.call("POST", "/consents", json=unsigned)).json()["code"] == "rule_invalid"
