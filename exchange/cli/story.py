"""The story `accord demo` tells, on a real bus: refused, agreed, answered, withdrawn while in flight, refused, proven.

Each step says what it did and whether it went as told. Nothing here is prepared: outcomes come from the bus, proofs from the ledger.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from stdnum import luhn

from connectors.core.call import call
from connectors.core.cases import NEVER_COMPARED, PERIOD, Case, best, normalise
from connectors.rest.descriptions import parts_of
from consent.core import note
from consent.core.facts import Acknowledgement
from exchange import receipt, wire
from exchange.adapters.kafka import KafkaReader
from exchange.clock import SystemClock
from exchange.core.identity import BadIdentity, Identity, canonical
from exchange.core.referentials import purposes_of
from exchange.core.rendering import entry_line
from exchange.core.topics import answers
from exchange.data_sets import DATA_SETS, QUOTIENT_FAMILIAL
from exchange.introduction import LEGAL_REFERENCE, ONLINE, PURPOSES, give
from exchange.local import LocalBus
from exchange.outcomes import Answer, ExchangeError
from exchange.sdk import Bus, Request
from exchange.sealing import Unopenable, open_inner
from exchange.wallet import Capsule

WAIT_S = 40.0
ANSWERS = {
    200: "released",
    400: "refused",
    404: "not_found",
    410: "not_found",
    416: "not_found",
    422: "refused",
    451: "refused",
}
"""What a case comes to, by its status; any other is a technical failure."""
ABOUT_SOMEONE = b"40305"
"""The one 403 that is an answer: SFiP wants the tax number of this person."""
TENDER = {"context": "marchés publics", "object": "demo-2026-1"}
"""What API Entreprise wants to know of a demand about a company."""


@dataclass(frozen=True)
class Step:
    """One step told: its outcome, whether it went as it should, the facts to show, a sentence in French and English."""

    name: str
    outcome: str
    as_told: bool
    fr: str
    en: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Story:
    """The state of one telling."""

    local: LocalBus
    bus: Bus
    identity: Identity
    parameters: dict[str, str]
    cases: list[Case]
    agreement: bytes = b""
    answered: Answer | None = None
    asked: Request | None = None
    data_set: str = QUOTIENT_FAMILIAL.name
    """Which data set the cases are asked for."""

    async def tell_cases(self) -> AsyncIterator[Step]:
        """Only the cases, each under an authorisation of its own, and how many went as told."""
        steps = await asyncio.gather(*(self.case(case) for case in self.cases))
        for step in steps:
            yield step
        passed = sum(step.as_told for step in steps)
        yield Step(
            "cases_counted", "counted", passed == len(steps) > 0,
            f"{self.data_set} : {passed} cas sur {len(steps)} se sont passés comme dit.",
            f"{self.data_set}: {passed} cases out of {len(steps)} went as told.",
            {"data_set": self.data_set, "passed": passed, "cases": len(steps)},
        )  # fmt: skip
        yield await self.verify_ledger()

    async def tell(self) -> AsyncIterator[Step]:
        """The steps, in order."""
        yield await self.without_consent()
        yield await self.give_consent()
        yield await self.with_consent()
        yield await self.verify_receipt()
        yield await self.withdraw_in_flight()
        yield await self.after_withdrawal()
        yield await self.dpo()
        for step in await asyncio.gather(*(self.case(case) for case in self.cases)):
            yield step
        yield await self.verify_ledger()

    async def _ask(self, agreement: bytes, capsule: Capsule | None = None) -> Request:
        return await self.bus.request(
            QUOTIENT_FAMILIAL.name,
            consent=agreement,
            purpose=PURPOSES[0],
            parameters=self.parameters,
            ttl_s=60,
            capsule=capsule,
        )

    async def without_consent(self) -> Step:
        nobody = Capsule(canonical(self.identity), os.urandom(32), b"")
        request = await self._ask(os.urandom(16), nobody)
        code = await _refusal(request)
        return Step(
            "request_without_consent", "refused" if code else "released", code == "authorisation_unknown",
            "La mairie demande le quotient familial sans accord : refusé.",
            "The town hall asks for the quotient familial without an agreement: refused.",
            {"code": code, "request": request.key.request.hex()},
        )  # fmt: skip

    async def give_consent(self) -> Step:
        self.agreement = await give(self.local.ledger, self.bus.wallet, self.identity, SystemClock().now_ms())
        held = (await self.local.ledger.lookup([self.agreement]))[0]
        live = held is not None and held.state == "live"
        return Step(
            "consent_given", "given" if live else "failed", live,
            "La citoyenne donne son accord pour la cantine ; une clé naît dans le registre.",
            "The citizen agrees, for the canteen; a key is born in the ledger.",
            {"consent": self.agreement.hex(), "scopes": list(held.scopes) if held else []},
        )  # fmt: skip

    async def with_consent(self) -> Step:
        self.asked = await self._ask(self.agreement)
        self.answered = await self.asked.answer(WAIT_S)
        data = self.answered.data or {}
        value = (data.get("quotient_familial") or {}).get("valeur")
        return Step(
            "request_with_consent", "released" if self.answered.status == "found" else self.answered.status, value is not None,
            f"La même demande, avec l'accord : la mairie lit {value} € ; personne d'autre ne le peut.",
            f"The same request, with the agreement: the town hall reads {value} €; nobody else can.",
            {"request": self.asked.key.request.hex(), "data": self.answered.data},
        )  # fmt: skip

    async def verify_receipt(self) -> Step:
        assert self.answered is not None and self.asked is not None  # the step before raised otherwise
        outcome, verifier = self.answered.outcome, self.bus.trust.log
        receipt.verify_release(outcome, self.asked.digest, verifier)
        leaf, path, checkpoint = await self.local.ledger.proof(outcome.leaf_index)
        head = receipt.verify_proof(leaf, outcome.leaf_index, path, checkpoint, verifier)
        same = leaf == outcome.leaf
        return Step(
            "receipt_verified", "verified" if same else "failed", same,
            f"Le reçu est prouvé : feuille {outcome.leaf_index} d'un journal signé de {head.size} feuilles.",
            f"The receipt is proven: leaf {outcome.leaf_index} of a signed log of {head.size} leaves.",
            {"leaf_index": outcome.leaf_index, "size": head.size, "root": head.root.hex()},
        )  # fmt: skip

    async def withdraw_in_flight(self) -> Step:
        """Release is stopped, so that the answer waits, sealed, on its topic; the citizen withdraws; release starts again."""
        await asyncio.to_thread(self.local.stop, "release")
        request = await self._ask(self.agreement)
        queued = await self._queued(request)
        ack: Acknowledgement = await self.local.ledger.withdraw(self.agreement, "withdrawn")
        note.verify(ack.note, self.bus.trust.log)
        keys_left = await self.local.ledger.has_key(self.agreement)
        openable = self._openable(request, queued)
        self.local.start_worker("release", ("release",))
        code = await _refusal(request)
        named = [r.hex() for r in ack.named]
        return Step(
            "withdrawn_in_flight", "refused" if code else "released",
            code == "withdrawn" and not keys_left and not openable and request.key.request not in ack.named,
            "Une réponse scellée attend ; la citoyenne retire son accord : la clé est détruite, plus personne ne peut l'ouvrir.",
            "A sealed answer is waiting; the citizen withdraws: the key is destroyed, nobody can open it any more.",
            {"code": code, "request": request.key.request.hex(), "queued_bytes": len(queued), "keys_left": int(keys_left),
             "openable": openable, "named": named},
        )  # fmt: skip

    async def _queued(self, request: Request) -> bytes:
        """The sealed answer to this request, as it lies on its topic."""
        async with asyncio.timeout(WAIT_S), KafkaReader(self.local.bootstrap, answers("cnaf")) as reader:
            async for chunk in reader:
                for record in chunk:
                    if record.key == self.agreement and wire.read_answer(record).key == request.key:
                        return record.value or b""
        raise AssertionError("the reader reads for ever")

    def _openable(self, request: Request, queued: bytes) -> bool:
        """Whether the collectivity, with its own key and all it knows, opens the queued bytes."""
        assert self.answered is not None  # told before
        context = receipt.context(self.answered.outcome, request.digest)
        sealed = wire.read("exchange-answer", queued)
        for part in (sealed["outer"], sealed["sealed_key"]):
            try:
                open_inner(context, part, self.bus.wallet.private, bytes(32))
            except Unopenable:
                continue
            return True
        return False

    async def after_withdrawal(self) -> Step:
        code = await _refusal(request := await self._ask(self.agreement))
        return Step(
            "request_after_withdrawal", "refused" if code else "released", code == "withdrawn",
            "Une nouvelle demande sous l'accord retiré : refusé.", "A new request under the withdrawn agreement: refused.",
            {"code": code, "request": request.key.request.hex()},
        )  # fmt: skip

    async def dpo(self) -> Step:
        entries = [entry_line(entry) for entry in await self.local.ledger.entries(self.agreement)]
        kinds = [entry["kind"] for entry in entries]
        return Step(
            "dpo_query", "answered", kinds == ["given", "released", "withdrawn", "refused", "refused"],
            "La déléguée à la protection des données retrouve tout ce qui a été fait de cet accord.",
            "The data protection officer finds all that was done with this agreement.",
            {"entries": entries},
        )  # fmt: skip

    async def verify_ledger(self) -> Step:
        problems = await self.local.ledger.verify()
        head = note.parse_checkpoint(note.verify(await self.local.ledger.checkpoint(), self.bus.trust.log))
        return Step(
            "ledger_verified", "verified" if not problems else "corrupted", not problems,
            f"Le journal entier, recalculé depuis ses {head.size} feuilles, donne la racine signée.",
            f"The whole log, recomputed from its {head.size} leaves, gives the signed root.",
            {"size": head.size, "root": head.root.hex(), "problems": problems},
        )  # fmt: skip

    async def case(self, case: Case) -> Step:
        """One case asked through the whole bus under an agreement of its own."""
        outcome, code, data = await self._case(case)
        expected, part = ANSWERS.get(case.status, "failed"), self._part(case)
        expected = "refused" if case.status == 403 and ABOUT_SOMEONE in case.payload else expected
        if part and outcome != "invalid":
            expected = "failed" if self._held_back(case) else expected
            outcome, code, data = _part_of(data, part) if data is not None else (outcome, code, data)
        facts = {"case": f"{case.name}.yaml", "status": case.status, "code": code, "data": data}
        return Step(
            "case",
            outcome,
            outcome == expected,
            f"{case.name} : {outcome} {code or ''}",
            f"{case.name}: {outcome} {code or ''}",
            facts,
        )

    def _part(self, case: Case) -> str:
        """The root field that a case fills; empty where the data set is not composed of others."""
        parts = parts_of(self.data_set).items()
        return next(root for root, part in parts if any(each.id == case.operation for each in part.operations))

    def _held_back(self, case: Case) -> bool:
        """Whether a part, this one or another, fails for the company that a case is about."""
        identity, parameters = read_case(case)
        calls = (
            call(part, identity, self.bus.wallet.recipient, parameters) for part in parts_of(self.data_set).values()
        )
        met = (best(self.cases, each.operation.id, normalise(each.designation)) for each in calls)
        return any(one.status not in ANSWERS for one in met if one is not None)

    async def _case(self, case: Case) -> tuple[str, str | None, Any]:
        try:
            identity, parameters = read_case(case)
            wanted = terms_of(self.data_set)
            agreement = await give(self.local.ledger, self.bus.wallet, identity, SystemClock().now_ms(), **wanted)
            request = await self.bus.request(
                self.data_set, consent=agreement, purpose=purposes_of(self.data_set)[0], parameters=parameters, ttl_s=60
            )
            if DATA_SETS[self.data_set].preview and await request.awaits_person(2 * WAIT_S):
                await self.local.ledger.previewed(request.submission, True, ONLINE)
            answer = await request.answer(2 * WAIT_S)
        except BadIdentity as error:
            return "invalid", str(error), None
        except ExchangeError as error:
            told = error.outcome.code if error.outcome is not None else "unavailable"
            return told, error.provider_code or error.code.value, None
        return ("released" if answer.status == "found" else answer.status), answer.code or None, answer.data


def _part_of(data: Any, part: str) -> tuple[str, str | None, Any]:
    """Outcome, State's code and datum of one part of a composed data set."""
    told = data[part]
    return ("released" if told["status"] == "found" else told["status"]), told["code"] or None, told["data"]


def read_case(case: Case) -> tuple[Identity, dict[str, str]]:
    """The person or company a case is about, and what it selects. A Siren stands for a made-up establishment of it."""
    values = {name: value for name, value in case.wire.items() if name not in NEVER_COMPARED}
    selecting = {name: str(values.pop(name)) for name in PERIOD if values.get(name)}
    if siren := str(values.pop("siren", "")):
        values["siret"] = f"{siren}0001{luhn.calc_check_digit(f'{siren}0001')}"
    if "siret" in values:
        # Not through `from_wire`: the State's own examples hold Sirets whose key is wrong.
        return Identity(siret=str(values["siret"])), selecting | TENDER
    return Identity.from_wire(values), selecting


def terms_of(data_set: str) -> dict[str, object]:
    """The terms of an authorisation for all of a data set: an agreement for people, the law for companies."""
    known, now = DATA_SETS[data_set], {"notice_hash": bytes(32), "notice_version": "demo"}
    terms: dict[str, object] = {"data_set": data_set}
    if known.parameters >= TENDER.keys():
        return terms | {"basis": "legal", "legal_reference": LEGAL_REFERENCE} | now
    return terms


async def _refusal(request: Request) -> str | None:
    """The code of a refusal, or None if the answer came."""
    try:
        await request.answer(WAIT_S)
    except ExchangeError as error:
        return error.code.value
    return None
