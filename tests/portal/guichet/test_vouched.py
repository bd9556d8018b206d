"""What an agent records is vouched for by their identity provider, for these very terms and nobody else's (protocol §7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consent.core.agreement import reference_of
from consent.core.facts import State
from exchange import referentials
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.testing import MemoryBus
from portal.core.sandbox import subject
from portal.identity.sandbox import pairwise
from tests.portal.guichet.test_guichet import FILE, PERSON, Counter, row
from tests.portal.identity.signing_in import Provider
from tests.portal.stand import portal
from tests.world import ScriptedApi


class Vouched(Counter):
    """An agent who logs in with ProConnect."""

    provider: Provider

    async def identify(self, agent: str = "counter") -> str:
        """Follow the link of the confirmation's page; the page one is then at."""
        back = await self.provider.log_in(self.stand.browser, self.at.replace("confirmation", "proconnect"), agent)
        self.at = back.headers["location"]
        return (await self.stand.browser.get(self.at)).text

    async def to_the_confirmation(self, channel: str = "counter") -> str:
        await self.begin(channel=channel)
        await self.agree()
        await self.send(PERSON)
        return await self.send({"level": "eidas1"}, FILE)


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Vouched]:
    """At a counter whose ledger takes nobody's declaration."""
    referentials.write(referentials.build(referentials.EXCERPT), tmp_path / referentials.TABLE)
    async with MemoryBus(ScriptedApi()) as bus:
        provider = Provider(bus, tmp_path)
        provider.believed_by(bus)
        async with portal(tmp_path, bus, provider.outside) as stand:
            found = Vouched(stand)
            found.provider = provider
            await provider.log_in(stand.browser, "/connexion/agent?next=/guichet", "counter")
            yield found


@pytest.mark.parametrize("channel", ["counter", "phone"])
async def test_the_agent_s_login_covers_the_terms(counter: Vouched, channel: str) -> None:
    """Nothing is recorded before; after, the ledger has the agent's own reference and their provider's word, which names no citizen."""
    page = await counter.to_the_confirmation(channel)
    assert counter.step == "confirmation" and "S&#39;identifier avec ProConnect" in page and "Oui" not in page
    await counter.stand.submit("/guichet", counter.at, {"reponse": "oui"})
    assert await counter.stand.bus.ledger.lookup([counter.id]) == [None]
    assert "Oui" in await counter.identify()
    await counter.send({"reponse": "oui"})
    held = await row(counter.stand, counter.id)
    assert (held.state, held.channel) == (State.LIVE, channel)
    issuer, made_from = counter.provider.sandbox.issuer("agent"), pairwise(counter.provider.sandbox._key)
    assert held.agent == reference_of(issuer, subject(made_from, "bus-agent", "counter"))
    entries = await counter.stand.bus.ledger.entries(counter.id)
    assert [entry.kind for entry in entries] == ["vouched", "given"]


async def test_other_terms_need_another_login(counter: Vouched) -> None:
    """Whoever goes back and changes what is agreed to identifies themself again."""
    await counter.to_the_confirmation()
    await counter.identify()
    counter.at = counter.at.replace("confirmation", "lecture")
    await counter.agree(("cnaf_quotient_familial",))
    counter.at = counter.at.rpartition("/")[0] + "/recapitulatif"
    assert "S&#39;identifier" in await counter.send({"level": "eidas1"}, FILE)
    await counter.identify()
    await counter.send({"reponse": "oui"})
    assert (await row(counter.stand, counter.id)).scopes == ("cnaf_quotient_familial",)


async def test_a_login_for_other_terms_proves_nothing(counter: Vouched) -> None:
    """Changed behind the login's back, the terms are refused by the ledger, and the agent is told where to begin again."""
    await counter.to_the_confirmation()
    await counter.identify()
    confirmation = counter.at
    counter.at = confirmation.replace("confirmation", "lecture")
    await counter.agree(("cnaf_quotient_familial",))
    counter.at = confirmation
    await counter.send({"reponse": "oui"})
    assert counter.step == "recapitulatif"
    assert await counter.stand.bus.ledger.lookup([counter.id]) == [None]


async def test_somebody_else_s_login_ends_the_draft(counter: Vouched) -> None:
    """An agent of another town hall sees nothing of it."""
    await counter.to_the_confirmation()
    await counter.identify("other-town")
    assert (await counter.stand.browser.get(counter.at)).status_code == 404
    assert await counter.stand.bus.ledger.lookup([counter.id]) == [None]


async def test_a_renewal_is_vouched_for_too(counter: Vouched) -> None:
    """More time is agreed to under the same proof as the agreement."""
    await counter.to_the_confirmation()
    await counter.identify()
    await counter.send({"reponse": "oui"})
    at, before = counter.at, (await counter.stand.bus.ledger.terms(counter.id)).not_after_ms
    counter.stand.bus.clock.advance(86_400_000)
    await counter.provider.log_in(counter.stand.browser, "/connexion/agent?next=/guichet", "counter")
    await counter.stand.submit("/guichet", "/guichet/recherche", {"numero": counter.id.hex()})
    sent = await counter.stand.submit(at, f"{at}/renouvellement", {"channel": "counter"})
    counter.at = sent.headers["location"]
    await counter.agree(tuple(QUOTIENT_FAMILIAL.scopes))
    await counter.send({"level": "eidas1"}, FILE)
    await counter.identify()
    await counter.send({"reponse": "oui"})
    assert (await counter.stand.bus.ledger.terms(counter.id)).not_after_ms == before + 86_400_000
