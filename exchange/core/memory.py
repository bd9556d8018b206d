"""What the gate remembers of the ledger: bounded, corrected by events, and forgotten when the events fall silent."""

from __future__ import annotations

from collections.abc import Iterable

from consent.core.facts import REGISTER, Authorisation
from exchange.core.gate import View

SILENCE_MAX_MS = 5_000


class Memory:
    """Views by authorisation id. Older entries leave first; an event newer than a view removes it."""

    def __init__(self, size_max: int = 200_000) -> None:
        self._size_max, self._heard_ms = size_max, -SILENCE_MAX_MS
        self.views: dict[bytes, View] = {}

    def trusted(self, now_ms: int) -> dict[bytes, View]:
        """The views, or none if nothing was heard from the ledger for 5 s."""
        if now_ms - self._heard_ms > SILENCE_MAX_MS:
            self.views.clear()
        return self.views

    def learn(self, found: Iterable[Authorisation]) -> dict[bytes, View]:
        """Views of what the ledger has just said, remembered; returned on their own."""
        fresh = {held.id: View(held) for held in found}
        self.views.update(fresh)
        if len(self.views) > self._size_max:
            for old in list(self.views)[: len(self.views) - self._size_max + self._size_max // 10]:
                del self.views[old]
        return fresh

    def hear(self, authorisation: bytes, version: int, now_ms: int) -> None:
        """An event: only a greater version counts; one without authorisation says that who may ask has changed."""
        self._heard_ms = max(self._heard_ms, now_ms)
        view = self.views.get(authorisation)
        if view is not None and version > view.held.version:
            del self.views[authorisation]
        elif authorisation == REGISTER and version == 0:
            self.views.clear()

    def beat(self, now_ms: int) -> None:
        """A heartbeat."""
        self._heard_ms = max(self._heard_ms, now_ms)
