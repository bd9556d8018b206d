"""Everything about a person, signed, and checked by who does not trust us (GDPR art. 15)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from consent.core import note
from consent.core.dossier import BadDossier, says, verify
from consent.core.facts import Verdict
from consent.core.query import Officer, Query, Signed
from consent.keys import ephemeral
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.core.identity import canonical
from tests.world import JEANNE, PAUL, RECIPIENT, World

DPO, WHY = "dpo@ville.example", "demande d'accès 2026-9"


@pytest.fixture
async def told(world: World) -> tuple[World, bytes]:
    """Jeanne's two agreements: a release, a failure, a withdrawal, a question about her; Paul's beside them. And her reference."""
    await world.ledger.appoint(Officer(DPO, (), 2**52))
    a, b = await world.give(), await world.give()
    await world.give(PAUL)
    asked = world.ask(a)
    await world.ledger.attempt([asked.attempt], "connector-cnaf")
    await world.ledger.release([world.answer(asked)], [], "release-1")
    failed, _ = await world.answered(a)
    await world.told(Verdict(failed.key, failed.digest, 0, "failed", Code.PROVIDER_ERROR))
    await world.ledger.withdraw(b, "withdrawn")
    reference = await world.ledger.refer(DPO, WHY, canonical(JEANNE), RECIPIENT)
    await world.ledger.query(DPO, WHY, Query(subject=reference))
    return world, reference


def document(signed: Signed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(signed.body)
    return found


async def test_a_dossier_holds_everything_about_the_person_and_nobody_else(told: tuple[World, bytes]) -> None:
    """Identity, terms, how they were collected, every event, request, call, release and question; nothing of Paul's."""
    world, reference = told
    signed = await world.ledger.dossier(DPO, WHY, reference)
    body = document(signed)
    assert body["person"]["nom_naissance"] == "MARTIN" and body["person"]["prenoms"] == ["Jeanne"]
    assert (body["recipient"], body["subject"]) == (RECIPIENT, reference.hex())
    live, withdrawn = body["authorisations"]
    assert [live["state"], withdrawn["state"]] == ["live", "withdrawn"]
    assert [r["code"] for r in live["requests"]] == ["released", "failed"]
    assert [call["worker"] for call in live["requests"][0]["calls"]] == ["connector-cnaf"]
    assert live["requests"][0]["worker"] == "release-1" and withdrawn["requests"] == []
    kinds = [fact["kind"] for fact in body["facts"]]
    assert kinds == ["given", "given", "released", "withdrawn", "queried", "queried", "queried"]
    assert body["facts"][0]["says"]["terms"]["recipient"] == RECIPIENT
    assert body["facts"][0]["says"]["evidence"]["channel"] == "online"
    assert {fact["says"]["act"] for fact in body["facts"][4:]} == {"refer", "query", "dossier"}
    assert b"DURAND" not in signed.body


async def test_every_leaf_about_the_person_is_in_the_dossier(told: tuple[World, bytes]) -> None:
    """Complete: the leaves that the store has under the person's authorisations, one for one."""
    world, reference = told
    body = document(await world.ledger.dossier(DPO, WHY, reference))
    ids = [bytes.fromhex(a["authorisation"]) for a in body["authorisations"]]
    with world.engine.begin() as connection:
        kept = set(connection.execute(select(t.leaf.c.idx).where(t.leaf.c.authorisation.in_(ids))).scalars())
    assert kept == {f["index"] for f in body["facts"] if f["kind"] != "queried"}


async def test_a_dossier_verifies_offline(told: tuple[World, bytes]) -> None:
    """With nothing but the log's verifier key: signature, document, each fact in the log, each saying what was committed."""
    world, reference = told
    signed = await world.ledger.dossier(DPO, WHY, reference)
    checked = verify(signed.body, signed.note, world.keys.verifier)
    assert (checked.facts, checked.origin) == (7, world.keys.origin)
    lines = note.verify(signed.note, world.keys.verifier).split("\n")
    assert lines[0] == f"{world.keys.origin}/dossier" and int(lines[2]) == checked.size


async def test_a_dossier_altered_is_refused(told: tuple[World, bytes]) -> None:
    """Any byte of the document or bit of the note changed, another log's key, another dossier's note: refused."""
    world, reference = told
    signed, verifier = await world.ledger.dossier(DPO, WHY, reference), world.keys.verifier
    for i in range(0, len(signed.body), 97):
        altered = signed.body[:i] + bytes([signed.body[i] ^ 1]) + signed.body[i + 1 :]
        with pytest.raises(BadDossier):
            verify(altered, signed.note, verifier)
    for i in range(0, len(signed.note), 7):
        with pytest.raises(BadDossier):
            verify(signed.body, signed.note[:i] + chr(ord(signed.note[i]) ^ 1) + signed.note[i + 1 :], verifier)
    with pytest.raises(BadDossier):
        verify(signed.body, signed.note, ephemeral(verifier.name).verifier)
    other = await world.ledger.dossier(DPO, WHY, reference)
    with pytest.raises(BadDossier):
        verify(signed.body, other.note, verifier)


async def test_a_signed_dossier_that_lies_is_refused(told: tuple[World, bytes]) -> None:
    """Even under the log's own signature, a fact that says something else than its leaf, or leads nowhere, is refused."""
    from consent.core.dossier import note_text

    world, reference = told
    signed = await world.ledger.dossier(DPO, WHY, reference)

    def lie(change: Any) -> Signed:
        body = document(signed)
        change(body["facts"][0])
        data = json.dumps(body).encode()
        head = note.parse_checkpoint(note.split(body["checkpoint"])[0])
        return Signed(data, note.sign(note_text(head, data), world.keys.origin, world.keys.log))

    verify(*_both(lie(lambda fact: None)), world.keys.verifier)
    for change in (
        lambda fact: fact["says"]["terms"].update(purpose="autre"),
        lambda fact: fact.update(content=fact["content"][::-1]),
        lambda fact: fact.update(salt=fact["path"][0]),
        lambda fact: fact.update(index=fact["index"] + 1),
        lambda fact: fact.update(path=fact["path"][:-1]),
        lambda fact: fact.pop("says"),
    ):
        with pytest.raises(BadDossier):
            verify(*_both(lie(change)), world.keys.verifier)


def _both(signed: Signed) -> tuple[bytes, str]:
    return signed.body, signed.note


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"checkpoint":1}'])
def test_what_is_no_dossier_is_refused(body: bytes) -> None:
    """Hostile bytes are one clear refusal."""
    keys = ephemeral("accord.test/x")
    with pytest.raises(BadDossier):
        verify(body, note.sign("x\n", keys.origin, keys.log), keys.verifier)


async def test_one_authorisation_leads_to_all_the_persons(told: tuple[World, bytes]) -> None:
    """Asked by an authorisation, the dossier is the person's, the same facts; a refusal, without a person, has one of its own."""
    world, reference = told
    body = document(await world.ledger.dossier(DPO, WHY, reference))
    by_id = document(
        await world.ledger.dossier(DPO, WHY, b"", bytes.fromhex(body["authorisations"][1]["authorisation"]))
    )
    assert [a["authorisation"] for a in by_id["authorisations"]] == [a["authorisation"] for a in body["authorisations"]]
    assert by_id["subject"] == reference.hex()


def test_what_a_fact_says_is_named_or_nothing() -> None:
    """Digests and odd content say nothing, and break nothing."""
    assert [says(content) for content in (b"", b"\x00\x01", b"[1]", b"3", b'{"from":"live"}')] == [None] * 4 + [
        {"from": "live"}
    ]
