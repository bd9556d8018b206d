"""Delivers each operator's events to its webhooks, in order, from where each one left; a webhook that fails waits, then is paused.

Its cursor is its only state: what could not be delivered is on the topic for seven days, and follows once it is resumed.
"""

from __future__ import annotations

import asyncio
import os

import structlog
from sqlalchemy import Engine

from exchange.bounded import Outside
from exchange.core.encoding import digest
from exchange.ports import Clock, Unavailable
from portal.api import calling, hooks
from portal.api.calling import Resolve
from portal.api.feeds import Feeds, Told
from portal.api.hooks import Delivery, Hook
from portal.core import addresses
from portal.core import hooks as signing
from portal.core.addresses import BadAddress, Network
from portal.core.views import event_type

LOOK_S = 1.0
AT_ONCE = 50


class Deliverer:
    """Of one portal. `key` is what secrets are sealed under."""

    def __init__(
        self, store: Engine, feeds: Feeds, clock: Clock, key: bytes, allowed: tuple[Network, ...], *, sandbox: bool,
        outside: Outside, look_up: Resolve = calling.resolve,
    ) -> None:  # fmt: skip
        self._store, self._feeds, self._clock, self._key = store, feeds, clock, key
        self._allowed, self._sandbox, self._look_up = allowed, sandbox, look_up
        self._outside = outside

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.step()
            await self._clock.sleep(LOOK_S)

    async def step(self) -> None:
        """Once for each webhook whose turn has come, side by side."""
        now_ms = self._clock.now_ms()
        due = [
            hook for hook in hooks.every(self._store) if not hook.standing.paused and hook.standing.next_ms <= now_ms
        ]
        await asyncio.gather(*(self._deliver(hook) for hook in due))

    async def check(self, url: str) -> None:
        """BadAddress where nothing would be sent to this URL."""
        await calling.checked(addresses.target(url, sandbox=self._sandbox), self._allowed, self._look_up)

    async def send(self, hook: Hook, one: Delivery) -> Delivery:
        """One delivery, now; what it came to is noted."""
        now_ms = self._clock.now_ms()
        status = await self._post(hook, one, now_ms // 1000)
        tried = one._replace(tries=one.tries + 1, status=status, delivered=200 <= status < 300, tried_ms=now_ms)
        hooks.note(self._store, tried)
        return tried

    async def tell(self, hook: Hook, kind: str) -> Delivery:
        """An event about the webhook itself, sent now and once, whatever it comes to."""
        now_ms = self._clock.now_ms()
        body = signing.written(kind, now_ms, {"webhook": hook.id})
        return await self.send(hook, Delivery(0, os.urandom(16).hex(), hook.id, kind, body, now_ms, 0, 0, False, 0))

    async def _post(self, hook: Hook, one: Delivery, now_s: int) -> int:
        secret = hooks.unseal(self._key, hook)
        try:
            target = addresses.target(hook.url, sandbox=self._sandbox)
            address = await calling.checked(target, self._allowed, self._look_up)
        except BadAddress:  # it was another one when it was given
            return 0
        return await calling.post(
            self._outside, target, address, one.body, signing.headers(secret, one.id, now_s, one.body)
        )

    async def _deliver(self, hook: Hook) -> None:
        try:
            found = await self._feeds.of(hook.operator).after(hook.offsets, AT_ONCE)
        except Unavailable:
            return
        standing, offsets = hook.standing, dict(hook.offsets)
        for told in found:
            one = self._delivery(hook, told)
            if not one.delivered:  # the bus may tell the same outcome again
                one = await self.send(hook, one)
                standing = standing.after(one.delivered, self._clock.now_ms())
            if not one.delivered:
                break
            offsets[told.partition] = told.offset + 1
            hooks.stand(self._store, hook.id, standing, offsets)
        if standing != hook.standing:
            hooks.stand(self._store, hook.id, standing, offsets)
        if standing.paused:
            structlog.get_logger().warning("webhook_paused", webhook=hook.id, operator=hook.operator)
            await self._alert(hook)

    async def _alert(self, hook: Hook) -> None:
        """Once for each pause, at the other address its owner gave; what it came to is among the webhook's deliveries."""
        if hook.alert:
            await self.tell(hook._replace(url=hook.alert), signing.PAUSED)

    def _delivery(self, hook: Hook, told: Told) -> Delivery:
        """The same id each time it is tried, or told."""
        kind, key = event_type(told.told), told.told.key
        id = digest(
            b"accord.delivery.v1", hook.id.encode(), kind.encode(), key.authorisation, key.request, told.told.digest
        ).hex()[:32]
        known = hooks.delivery_of(self._store, hook.id, id)
        if known is not None:
            return known
        body = signing.body_of(told.told, told.at_ms)
        return Delivery(0, id, hook.id, kind, body, told.at_ms, 0, 0, False, 0)
