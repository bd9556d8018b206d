"""The démarches of a collectivity over a bus in memory; people log in at the identity sandbox, whose word alone the ledger takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from connectors.contract import Failure, Found, NotFound, Reading
from connectors.sandbox import FAMILIES, load_cases
from consent.core.facts import State
from exchange.testing import CasesApi, MemoryBus
from portal.demarches.app import create_app
from portal.demarches.families import enrolment
from portal.identity.logins import Logins
from portal.store import open_store
from tests.portal.api.stand import by_http
from tests.portal.identity.signing_in import Provider
from tests.portal.stand import token_of
from tests.world import QUOTIENT, ScriptedApi

URL = "http://127.0.0.1:8610"
CRECHE = {
    "parametres_calcul_participation_familiale": {
        "nombre_enfants_a_charge": 2, "nombre_enfants_beneficiaire_aeeh": 0,
        "base_ressources_annuelles": {"valeur": 36_000, "annee_calcul": 2024},
    },
}  # fmt: skip
FAMILY = {"creche": (CRECHE, 155), "cantine": (QUOTIENT, 340)}


@dataclass
class Town:
    """One collectivity's démarches, and a browser without JavaScript."""

    bus: MemoryBus
    provider: Provider
    store: Engine
    browser: httpx.AsyncClient

    async def post(self, page: str, path: str, **fields: Any) -> httpx.Response:
        token = token_of((await self.browser.get(page)).text)
        return await self.browser.post(path, data={"csrf": token} | fields)

    async def identified(self, slug: str) -> httpx.Response:
        """From the first page to the agreement's."""
        at = f"/demarche/{slug}"
        assert (await self.post(at, f"{at}/enfant", child="Lila")).headers["location"] == f"{at}/identite"
        back = await self.provider.log_in(self.browser, f"{at}/identite/franceconnect", self.provider.named("TREVARIN"))
        assert back.headers["location"] == f"{at}/accord"
        return await self.browser.get(f"{at}/accord")

    async def agreed(self, slug: str) -> dict[str, Any]:
        """On to the answer."""
        await self.identified(slug)
        at = f"/demarche/{slug}"
        assert (await self.post(f"{at}/accord", f"{at}/accord")).headers["location"] == f"{at}/reponse"
        found: dict[str, Any] = (await self.browser.get(f"{at}/reponse.json")).json()
        return found

    def kept(self) -> list[Any]:
        with self.store.connect() as connection:
            return list(connection.execute(select(enrolment)).all())


Opening = Callable[..., AbstractAsyncContextManager[Town]]


@pytest.fixture(params=["kafka", "http"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Towns whose SDK goes by the bus's topics, or by its HTTP API."""
    (tmp_path / "bus").mkdir()

    @asynccontextmanager
    async def opened(*readings: Reading, companies: bool = False) -> AsyncIterator[Town]:
        store = open_store(None)
        api = CasesApi(load_cases(FAMILIES)) if companies else ScriptedApi(*readings)
        async with MemoryBus(api, provider="marche-public" if companies else "cnaf") as bus:
            known = Provider(bus, tmp_path, bus.recipient)
            known.believed_by(bus)
            logins = Logins(tmp_path, URL, known.outside, bus.clock)
            async with AsyncExitStack() as stack:
                sdk = (
                    bus.sdk
                    if request.param == "kafka"
                    else await stack.enter_async_context(by_http(bus, tmp_path / "bus"))
                )
                app = create_app(sdk, logins, store, URL, lambda: "http://portal.test")
                browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)
                yield Town(bus, known, store, await stack.enter_async_context(browser))

    return opened


@pytest.mark.parametrize("slug", FAMILY)
async def test_a_child_is_enrolled(town: Opening, slug: str) -> None:
    """Name the child, log in, agree, see the price, enrol: with no paper; the town keeps the price and its proof, not the answer."""
    data, cents = FAMILY[slug]
    async with town(Found(data)) as here:
        page = await here.identified(slug)
        assert "Maëlle TREVARIN" in page.text and "pour Lila" in page.text and "Je donne mon accord" in page.text
        told = await here.agreed(slug)
        assert (told["status"], told["tariff"]["cents"]) == ("found", cents)
        at = f"/demarche/{slug}"
        assert (await here.post(f"{at}/reponse", f"{at}/inscription")).headers["location"] == f"{at}/inscription"
        assert "Inscription enregistrée" in (await here.browser.get(f"{at}/inscription")).text
        (row,) = here.kept()
        assert (row.child, row.cents, row.leaf) == ("Lila", cents, told["leaf"])
        (agreement,) = await here.bus.ledger.lookup([bytes.fromhex(row.agreement)])
        assert agreement is not None and (agreement.state, agreement.uses, len(agreement.scopes)) == (State.LIVE, 1, 1)


async def test_only_what_is_needed_is_asked(town: Opening) -> None:
    """Of the data set the agreement opens one scope: what the price is computed from."""
    async with town(Found(QUOTIENT | {"adresse": {"pays": "FRANCE"}})) as here:
        told = await here.agreed("cantine")
        assert told["status"] == "found" and "FRANCE" not in (await here.browser.get("/demarche/cantine/reponse")).text


async def test_refused(town: Opening) -> None:
    """Saying no is recorded, asks nothing of the State, and the démarche goes on with a paper."""
    async with town(Found(CRECHE)) as here:
        await here.identified("creche")
        refused = await here.post("/demarche/creche/accord", "/demarche/creche/refus")
        assert refused.headers["location"] == "/demarche/creche/papier"
        assert "votre avis d" in (await here.browser.get("/demarche/creche/papier")).text
        events = await here.bus.ledger.events(0, 1000)
        assert [event.state for event in events if event.state == "refused"] == ["refused"]
        assert here.bus.broker.records(f"requests.{here.bus.operator}.v1") == [] and here.kept() == []


@pytest.mark.parametrize("reading", [NotFound("35003", "Dossier inconnu"), Found({})])
async def test_not_known_to_the_state(town: Opening, reading: Reading) -> None:
    """Whom the State does not know, or knows too little of, goes on with a paper; nothing is enrolled."""
    async with town(reading) as here:
        await here.agreed("cantine")
        assert "Continuer avec un papier" in (await here.browser.get("/demarche/cantine/reponse")).text
        token = token_of((await here.browser.get("/demarche/cantine")).text)
        await here.browser.post("/demarche/cantine/inscription", data={"csrf": token})
        assert here.kept() == []


async def test_the_provider_is_down_then_answers(town: Opening) -> None:
    """While the State is down the agreement is kept and one may try again, without agreeing again."""
    async with town(Failure("37002", "Hors délai"), Found(CRECHE)) as here:
        told = await here.agreed("creche")
        assert (told["status"], told["texts"]["cause"] != "") == ("later", True)
        await here.post("/demarche/creche/reponse", "/demarche/creche/reponse")
        assert (await here.browser.get("/demarche/creche/reponse.json")).json()["tariff"]["cents"] == 155


async def test_nobody_skips_a_step(town: Opening) -> None:
    """Every later page leads back to the first; a login for other terms does not do for these."""
    async with town(Found(CRECHE)) as here:
        for step in ("identite", "identite/franceconnect", "accord", "reponse", "inscription"):
            assert (await here.browser.get(f"/demarche/creche/{step}")).headers["location"] == "/demarche/creche"
        await here.identified("cantine")
        await here.post("/demarche/creche", "/demarche/creche/enfant", child="Lila")
        assert (await here.browser.get("/demarche/creche/accord")).headers["location"] == "/demarche/creche/identite"
        token = token_of((await here.browser.get("/demarche/creche")).text)
        await here.browser.post("/demarche/creche/accord", data={"csrf": token})
        assert here.bus.broker.records(f"requests.{here.bus.operator}.v1") == []


@pytest.mark.parametrize("child", ["", "x" * 81])
async def test_a_child_has_a_name(town: Opening, child: str) -> None:
    """No name, or one too long, is refused."""
    async with town(Found(CRECHE)) as here:
        assert (await here.post("/demarche/creche", "/demarche/creche/enfant", child=child)).status_code == 400


async def test_a_company_applies(town: Opening) -> None:
    """From a SIRET and a reference, on the law's basis, the notice shown being the one recorded: each part's answer with the State's code."""
    async with town(companies=True) as here:
        page = (await here.browser.get("/demarche/marche")).text
        assert "CRPA L114-8" in page and "Vous pouvez vous y opposer" in page
        sent = await here.post("/demarche/marche", "/demarche/marche", siret="900 000 019 00019", tender="2026-M-7")
        assert sent.headers["location"] == "/demarche/marche/reponse"
        told = (await here.browser.get("/demarche/marche/reponse.json")).json()
        assert (told["status"], told["company"]) == ("found", "ÉLECTRICITÉ DU PONANT")
        assert len(told["parts"]) == 5 and {part["status"] for part in told["parts"]} == {"found"}
        assert "Attestation de vigilance" in (await here.browser.get("/demarche/marche/reponse")).text
        sent = await here.post("/demarche/marche", "/demarche/marche", siret="90000005000014", tender="2026-M-7")
        parts = (await here.browser.get("/demarche/marche/reponse.json")).json()["parts"]
        assert any(part["code"] for part in parts)
        assert "pas reçue" in (await here.browser.get("/demarche/marche/reponse")).text


@pytest.mark.parametrize(("siret", "tender", "wrong"), [("90000001900018", "x", "siret"), ("", "x", "siret"), ("90000001900019", "", "tender"), ("90000001900019", "x" * 51, "tender")])  # fmt: skip
async def test_a_company_s_form_says_what_is_wrong(town: Opening, siret: str, tender: str, wrong: str) -> None:
    """A wrong field is told beside it, what was typed stays, and nothing is recorded."""
    async with town() as here:
        page = await here.post("/demarche/marche", "/demarche/marche", siret=siret, tender=tender)
        assert page.status_code == 400 and f'id="{wrong}-error"' in page.text and siret in page.text
