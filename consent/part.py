"""What every part of the ledger stands on: the store, the keys, the clock, and when the log is whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from consent import heads, withdrawals
from consent.keys import KeyRing
from consent.transaction import Transaction, reading, transaction
from exchange.ports import LEASE_MS, Clock

_POLL_S = 0.02


class Part:
    """A part of a ledger: each method is one transaction, or reads in one."""

    def __init__(self, engine: Engine, keys: KeyRing, clock: Clock) -> None:
        self._engine, self._keys, self._clock = engine, keys, clock

    @contextmanager
    def _begin(self, *, recovering: bool = False) -> Iterator[Transaction]:
        """`Recovering` unless the log is whole, or the caller knows what it does without."""
        with transaction(self._engine, self._keys, self._clock.now_ms()) as tx:
            if not recovering:
                heads.require_whole(tx.connection)
            yield tx

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """For what a store older than its log must not tell."""
        with reading(self._engine) as connection:
            heads.require_whole(connection)
            yield connection

    async def _leases_over(self, authorisations: Sequence[bytes]) -> None:
        """No key of these can be on its way any more but those that will be named."""
        over_ms = self._clock.monotonic_ms() + LEASE_MS
        while self._clock.monotonic_ms() < over_ms:
            with reading(self._engine) as connection:
                if not any(withdrawals.leases_open(connection, authorisation) for authorisation in authorisations):
                    break
            await self._clock.sleep(_POLL_S)
