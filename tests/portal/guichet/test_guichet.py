"""An agent records agreements for people: step by step, without JavaScript, nothing typed in any address."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consent.core.facts import Evidence, State
from consent.core.query import Officer
from exchange import referentials
from exchange.core.identity import read
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import terms
from exchange.settings import RECIPIENT
from portal.core import plain
from portal.names import names_of
from tests.portal.stand import Stand, portal, token_of
from tests.world import JEANNE

AGENT = {"reference": "agent-7", "name": "Camille Guichet", "siret": RECIPIENT}
NEW = {
    "subject": f"{QUOTIENT_FAMILIAL.name} tarification-cantine",
    "channel": "counter",
    "speaks": "self",
    "langue": "fr",
}
PERSON = {
    "nom_naissance": "Martin", "prenoms": "Jeanne Léa", "jour": "2", "mois": "1", "annee": "1980", "sexe": "F", "ne_en": "france",
    "lieu": "valclair sur onde", "suite": "continuer",
}  # fmt: skip
FILE = {"evidence_file": ("formulaire.pdf", b"signed", "application/pdf")}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A counter where communes can be searched, and an agent at it."""
    referentials.write(referentials.build(referentials.EXCERPT), tmp_path / referentials.TABLE)
    async with portal(tmp_path) as stand:
        stand.log_in("agent", AGENT)
        yield stand


class Counter:
    """An agent's way through the steps: each answer is where the portal sends them."""

    def __init__(self, stand: Stand) -> None:
        self.stand, self.at = stand, "/guichet/nouveau"

    async def send(self, fields: Mapping[str, Any] | None = None, files: Mapping[str, Any] | None = None) -> str:
        """Send the form of the page one is at; the page one is then at."""
        token = token_of((await self.stand.browser.get(self.at)).text)
        answer = await self.stand.browser.post(self.at, data={"csrf": token} | dict(fields or {}), files=files)
        if answer.status_code == 303:
            self.at = answer.headers["location"].partition("#")[0]
            assert "martin" not in self.at.lower()
            return (await self.stand.browser.get(self.at)).text
        assert answer.status_code in (404, 422), answer.text
        return answer.text

    async def begin(self, **changes: str) -> str:
        self.at = "/guichet/nouveau"
        return await self.send(NEW | changes)

    async def agree(self, scopes: tuple[str, ...] = ()) -> str:
        return await self.send({"reponse": "oui", "scope": list(scopes or QUOTIENT_FAMILIAL.scopes)})

    @property
    def id(self) -> bytes:
        return bytes.fromhex(self.at.split("/")[3])

    @property
    def step(self) -> str:
        return self.at.rpartition("/")[2]


@pytest.fixture
def counter(stand: Stand) -> Counter:
    return Counter(stand)


async def row(stand: Stand, authorisation: bytes) -> Any:
    await stand.bus.ledger.appoint(Officer("dpo", (), 2**52))
    return (await stand.bus.ledger.life("dpo", "test", authorisation)).row


async def test_an_agreement_at_the_counter(stand: Stand, counter: Counter) -> None:
    """Read aloud, agreed to, identified, recapped, recorded: the ledger has the agent, the evidence's hash, the notice heard, and the person; the session no longer."""
    page = await counter.begin()
    assert counter.step == "lecture" and "Êtes-vous d&#39;accord ?" in page
    await counter.agree()
    assert counter.step == "personne"
    page = await counter.send(PERSON)
    assert counter.step == "recapitulatif", page
    assert "Valclair-sur-Onde (00101)" in page and "02/01/1980" in page
    await counter.send({"level": "eidas2"}, FILE)
    page = (await stand.browser.get(counter.at)).text
    assert counter.at == f"/guichet/accords/{counter.id.hex()}" and "Martin" not in page

    held = await row(stand, counter.id)
    assert (held.state, held.channel, held.agent, held.assurance) == (State.LIVE, "counter", "agent-7", "eidas2")
    assert held.notice_version == "guichet-1-fr" and held.representation == ""
    agreed = await stand.bus.ledger.terms(counter.id)
    heard = plain.script(agreed, names_of(stand.parts.places, agreed), "fr")
    assert held.notice_hash == hashlib.sha256("\n".join(heard).encode()).digest()
    stand.bus.wallet.keep(counter.id, (await stand.bus.ledger.capsule(counter.id, stand.bus.wallet.operator)).capsule)
    capsule = stand.bus.wallet.capsule(counter.id)
    assert capsule is not None
    person = read(capsule.identity)
    assert (person.nom_naissance, person.prenoms, person.date_naissance) == ("Martin", ("Jeanne", "Léa"), "1980-01-02")
    assert (person.code_cog_insee_pays_naissance, person.code_cog_insee_commune_naissance) == ("99100", "00101")
    assert "Saisies en cours" not in (await stand.browser.get("/guichet")).text


async def test_what_was_agreed_to_serves(stand: Stand, counter: Counter) -> None:
    """The collectivity takes the capsule back and asks: the answer opens."""
    await counter.begin()
    await counter.agree()
    await counter.send(PERSON)
    await counter.send({"level": "eidas1"}, FILE)
    stand.bus.wallet.keep(counter.id, (await stand.bus.ledger.capsule(counter.id, stand.bus.wallet.operator)).capsule)
    asked = await stand.bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=counter.id, purpose="tarification-cantine")
    assert (await asked.answer()).data["quotient_familial"]["valeur"] == 742


async def test_a_refusal_names_nobody(stand: Stand, counter: Counter) -> None:
    """No is an answer like another: recorded without anybody's identity, before anybody's identity was asked."""
    await counter.begin()
    page = await counter.send({"reponse": "non"})
    assert "Refus enregistré" in page and "Préparer un courrier" in page
    held = await row(stand, counter.id)
    assert (held.state, held.agent, held.subject) == (State.REFUSED, "agent-7", b"")


async def test_on_the_phone_there_is_a_separate_confirmation(stand: Stand, counter: Counter) -> None:
    """The recap records nothing; a question of its own does, and no to it is a refusal. It holds for less long."""
    for answer, state in (("oui", State.LIVE), ("non", State.REFUSED)):
        await counter.begin(channel="phone")
        await counter.agree()
        await counter.send(PERSON)
        page = await counter.send({"evidence_hash": "ab" * 32, "level": "eidas2"})
        assert counter.step == "confirmation" and "oui ou non" in page
        assert await stand.bus.ledger.lookup([counter.id]) == [None]
        await counter.send({"reponse": answer})
        held = await row(stand, counter.id)
        assert (held.state, held.assurance, held.channel) == (state, "eidas1", "phone")
        assert held.not_after_ms - held.not_before_ms == 183 * 86_400_000


async def test_part_may_be_agreed_to(stand: Stand, counter: Counter) -> None:
    """What was unticked is not given; what was heard is the whole."""
    await counter.begin(langue="en", interprete="oui")
    assert "Tick" not in (await stand.browser.get(counter.at)).text
    assert "Cochez au moins une" in await counter.send({"reponse": "oui"})
    await counter.agree(("cnaf_quotient_familial",))
    await counter.send(PERSON)
    await counter.send({"level": "eidas1"}, FILE)
    held = await row(stand, counter.id)
    assert (held.scopes, held.notice_version) == (("cnaf_quotient_familial",), "guichet-1-en-interprete")


async def test_a_commune_is_found_by_its_name_and_the_date(stand: Stand, counter: Counter) -> None:
    """Several bear the name: they are shown with what tells them apart. At another date the name meant something else."""
    await counter.begin()
    await counter.agree()
    page = await counter.send(PERSON | {"lieu": "valclair", "suite": "chercher"})
    assert counter.step == "personne" and 'value="Martin"' in page
    assert all(text in page for text in ("Valclair-sur-Onde", "Valclair 1er Arrondissement", "depuis 1974", "Lequel"))
    assert "Plusieurs lieux" in await counter.send(PERSON | {"lieu": "valclair"})
    page = await counter.send(PERSON | {"lieu": "valclair", "annee": "1960", "suite": "chercher"})
    assert "Valclair-sur-Onde" not in page and "00101" in page
    page = await counter.send(PERSON | {"lieu": "la combe", "annee": "1990", "suite": "chercher"})
    assert "Aucun lieu de ce nom" in page
    page = await counter.send(PERSON | {"lieu": "valclair", "annee": "1980", "code": "00191"})
    assert counter.step == "recapitulatif" and "(00191)" in page


async def test_born_abroad_a_country_is_sought(stand: Stand, counter: Counter) -> None:
    """The country of the time, never France; an unknown day stays unknown."""
    await counter.begin()
    await counter.agree()
    page = await counter.send(PERSON | {"ne_en": "etranger", "lieu": "syldavie", "jour": ""})
    assert counter.step == "personne" and "Syldavie-et-Bordurie" in page
    await counter.send(PERSON | {"ne_en": "etranger", "lieu": "syldavie", "jour": "", "code": "99901"})
    assert counter.step == "recapitulatif" and "??/01/1980" in (await stand.browser.get(counter.at)).text


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"nom_naissance": "", "prenoms": ""}, "nom_naissance", "un nom ou un prénom"),
        ({"sexe": ""}, "sexe", "Choisissez une réponse"),
        ({"jour": "31", "mois": "2"}, "jour", "pas autant de jours"),
        ({"mois": "", "jour": "3"}, "jour", "Un jour sans mois"),
        ({"annee": "2999"}, "jour", "la date est passée"),
        ({"annee": "mille"}, "jour", "Des chiffres"),
        ({"annee": "80"}, "jour", "quatre chiffres"),
        ({"lieu": ""}, "lieu", "Cherchez la commune"),
        ({"lieu": "nullepart"}, "lieu", "Aucun lieu"),
        ({"numero_fiscal": "12"}, "numero_fiscal", "13 chiffres"),
        ({"ine": "x"}, "ine", "11 lettres"),
    ],
)
async def test_what_designates_nobody_is_said_beside_its_field(
    counter: Counter, changes: dict[str, str], field: str, words: str
) -> None:
    """The page comes back with all that was typed, the field marked, and how to mend it."""
    await counter.begin()
    await counter.agree()
    page = await counter.send(PERSON | changes)
    assert counter.step == "personne" and words in page and f'href="#{ {"sexe": "sexe-1"}.get(field, field) }"' in page
    assert 'value="Jeanne Léa"' in page or "prenoms" in changes


async def test_a_parent_speaks_for_a_minor_only(stand: Stand, counter: Counter) -> None:
    """Who speaks is identified too and kept as a reference; for an adult, or for themself, it is refused in the page."""
    await counter.begin(speaks="parent")
    await counter.agree()
    await counter.send(PERSON | {"annee": "2018"})
    assert counter.step == "representant"
    await counter.send(PERSON | {"nom_naissance": "Dupont", "sexe": "M"})
    await counter.send({"level": "eidas2"}, FILE)
    held = await row(stand, counter.id)
    assert (held.state, held.representation) == (State.LIVE, "parent")
    await counter.begin(speaks="parent")
    await counter.agree()
    await counter.send(PERSON)
    await counter.send(PERSON | {"nom_naissance": "Dupont"})
    page = await counter.send({"level": "eidas2"}, FILE)
    assert counter.step == "recapitulatif" and "représent" in page and "Dupont" in page


async def test_a_mandate_needs_its_proof(stand: Stand, counter: Counter) -> None:
    """Without the mandate's hash nothing is recorded; with it, it is."""
    await counter.begin(speaks="mandate")
    await counter.agree()
    await counter.send(PERSON)
    await counter.send(PERSON | {"nom_naissance": "Dupont"})
    assert 'id="mandate-error"' in await counter.send({"level": "eidas1"}, FILE)
    await counter.send({"level": "eidas1", "mandate_hash": "cd" * 32})
    assert (await row(stand, counter.id)).representation == "mandate"


async def test_no_evidence_no_agreement(counter: Counter) -> None:
    """Neither a file nor a hash; or what is no hash: said beside the field, and what was given before is kept."""
    await counter.begin()
    await counter.agree()
    await counter.send(PERSON)
    assert 'id="evidence-error"' in await counter.send({"level": "eidas1"})
    assert 'id="evidence-error"' in await counter.send({"level": "eidas1", "evidence_hash": "abc"})
    assert counter.step == "recapitulatif"


async def test_a_level_that_is_not_reached(stand: Stand, counter: Counter) -> None:
    """What the collectivity asked for at eidas2 is not given by who only said their name."""
    asked = b"q" * 16
    await stand.bus.ledger.request(
        asked,
        terms(RECIPIENT, stand.parts.clock.now_ms(), assurance="eidas2"),
        Evidence("online", assurance="eidas2"),
        RECIPIENT[:9],
    )
    await counter.begin(subject="", numero=asked.hex())
    await counter.agree()
    await counter.send(PERSON)
    page = await counter.send({"level": "eidas1"}, FILE)
    assert counter.step == "recapitulatif" and "Il reste quelque chose" in page
    await counter.send({"level": "eidas2"})
    assert (await row(stand, asked)).state is State.LIVE


async def test_what_was_not_chosen_is_asked_again(counter: Counter) -> None:
    """No channel, nobody who speaks, nothing asked for, a request that is none."""
    page = await counter.send({"langue": "fr"})
    assert page.count('class="error"') == 3
    page = await counter.send(NEW | {"subject": "", "numero": "00" * 16})
    assert page.count('class="error"') == 1 and "Aucune demande" in page


async def test_steps_are_taken_in_order(stand: Stand, counter: Counter) -> None:
    """An address further on leads back to the first step that is not done; another session's draft is nowhere."""
    await counter.begin()
    base = counter.at.rpartition("/")[0]
    for step in ("personne", "recapitulatif", "confirmation"):
        assert (await stand.browser.get(f"{base}/{step}")).headers["location"] == f"{base}/lecture"
    assert (await stand.browser.get(f"{base}/representant")).headers["location"] == f"{base}/lecture"
    stand.log_in("agent", AGENT | {"siret": "21310555400017"})
    assert (await stand.browser.get(counter.at)).status_code == 404
    stand.browser.cookies.clear()
    assert (await stand.browser.get(counter.at)).headers["location"].startswith("/connexion/agent")


async def test_giving_up_forgets_everything(stand: Stand, counter: Counter) -> None:
    """Nothing is recorded, nothing is left."""
    await counter.begin()
    await counter.agree()
    await counter.send(PERSON)
    draft, size = counter.at, len(await stand.bus.ledger.entries(counter.id))
    counter_page = await stand.submit(draft, draft.rpartition("/")[0] + "/abandon")
    assert counter_page.headers["location"] == "/guichet"
    assert (await stand.browser.get(draft)).status_code == 404
    assert len(await stand.bus.ledger.entries(bytes.fromhex(draft.split("/")[3]))) == size == 0


async def find(stand: Stand, authorisation: bytes) -> str:
    """Find an agreement by its number, and the address it is then at."""
    found = await stand.submit("/guichet", "/guichet/recherche", {"numero": authorisation.hex()})
    return found.headers.get("location", "") if found.status_code == 303 else ""


async def test_finding_an_agreement_leaves_a_trace(stand: Stand) -> None:
    """By its number with its dashes; nobody looks without being written down, and no address opens what was not found."""
    a = await stand.bus.give(JEANNE)
    assert (await stand.browser.get(f"/guichet/accords/{a.hex()}")).status_code == 404
    assert await find(stand, a) == f"/guichet/accords/{a.hex()}"
    page = (await stand.browser.get(f"/guichet/accords/{a.hex()}")).text
    assert "en vigueur" in page and "MARTIN" not in page
    assert await find(stand, bytes(16)) == ""
    await stand.bus.ledger.appoint(Officer("dpo", (), 2**52))
    subject = (await row(stand, a)).subject
    dossier = await stand.bus.ledger.dossier("dpo", "test", subject)
    assert b'"officer": "agent-7"' in dossier.body and b'"act": "consult"' in dossier.body


async def test_another_collectivity_s_agreement_is_nobody_s(stand: Stand) -> None:
    """Its number finds nothing, and a session that had opened it sees it no more."""
    a = await stand.bus.give(JEANNE)
    await find(stand, a)
    stand.log_in("agent", AGENT | {"siret": "21310555400017"})
    assert (await stand.browser.get(f"/guichet/accords/{a.hex()}")).status_code == 404
    assert await find(stand, a) == ""


async def test_withdrawing_takes_one_button(stand: Stand) -> None:
    """Its keys are gone, the acknowledgement is shown; the agent and the channel are on record."""
    a = await stand.bus.give(JEANNE)
    at = await find(stand, a)
    await stand.submit(f"{at}/retrait", f"{at}/retrait", {"channel": "phone"})
    page = (await stand.browser.get(at)).text
    assert "retiré" in page and "Aucune réponse" in page
    assert not await stand.bus.ledger.has_key(a)
    assert (await row(stand, a)).state is State.WITHDRAWN
    refused = await stand.submit(f"{at}/retrait", f"{at}/retrait", {"channel": "online"})
    assert refused.status_code == 400


async def test_objecting_where_the_law_is_the_basis(stand: Stand) -> None:
    """The same button is an objection."""
    legal = {"basis": "legal", "legal_reference": "CRPA L114-8", "notice_hash": bytes(32), "notice_version": "1"}
    a = await stand.bus.give(JEANNE, **legal)
    at = await find(stand, a)
    assert "opposition" in (await stand.browser.get(f"{at}/retrait")).text
    await stand.submit(f"{at}/retrait", f"{at}/retrait", {"channel": "counter"})
    assert (await row(stand, a)).state is State.OPPOSED


async def test_keeping_a_part(stand: Stand) -> None:
    """What is unticked may not be asked any more; unticking all, or nothing, changes nothing."""
    a = await stand.bus.give(JEANNE)
    at = await find(stand, a)
    for kept in ([], sorted(QUOTIENT_FAMILIAL.scopes)):
        await stand.submit(at, f"{at}/reduction", {"scope": kept})
        assert "Rien n&#39;a changé" in (await stand.browser.get(at)).text
    await stand.submit(at, f"{at}/reduction", {"scope": ["cnaf_quotient_familial"]})
    assert (await stand.bus.ledger.terms(a)).scopes == ("cnaf_quotient_familial",)


async def test_renewing_is_agreeing_again(stand: Stand, counter: Counter) -> None:
    """The terms are read again and answered; no changes nothing, yes gives more time."""
    a = await stand.bus.give(JEANNE, not_after_ms=stand.parts.clock.now_ms() + 86_400_000)
    at = await find(stand, a)
    for answer in ("non", "oui"):
        sent = await stand.submit(at, f"{at}/renouvellement", {"channel": "counter"})
        counter.at = sent.headers["location"]
        await counter.send({"reponse": answer})
        held = await stand.bus.ledger.terms(a)
        assert held.not_after_ms == stand.parts.clock.now_ms() + 86_400_000
    assert counter.step == "recapitulatif"
    await counter.send({"level": "eidas1"}, FILE)
    assert (await stand.bus.ledger.terms(a)).not_after_ms == stand.parts.clock.now_ms() + 365 * 86_400_000


async def test_the_receipt_and_the_letter(stand: Stand) -> None:
    """The receipt is the person's own PDF; the letter says how to change one's mind, and names nobody."""
    a = await stand.bus.give(JEANNE)
    at = await find(stand, a)
    receipt = await stand.browser.get(f"{at}/recu.pdf")
    assert receipt.headers["content-type"] == "application/pdf" and receipt.content.startswith(b"%PDF-")
    letter = (await stand.browser.get(f"{at}/courrier")).text
    assert a.hex() in letter and "changer d&#39;avis" in letter and "MARTIN" not in letter


async def test_the_quota_is_shown_and_holds(stand: Stand, counter: Counter) -> None:
    """The page counts; beyond, the ledger refuses and the page says what to do."""
    agreed = terms(RECIPIENT, stand.parts.clock.now_ms())
    for number in range(200):
        await stand.bus.ledger.refuse(number.to_bytes(16), agreed, Evidence("counter", "agent-7"))
    home = (await stand.browser.get("/guichet.json")).json()
    assert (home["recorded"], home["quota"]) == (200, 200)
    await counter.begin()
    await counter.agree()
    await counter.send(PERSON)
    answer = await stand.submit(counter.at, counter.at, {"level": "eidas1", "evidence_hash": "ab" * 32})
    assert answer.status_code == 409 and "agent_quota" in answer.text
    assert await stand.bus.ledger.lookup([counter.id]) == [None]


async def test_every_page_has_its_twin_and_its_english(stand: Stand, counter: Counter) -> None:
    """The same values in JSON; the same page in English."""
    await counter.begin()
    for path in ("/guichet", "/guichet/nouveau", counter.at):
        assert (await stand.browser.get(f"{path}.json")).json()
        assert 'lang="en"' in (await stand.browser.get(f"{path}?lang=en")).text
    assert (await stand.browser.get("/guichet.json")).json()["agent"] == "Camille Guichet"


async def test_without_the_table_a_code_is_typed(tmp_path: Path) -> None:
    """Where INSEE's files were not installed the code itself is asked for, and not judged."""
    async with portal(tmp_path) as bare:
        bare.log_in("agent", AGENT)
        counter = Counter(bare)
        await counter.begin()
        await counter.agree()
        assert "Code INSEE" in (await bare.browser.get(counter.at)).text
        await counter.send(PERSON | {"lieu": "2a004"})
        assert counter.step == "recapitulatif" and "2A004" in (await bare.browser.get(counter.at)).text
