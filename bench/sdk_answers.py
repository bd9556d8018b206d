"""Answering requests by hand, as connector, ledger and release do it one after the other: for a bench of the SDK alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from bench.load import WrongCount
from bench.town import CASE, PROVIDER
from connectors.agent import ConnectorKeys
from connectors.answer import plain
from connectors.contract import Found
from connectors.core.cases import QUOTIENT_FAMILIAL
from connectors.sandbox import FAMILIES, load_cases
from connectors.sdk.reply import TOGETHER
from consent.certificates import Certificate
from consent.certificates import read as read_certificate
from consent.core.facts import Answer, Attempt, Attempted, Outcome, Position, RequestKey
from consent.ledger import Ledger
from exchange import wire
from exchange.agents.base import slices
from exchange.clock import SystemClock
from exchange.core import sealing, topics
from exchange.ports import Message, Record
from exchange.schemas import catalogue
from exchange.sealing import AnswerKeys, open_identity, seal_signed, sign_answers
from exchange.trust import Trust
from exchange.wallet import Wallet

AT_ONCE = 200
"""Requests a transaction, as release has it."""


class _Said(NamedTuple):
    """What a request is answered, and to whom."""

    context: sealing.Context
    plain: bytes
    recipient: bytes


@dataclass
class Desk:
    """Connector and release for one collectivity's requests."""

    ledger: Ledger
    keys: ConnectorKeys
    wallet: Wallet
    trust: Trust
    inner_bytes: int = 0

    async def answer(self, records: Sequence[Record], wanted: set[bytes]) -> dict[tuple[str, int], list[Message]]:
        """The outcomes of these requests by place, each released. `WrongCount` unless the records are the wanted ones, once each, and each
        identity opens for its own agreement."""
        told: dict[tuple[str, int], list[Message]] = {}
        for first in range(0, len(records), AT_ONCE):
            for record, outcome in await self._some(records[first : first + AT_ONCE]):
                if outcome.key.request not in wanted:
                    raise WrongCount("a request that nobody made, or one made twice")
                wanted.discard(outcome.key.request)
                message = wire.message(
                    "outcome", outcome.key.authorisation, wire.write_outcome(outcome), outcome.key.request.hex()
                )
                told.setdefault((topics.outcomes(self.wallet.operator), record.partition), []).append(message)
                self.inner_bytes = len(outcome.inner)
        if wanted:
            raise WrongCount(f"{len(wanted)} requests not on the topic")
        return told

    async def _some(self, records: Sequence[Record]) -> Iterator[tuple[Record, Outcome]]:
        asked = [self._attempt(record) for record in records]
        attempted = await self.ledger.attempt([attempt for attempt, _ in asked], "bench")
        said = [_said(a, c, granted) for (a, c), granted in zip(asked, attempted, strict=True)]
        signed = [
            one
            for some in slices(said, TOGETHER)
            for one in sign_answers([(one.context, one.plain) for one in some], self.keys.signing)
        ]
        answers = [self._seal(a, c, *each) for (a, c), each in zip(asked, zip(said, signed, strict=True), strict=True)]
        outcomes = await self.ledger.release(answers, [], "bench")
        released = [outcome for outcome in outcomes if isinstance(outcome, Outcome) and outcome.delivery == "key"]
        return zip(records, released, strict=True)

    def _attempt(self, record: Record) -> tuple[Attempt, Certificate]:
        body: dict[str, Any] = wire.read("exchange-request", record.value)
        key = RequestKey(self.wallet.operator, body["authorisation_id"], body["request_id"])
        digest = sealing.request_digest(key.operator, key.authorisation, key.request, sealing.ask_hash(body["ask"]))
        capsule, ask = self.wallet.capsule(key.authorisation), wire.read_ask(body["ask"])
        assert capsule is not None and ask is not None
        certificate = read_certificate(capsule.certificate, self.trust.certificate)
        open_identity(self.keys.sealing, digest, body["identity"], certificate.commitment)
        schema = bytes.fromhex(catalogue().codec_of_data_set(ask.data_set).sha256)
        deadline_ms = SystemClock().now_ms() + int(body["ttl_ms"].hex(), 16)
        return Attempt(key, digest, ask.scopes, schema, sealing.NO_RULE, certificate.hash, deadline_ms), certificate

    def _seal(self, attempt: Attempt, certificate: Certificate, said: _Said, signed: bytes) -> Answer:
        keys = AnswerKeys(said.recipient, certificate.public_key, self.keys.signing, self.keys.mac, certificate.suite)
        sealed = seal_signed(said.context, signed, keys)
        place = Position(topics.answers(PROVIDER), 0, 0)
        return Answer(attempt.key, PROVIDER, attempt.digest, sealed.tag, sealed.sealed_key, sealed.outer, place)


def _said(attempt: Attempt, certificate: Certificate, granted: Attempted) -> _Said:
    if granted.recipient is None:
        raise WrongCount(f"not allowed: {granted.reason}")
    recipient = granted.recipient.public_key
    context = sealing.Context(
        attempt.digest, attempt.certificate_hash, sealing.key_id(recipient), attempt.schema_hash, attempt.scopes,
        attempt.rule_hash, attempt.deadline_ms,
    )  # fmt: skip
    return _Said(context, plain(certificate.data_set, attempt.scopes, None, _family(), 0), recipient)


@cache
def _family() -> Found:
    """Whose answer everybody gets."""
    (case,) = (case for case in load_cases(FAMILIES / QUOTIENT_FAMILIAL) if case.name == CASE)
    return Found(json.loads(case.payload)["data"])
