"""The calls of one provider, each data set in its own lane: its rate, how many at once, for how long, and its circuit breaker.

Held here, by one process: nothing of it must survive a restart. What decides is pure (`connectors.sdk.core`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from connectors.contract import Failure, Found, Identity, NotFound, Reading, Retry, StateApi, StateRefusal
from connectors.core.composition import Composition, gathered
from connectors.rest.descriptions import compositions
from connectors.sdk.core.circuit import Circuit, answered, throttled_s
from connectors.sdk.core.health import Health, status_of
from connectors.sdk.core.rate import Bucket, interval_ms
from exchange.data_sets import DATA_SETS
from exchange.ports import Clock
from exchange.together import each


@dataclass(frozen=True, slots=True)
class Limits:
    """How a State API may be called: calls at once, rate (``20/s``, ``250/min``; empty: none), seconds for one call. What is of one
    `group` counts together. ValueError."""

    concurrency: int = 16
    rate: str = ""
    timeout_s: float = 10.0
    group: str = ""

    def __post_init__(self) -> None:
        interval_ms(self.rate)
        if self.concurrency < 1 or self.timeout_s <= 0:
            raise ValueError("concurrency and timeout_s must be positive")


class Throttle:
    """A rate that lanes may share: the State counts by token, not by operation."""

    def __init__(self, rate: str = "") -> None:
        self.bucket, self.interval_ms = Bucket(), interval_ms(rate)


class Lane:
    """One data set of the provider. `health` is told of every call."""

    def __init__(
        self, data_set: str, api: StateApi, limits: Limits, throttles: tuple[Throttle, ...], clock: Clock
    ) -> None:
        self.data_set, self.api, self.limits, self._clock = data_set, api, limits, clock
        self.circuit, self.health, self._throttles = Circuit(), Health(), throttles
        self._call_ms, self._behind_ms = 0.0, 0.0

    def next_ms(self, now_ms: int) -> float:
        """When the next call may be made."""
        return max(self.circuit.turn_ms(now_ms), *(t.bucket.turn_ms(now_ms) for t in self._throttles))

    def idle(self, now_ms: int) -> bool:
        """Whether a whole turn has gone by unused: what can wait goes then, and the next turn is for who is waiting."""
        unused = (t.bucket.next_ms + t.interval_ms <= now_ms for t in self._throttles)
        return self.circuit.turn_ms(now_ms) <= now_ms and all(unused)

    def take(self, turn_ms: float) -> None:
        """That turn is taken."""
        for throttle in self._throttles:
            throttle.bucket = throttle.bucket.taken(turn_ms, throttle.interval_ms)

    def later_ms(self, turn_ms: int) -> int:
        """When a task that cannot have its turn now should come back: one after the other, as fast as this lane goes."""
        pace_ms = max(self._call_ms / self.limits.concurrency, *(t.interval_ms for t in self._throttles))
        self._behind_ms = max(self._behind_ms + pace_ms, turn_ms)
        return int(self._behind_ms)

    async def fetch(self, identity: Identity, recipient: str, parameters: Mapping[str, str], left_s: float) -> Reading:
        """One call within its time and the request's. Never raises, whatever the API does (cancellation excepted)."""
        began_ms = self._clock.monotonic_ms()
        reading = await self._bounded(identity, recipient, parameters, min(self.limits.timeout_s, left_s))
        now_ms = self._clock.now_ms()
        self._call_ms += (self._clock.monotonic_ms() - began_ms - self._call_ms) / 8
        self.circuit = self.circuit.after(answered(reading), now_ms)
        self.health = self.health.seen(status_of(reading), now_ms)
        if pause_s := throttled_s(reading):
            for throttle in self._throttles:
                throttle.bucket = throttle.bucket.closed(now_ms + 1000 * pause_s)
        return reading

    async def _bounded(
        self, identity: Identity, recipient: str, parameters: Mapping[str, str], timeout_s: float
    ) -> Reading:
        call = asyncio.create_task(self._ask(identity, recipient, parameters))
        alarm = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            await asyncio.wait((call, alarm), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                return Retry("", 0.0, "timeout")
            reading = None if call.cancelled() or call.exception() else call.result()
        finally:
            alarm.cancel()
            call.cancel()
        return reading if isinstance(reading, Found | NotFound | StateRefusal | Retry | Failure) else BROKEN

    async def _ask(self, identity: Identity, recipient: str, parameters: Mapping[str, str]) -> object:
        return await self.api.fetch(self.data_set, identity, recipient, parameters)


BROKEN = Failure("", "client")
"""What the API raised or returned says nothing that may leave: it may be personal."""


class Asking:
    """What one task asks of its lanes, side by side: one call, or those of a composed data set's parts (`connectors.core.composition`).

    A part that has answered is not asked again; what is left waits until each has its turn, and goes at once.
    """

    def __init__(
        self, lanes: Mapping[str, Lane], at_once: asyncio.Semaphore, identity: Identity, recipient: str,
        parameters: Mapping[str, str], made: Callable[[Mapping[str, Reading]], Reading],
    ) -> None:  # fmt: skip
        self.at_once, self._lanes, self._made = at_once, lanes, made
        self._asked = (identity, recipient, parameters)
        self._readings: dict[str, Reading] = {}

    @property
    def _left(self) -> dict[str, Lane]:
        waiting = Retry("", 0.0)
        return {
            name: lane for name, lane in self._lanes.items() if isinstance(self._readings.get(name, waiting), Retry)
        }

    def turn_ms(self, now_ms: int, latest_ms: int) -> int:
        """When the next calls may be made; that turn is taken if it comes by `latest_ms`."""
        left = self._left.values()
        turn_ms = max((lane.next_ms(now_ms) for lane in left), default=now_ms)
        if turn_ms <= latest_ms:
            for lane in left:
                lane.take(turn_ms)
        return int(-(-turn_ms // 1))

    def idle(self, now_ms: int) -> bool:
        """Whether nobody else needs these lanes now."""
        return not self.at_once.locked() and all(lane.idle(now_ms) for lane in self._left.values())

    def later_ms(self, turn_ms: int) -> int:
        """When a task that cannot have its turn now should come back."""
        return max((lane.later_ms(turn_ms) for lane in self._left.values()), default=turn_ms)

    def entered(self, now_ms: int) -> bool:
        """Whether the calls whose turn it is may go through their circuits: all or none."""
        left = self._left.values()
        may = all(lane.circuit.turn_ms(now_ms) <= now_ms for lane in left)
        for lane in left if may else ():
            lane.circuit = lane.circuit.entered(now_ms)
        return may

    async def fetch(self, left_s: float) -> Reading:
        """The calls that are left, within their time and the request's, and what they make. Never raises (cancellation excepted)."""
        left = self._left
        read = await each([lane.fetch(*self._asked, left_s) for lane in left.values()])
        self._readings |= zip(left, read, strict=True)
        return self._made(self._readings)


class Way:
    """How a data set of this provider is had: through its own lane, or through those of its parts."""

    def __init__(self, lanes: Mapping[str, Lane], limits: Limits, composition: Composition | None) -> None:
        self.lanes, self._composition, self._at_once = lanes, composition, asyncio.Semaphore(limits.concurrency)

    def asked(self, identity: Identity, recipient: str, parameters: Mapping[str, str], scopes: Iterable[str]) -> Asking:
        """For one task; of a composed data set, the parts that its scopes open."""
        if self._composition is None:
            return Asking(self.lanes, self._at_once, identity, recipient, parameters, _only)
        opened = {root: self.lanes[root] for root in self._composition.opened(scopes)}
        return Asking(opened, self._at_once, identity, recipient, parameters, gathered)


def _only(readings: Mapping[str, Reading]) -> Reading:
    (reading,) = readings.values()
    return reading


class Lanes:
    """The lanes of one provider. `apis`: one API for all its data sets, or one for each; `rate` is that of all of them together."""

    def __init__(
        self,
        provider: str,
        apis: StateApi | Mapping[str, StateApi],
        clock: Clock,
        limits: Mapping[str, Limits] | None = None,
        rate: str = "",
    ) -> None:
        if not isinstance(apis, Mapping):
            apis = {name: apis for name, data_set in DATA_SETS.items() if data_set.provider == provider}
        chosen, shared, groups = limits or {}, Throttle(rate), dict[str, Throttle]()

        def lane(data_set: str, api: StateApi, limits: Limits) -> Lane:
            own = groups.setdefault(limits.group or data_set, Throttle(limits.rate))
            return Lane(data_set, api, limits, (shared, own), clock)

        def way(name: str, api: StateApi) -> Way:
            composed = compositions().get(name)
            parts = {root: part.data_set for root, part in composed.parts.items()} if composed else {"": name}
            own = chosen.get(name, Limits())
            lanes = {root: lane(each, api, chosen.get(each, own)) for root, each in parts.items()}
            return Way(lanes, own, composed)

        self._ways = {name: way(name, api) for name, api in apis.items()}

    def of(self, data_set: str) -> Way | None:
        """The way to a data set of the catalogue; None where this connector does not answer for it."""
        return self._ways.get(data_set) if data_set in DATA_SETS else None

    def health(self) -> Health:
        """That of the provider: what was seen last, in any lane."""
        seen = [lane.health for way in self._ways.values() for lane in way.lanes.values()]
        last = max(seen, key=lambda health: health.updated_ms, default=Health())
        return last._replace(ok_ms=max((health.ok_ms for health in seen), default=0))
