"""Where what DataPass tells becomes what the ledger holds: one at a time, the ledger first, the memory of it after. A crash between the
two leaves a call that DataPass repeats, or the next reconciliation: both find the ledger as it should be and write nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from consent.core.facts import Habilitation
from consent.door import Door
from exchange.core.datapass.events import Right, Snapshot, merge
from exchange.core.datapass.mapping import DAY_MS, Act, BadMapping, Rules, check, entitlements, plan
from exchange.datapass.memory import Memory
from exchange.ports import Clock

MAPPING = Path(__file__).with_name("mapping.yml")


def read_rules(path: Path, data_sets: Mapping[str, frozenset[str]]) -> Rules:
    """The mapping in a YAML file; BadMapping says what is wrong with it."""
    try:
        return check(msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Rules), data_sets)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadMapping(type(error).__name__) from None
    except msgspec.ValidationError as error:
        raise BadMapping(str(error)) from None


class Desk:
    """Settles what DataPass tells with one ledger. `data_sets` are the scopes of each, by name."""

    def __init__(
        self, ledger: Door, memory: Memory, rules: Rules, data_sets: Mapping[str, frozenset[str]], clock: Clock
    ) -> None:
        self.ledger, self.memory, self.rules, self.data_sets, self.clock = ledger, memory, rules, data_sets, clock
        self._one_at_a_time = asyncio.Lock()

    async def settle(self, told: Sequence[Snapshot], *, again: bool = False) -> list[Act]:
        """What was written. What is older than what is known, or known already, writes nothing; with `again` the ledger is compared even
        so, and renewed where it is due. Raises `Unavailable`: nothing of it is kept, tell it again."""
        async with self._one_at_a_time:
            known = self.memory.known(one.demande for one in told)
            merged = {one.demande: merge(known.get(one.demande), one) for one in told}
            news = [one for one in merged.values() if again or one._replace(over=frozenset()) != known.get(one.demande)]
            acts = await self._plan(news, known) if news else []
            for act in acts:
                await self._write(act.habilitation)
            self.memory.keep(news)
        return acts

    async def _plan(self, news: Sequence[Snapshot], known: Mapping[str, Snapshot]) -> list[Act]:
        told = [*news, *(known[one.demande] for one in news if one.demande in known)]
        touched = {right.recipient for one in told for right in one.rights | one.over}
        before = self.memory.rights(touched)
        after: dict[str, frozenset[Right] | set[Right]] = {**before, **{one.demande: one.rights for one in news}}
        over = {right for one in news for right in one.over}
        had = entitlements(over.union(*before.values()), self.rules, self.data_sets)
        wanted = entitlements(set[Right]().union(*after.values()), self.rules, self.data_sets)
        if not (keys := {*had, *wanted}):
            return []
        held = await self.ledger.habilitations()
        return plan(keys, wanted, held, self.clock.now_ms(), self.rules.validity_days * DAY_MS)

    async def _write(self, h: Habilitation) -> None:
        await self.ledger.habilitate(h.recipient, h.data_set, h.purpose, h.scopes, h.legal_reference, h.not_after_ms)
