"""The officer's room: a reason first, answers that are complete and proven in the page, and every question on record."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consent import verify_receipt
from consent.core import note
from consent.core.agreement import reference_of
from consent.core.dossier import verify
from consent.core.facts import Evidence, State
from consent.core.query import Officer
from consent.verify import Policy, policy
from consent.verify import verify as verify_proof
from exchange import referentials
from exchange.core.identity import Identity
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import terms
from exchange.outcomes import ConsentWithdrawn
from exchange.settings import RECIPIENT
from exchange.testing import MemoryBus
from portal.core.checking import holds, steps
from portal.core.sandbox import subject
from portal.identity.sandbox import pairwise
from tests.portal.identity.signing_in import Provider
from tests.portal.stand import Stand, portal
from tests.world import PAUL, ScriptedApi

DPO, NAME, WHY = "5f" * 16, "Noémie QUERVAN", "contrôle 2026-3"
BORN = Identity(
    "Martin",
    "",
    ("Jeanne",),
    "1980-01-02",
    "F",
    code_cog_insee_pays_naissance="99100",
    code_cog_insee_commune_naissance="00101",
)
FORM = {
    "recipient": RECIPIENT, "nom_naissance": "Martin", "prenoms": "Jeanne", "jour": "2", "mois": "1", "annee": "1980", "sexe": "F",
    "ne_en": "france", "lieu": "Valclair-sur-Onde", "suite": "continuer",
}  # fmt: skip


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """An officer who watches over everything, and who has said why."""
    referentials.write(referentials.build(referentials.EXCERPT), tmp_path / referentials.TABLE)
    async with portal(tmp_path) as stand:
        await stand.bus.ledger.appoint(Officer(DPO, (), 2**52))
        stand.log_in("officer", {"name": NAME, "reference": DPO})
        await stand.submit("/dpo/motif", "/dpo/motif", {"motif": WHY})
        yield stand


async def used(stand: Stand) -> tuple[bytes, bytes]:
    """An agreement, and a request that was answered under it."""
    a = await stand.bus.give(BORN)
    asked = await stand.bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=a, purpose="tarification-cantine")
    await asked.answer()
    return a, asked.key.request


async def seen(stand: Stand, path: str) -> dict[str, Any]:
    """The twin of a page, whose page is there too."""
    page = await stand.browser.get(path)
    assert page.status_code == 200 and WHY in page.text, page.text
    where, _, query = path.partition("?")
    found: dict[str, Any] = (await stand.browser.get(f"{where}.json?{query}")).json()
    return found


async def search(stand: Stand, **fields: str) -> dict[str, Any]:
    sent = await stand.submit("/dpo/recherche", "/dpo/recherche", fields)
    assert sent.headers["location"] == "/dpo/accords", sent.text
    return await seen(stand, "/dpo/accords")


def files(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def trusted(stand: Stand) -> Policy:
    return policy(str(stand.parts.trust.log))


async def test_a_reason_is_asked_first(tmp_path: Path) -> None:
    """Every page leads to it and back; a twin says so; a bad one is asked again; none is recorded as a question."""
    async with portal(tmp_path) as stand:
        assert (await stand.browser.get("/dpo")).headers["location"].startswith("/connexion/officer")
        stand.log_in("officer", {"name": NAME, "reference": DPO})
        assert (await stand.browser.get("/dpo/alertes")).headers["location"] == "/dpo/motif"
        assert (await stand.browser.get("/dpo/alertes.json")).status_code == 409
        refused = await stand.submit("/dpo/motif", "/dpo/motif", {"motif": "x" * 501})
        assert refused.status_code == 422 and "500 caractères" in refused.text
        answer = await stand.submit("/dpo/motif", "/dpo/motif", {"motif": WHY})
        assert answer.headers["location"] == "/dpo/alertes"
        unknown = await stand.browser.get("/dpo/alertes")
        assert unknown.status_code == 409 and "officer_unknown" in unknown.text


async def test_an_officer_is_their_login(tmp_path: Path) -> None:
    """Who logs in is shown the reference to be appointed under: what the bus makes of issuer and subject, whatever their name is."""
    async with MemoryBus(ScriptedApi()) as bus:
        provider = Provider(bus, tmp_path)
        async with portal(tmp_path, bus, provider.outside) as stand:
            await provider.log_in(stand.browser, "/connexion/officer?next=/dpo", "officer")
            reference = (await stand.browser.get("/dpo/motif.json")).json()["reference"]
            made = subject(pairwise(provider.sandbox._key), "bus-agent", "officer")
            assert reference == reference_of(provider.sandbox.issuer("agent"), made)
            assert reference in (await stand.browser.get("/dpo/motif")).text
            await stand.submit("/dpo/motif", "/dpo/motif", {"motif": WHY})
            await bus.ledger.appoint(Officer(NAME, (), 2**52))
            assert (await stand.browser.get("/dpo/registre")).status_code == 409
            await bus.ledger.appoint(Officer(reference, (), 2**52))
            assert (await stand.browser.get("/dpo/registre")).status_code == 200


async def test_a_namesake_is_somebody_else(stand: Stand) -> None:
    """Two officers of one name have each their own appointment and their own questions."""
    await seen(stand, "/dpo/registre")
    assert (await seen(stand, "/dpo/consultations"))["told"] != []
    stand.log_in("officer", {"name": NAME, "reference": "another"})
    refused = await stand.browser.get("/dpo/registre")
    assert refused.status_code == 409 and "officer_unknown" in refused.text
    await stand.bus.ledger.appoint(Officer("another", (), 2**52))
    told = (await seen(stand, "/dpo/consultations"))["told"]
    assert [(one["act"], one["refused"]) for one in told] == [("consultations", ""), ("register", "officer_unknown")]


async def test_a_search_is_complete_and_proven(stand: Stand) -> None:
    """Each filter gives what matches; the total, the head and the question's leaf are shown; each row's proof was checked."""
    a = await stand.bus.give(BORN)
    b = await stand.bus.give(PAUL, purpose="tarification-periscolaire")
    await stand.bus.withdraw(b)
    found = await search(stand)
    assert found["total"] == 2 and {row["authorisation"] for row in found["rows"]} == {b.hex(), a.hex()}
    assert all(row["proven"] for row in found["rows"]) and found["head"]["leaf"] == found["head"]["size"] - 1
    for fields, ids in (
        ({"state": "live"}, [a]), ({"purpose": "tarification-periscolaire"}, [b]), ({"channel": "paper"}, []), ({"basis": "consent"}, [b, a]),
        ({"recipient": RECIPIENT[:9] + " " + RECIPIENT[9:]}, [b, a]), ({"from": "2027-01-14", "to": "2027-01-15"}, [b, a]), ({"to": "2027-01-01"}, []),
    ):  # fmt: skip
        assert {row["authorisation"] for row in (await search(stand, **fields))["rows"]} == {
            one.hex() for one in ids
        }, fields


@pytest.mark.parametrize(
    "fields", [{"subject": "zz"}, {"state": "fou"}, {"from": "demain"}, {"from": "2027-02-02", "to": "2027-01-01"}]
)
async def test_a_search_that_cannot_be_is_said(stand: Stand, fields: dict[str, str]) -> None:
    """The form comes back, filled in."""
    answer = await stand.submit("/dpo/recherche", "/dpo/recherche", fields)
    assert answer.status_code == 422 and "pas possible" in answer.text


async def test_results_are_paged(stand: Stand) -> None:
    """Fifty at a time; every one once; a cursor that is none is no page."""
    for _ in range(60):
        await stand.bus.give(PAUL)
    first = await search(stand)
    second = await seen(stand, f"/dpo/accords?after={first['next']}")
    rows = [row["authorisation"] for row in first["rows"] + second["rows"]]
    assert (len(first["rows"]), len(set(rows)), first["total"], second["next"]) == (50, 60, 60, "")
    assert (await stand.browser.get("/dpo/accords?after=x")).status_code == 404


async def test_a_whole_life_with_each_step_of_its_proofs(stand: Stand) -> None:
    """Facts, requests, and the five steps that show each fact; the page links each request to its basis."""
    a, request = await used(stand)
    await stand.bus.withdraw(a)
    found = await seen(stand, f"/dpo/accords/{a.hex()}")
    assert [fact["kind"] for fact in found["facts"]] == ["given", "released", "withdrawn"]
    for fact in found["facts"]:
        assert fact["proven"] and [step["holds"] for step in fact["steps"]] == [True, True, True, None, True]
    assert found["facts"][0]["says"]["terms"]["recipient"] == RECIPIENT
    assert [use["request"] for use in found["uses"]] == [request.hex()]
    assert "Martin" not in (await stand.browser.get(f"/dpo/accords/{a.hex()}")).text
    assert (await stand.browser.get("/dpo/accords/" + "0" * 32)).status_code == 409
    assert (await stand.browser.get("/dpo/accords/xyz")).status_code == 404


async def test_the_bundle_verifies_offline(stand: Stand) -> None:
    """The receipt, each tlog-proof, the key and how to redo it: with the key alone, all of it holds."""
    a, _ = await used(stand)
    found = files((await stand.browser.get(f"/dpo/accords/{a.hex()}/preuves.zip")).content)
    assert verify_receipt.verify(found["receipt.jsonld"], trusted(stand), 0).leaf_index >= 0
    proofs = [name for name in found if name.endswith(".tlog-proof")]
    assert len(proofs) == 2 and all(verify_proof(found[name], trusted(stand), 0) for name in proofs)
    assert (
        found["log.vkey"].decode().strip() == str(stand.parts.trust.log)
        and b"accord receipt verify" in found["LISEZMOI.txt"]
    )
    assert (await stand.browser.get(f"/dpo/accords/{a.hex()}/recu.pdf")).content.startswith(b"%PDF-")


async def test_a_proof_that_does_not_hold_is_seen(stand: Stand) -> None:
    """The step that fails is named, and those after it are not looked at."""
    a = await stand.bus.give(BORN)
    (fact,) = (await seen(stand, f"/dpo/accords/{a.hex()}"))["facts"]
    text = fact["proof"]
    good = steps(text, trusted(stand), 0)
    assert holds(good) and len(good) == 4
    lines = text.split("\n")
    forged = "\n".join([lines[0], lines[1], f"index {fact['index'] - 1}", *lines[3:]])
    assert [step.holds for step in steps(forged, trusted(stand), 0)] == [True, True, False, None]
    other = note.Verifier(trusted(stand).log.name, bytes(32))
    assert [step.holds for step in steps(text, Policy(other), 0)] == [False, None, None, None]
    assert [step.holds for step in steps(text, trusted(stand), 0, b"s" * 32, b"other")][-1] is False


async def test_the_basis_of_a_release_in_one_click(stand: Stand) -> None:
    """From a request's number: what it rested on, each fact proven; a number that is none, or nobody's, is said."""
    a, request = await used(stand)
    sent = await stand.submit("/dpo/demandes", "/dpo/demandes", {"numero": request.hex()})
    assert sent.headers["location"] == f"/dpo/demandes/{request.hex()}"
    (ground,) = (await seen(stand, f"/dpo/demandes/{request.hex()}"))["grounds"]
    assert (ground["code"], ground["row"]["authorisation"]) == ("released", a.hex())
    assert {fact["kind"] for fact in ground["facts"]} >= {"habilitation", "delegation", "given", "released"}
    assert all(fact["proven"] for fact in ground["facts"])
    assert (await stand.submit("/dpo/demandes", "/dpo/demandes", {"numero": "12"})).status_code == 422
    nothing = await stand.browser.get("/dpo/demandes/" + "0" * 32)
    assert nothing.status_code == 409 and "nothing_found" in nothing.text


async def test_exports(stand: Stand) -> None:
    """CSV with its Table Schema and checkpoint; records in JSON-LD; the register in both."""
    a = await stand.bus.give(BORN)
    await search(stand)
    sheet = files((await stand.submit("/dpo/accords", "/dpo/accords/export", {"format": "csv"})).content)
    (line,) = csv.DictReader(io.StringIO(sheet["accords.csv"].decode()))
    schema = json.loads(sheet["accords.schema.json"])["fields"]
    assert line["authorisation"] == a.hex() and [field["name"] for field in schema] == list(line)
    assert note.verify(sheet["checkpoint.txt"].decode(), stand.parts.trust.log)
    records = json.loads((await stand.submit("/dpo/accords", "/dpo/accords/export", {"format": "jsonld"})).content)
    assert [one["@type"] for one in records["@graph"]] == ["dpv:ConsentRecord"]
    register = files((await stand.submit("/dpo/registre", "/dpo/registre/export", {"format": "csv"})).content)
    assert len(list(csv.DictReader(io.StringIO(register["registre.csv"].decode())))) > 5
    assert (await stand.submit("/dpo/registre", "/dpo/registre/export", {"format": "markdown"})).text.startswith(
        "# Registre"
    )


async def test_a_person_becomes_a_reference(stand: Stand) -> None:
    """Their identity leads to their agreements, then is forgotten; a wrong one is mended beside its field."""
    a = await stand.bus.give(BORN)
    await stand.bus.give(PAUL)
    sent = await stand.submit("/dpo/personne", "/dpo/personne", FORM | {"recipient": "123", "sexe": ""})
    assert sent.headers["location"] == "/dpo/personne"
    page = (await stand.browser.get("/dpo/personne")).text
    assert "14 chiffres" in page and "Choisissez une réponse" in page and 'value="Martin"' in page
    sent = await stand.submit("/dpo/personne", "/dpo/personne", FORM)
    assert sent.headers["location"] == "/dpo/accords"
    found = await seen(stand, "/dpo/accords")
    assert [row["authorisation"] for row in found["rows"]] == [a.hex()]
    assert 'value="Martin"' not in (await stand.browser.get("/dpo/personne")).text


async def test_a_dossier_is_checked_and_taken_away(stand: Stand) -> None:
    """All that is held on them, in the page; the signed file verifies with the key alone. Nobody chosen: said."""
    assert (await stand.browser.get("/dpo/dossier")).status_code == 404
    a, _ = await used(stand)
    await stand.submit("/dpo/personne", "/dpo/personne", FORM)
    found = await seen(stand, "/dpo/dossier")
    assert found["checked"]["holds"] and found["person"]["nom_naissance"] == "Martin"
    assert [one["authorisation"] for one in found["authorisations"]] == [a.hex()]
    parts = files((await stand.browser.get("/dpo/dossier.zip")).content)
    assert verify(parts["dossier.json"], parts["dossier.note"].decode(), stand.parts.trust.log).facts >= 2


async def test_an_erasure_takes_two_steps(stand: Stand) -> None:
    """What will go is shown; the wrong word erases nothing; the right one leaves a certificate, and nothing to find."""
    a = await stand.bus.give(BORN)
    (row,) = (await search(stand))["rows"]
    chosen = await stand.submit(
        f"/dpo/accords/{a.hex()}", "/dpo/sujet", {"subject": row["subject"], "suite": "effacement"}
    )
    assert chosen.headers["location"] == "/dpo/effacement"
    assert (await seen(stand, "/dpo/effacement"))["total"] == 1
    assert (await stand.submit("/dpo/effacement", "/dpo/effacement", {"mot": "oui"})).status_code == 422
    assert (await stand.bus.ledger.lookup([a]))[0].state is State.LIVE  # type: ignore[union-attr]  # it is there
    done = await stand.submit("/dpo/effacement", "/dpo/effacement", {"mot": "effacer"})
    assert done.headers["location"] == "/dpo/effacement/certificat"
    certificate = (await stand.browser.get("/dpo/effacement/certificat.txt")).text
    assert note.verify(certificate, stand.parts.trust.log).startswith(f"{stand.parts.trust.log.name}/erasure")
    assert certificate in (await seen(stand, "/dpo/effacement/certificat"))["certificate"]
    assert (await stand.bus.ledger.lookup([a]))[0].state is State.ERASED  # type: ignore[union-attr]  # as above
    life = await seen(stand, f"/dpo/accords/{a.hex()}")
    assert all(fact["gone"] and fact["proven"] for fact in life["facts"])
    assert (await stand.submit("/dpo/motif", "/dpo/sujet", {"subject": "zz"})).status_code == 400


async def test_register_breach_alerts(stand: Stand) -> None:
    """Each in its page, complete against its head; a period that is none is said."""
    _, request = await used(stand)
    await stand.bus.ledger.refuse(
        b"r" * 16, terms(RECIPIENT, stand.parts.clock.now_ms()), Evidence("counter", "agent-7")
    )
    assert any(one["purpose"] == "tarification-cantine" for one in (await seen(stand, "/dpo/registre"))["activities"])
    (ground,) = (await seen(stand, f"/dpo/demandes/{request.hex()}"))["grounds"]
    worker = ground["worker"]
    breach = await seen(stand, f"/dpo/violation?worker={worker}")
    assert breach["found"]["touched"][0]["subjects"] == 1
    assert (await seen(stand, "/dpo/violation?worker=personne"))["found"]["touched"] == []
    assert (await seen(stand, "/dpo/violation?worker=x&from=2027-01-02&to=2026-01-01"))["problem"] == "to"
    sheet = await stand.submit("/dpo/registre", "/dpo/violation/export", {"worker": worker})
    assert len(list(csv.DictReader(io.StringIO(files(sheet.content)["violation.csv"].decode())))) == len(
        breach["found"]["passed"]
    )
    alerts = await seen(stand, "/dpo/alertes")
    assert (alerts["given"], alerts["assisted"], alerts["agents"]) == (
        1,
        0,
        [{"agent": "agent-7", "count": 1, "near": False}],
    )


async def test_refusals_without_an_agreement_are_counted(stand: Stand) -> None:
    """What a collectivity asked after the withdrawal is an alert."""
    a = await stand.bus.give(BORN)
    await stand.bus.withdraw(a)
    asked = await stand.bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=a, purpose="tarification-cantine")
    with pytest.raises(ConsentWithdrawn):
        await asked.answer()
    alerts = await seen(stand, "/dpo/alertes")
    assert alerts["without"] == 1 and alerts["refusals"][0]["without"]


async def test_the_officer_s_own_questions_are_listed(stand: Stand) -> None:
    """With their reason, what was asked and the leaf that holds it."""
    await search(stand, state="live")
    own = (await seen(stand, "/dpo/consultations"))["told"]
    assert own[1]["act"] == "query" and own[1]["reason"] == WHY and own[1]["about"] == {"query": {"state": "live"}}
    assert (await stand.browser.get("/dpo/consultations?before=x")).status_code == 200


async def test_outside_the_perimeter(stand: Stand) -> None:
    """Another collectivity's agreements: not found, not counted, and the refusal is on record."""
    a = await stand.bus.give(BORN)
    await stand.bus.ledger.appoint(Officer(DPO, ("21310555400017",), 2**52))
    assert (await search(stand))["total"] == 0
    await stand.submit("/dpo/recherche", "/dpo/recherche", {"recipient": RECIPIENT})
    refused = await stand.browser.get("/dpo/accords")
    assert refused.status_code == 409 and "outside_perimeter" in refused.text
    for path in ("", "/preuves.zip", "/recu.pdf"):
        assert (await stand.browser.get(f"/dpo/accords/{a.hex()}{path}")).status_code == 409
