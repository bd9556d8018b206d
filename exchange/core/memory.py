"""What the gate remembers of the ledger: bounded, corrected by events, and forgotten when the events fall silent."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from consent.core.facts import REGISTER, Authorisation
from exchange.core.gate import Known, Shared, View

SILENCE_MAX_MS = 5_000
SHARED_MAX = 4_096


class Memory:
    """Views by authorisation id. Older entries leave first; an event newer than a view removes it."""

    def __init__(self, size_max: int = 200_000) -> None:
        self._size_max, self._heard_ms = size_max, -SILENCE_MAX_MS
        self.views: dict[bytes, View] = {}
        self._shared: dict[Shared, tuple[Shared, Known]] = {}

    def trusted(self, now_ms: int) -> dict[bytes, View]:
        """The views, or none if nothing was heard from the ledger for 5 s."""
        if now_ms - self._heard_ms > SILENCE_MAX_MS:
            self.views.clear()
        return self.views

    def learn(self, found: Iterable[Authorisation]) -> dict[bytes, View]:
        """Views of what the ledger has just said, remembered; returned on their own. What was known already stays as it was."""
        fresh: dict[bytes, View] = {}
        for held in found:
            known = self.views.get(held.id)
            fresh[held.id] = known if known is not None and known.held == held else self._view(held)
        self.views.update(fresh)
        if len(self.views) > self._size_max:
            for old in list(self.views)[: len(self.views) - self._size_max + self._size_max // 10]:
                del self.views[old]
        return fresh

    def _view(self, held: Authorisation) -> View:
        """200,000 of them in some 200 MB, for what they have alike is there once."""
        if len(self._shared) > SHARED_MAX:
            self._shared.clear()
        shared = Shared.of(held)
        shared, asks = self._shared.setdefault(shared, (shared, set()))
        return View(msgspec.structs.replace(held, **shared._asdict()), asks)

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
