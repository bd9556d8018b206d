"""May this be asked, why not, until when: the gate's rule, asked beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from consent.core.facts import Authorisation
from consent.core.rules import usable
from exchange.core.decision import Ask, DataSet, standing
from exchange.core.errors import Code


class Verdict(NamedTuple):
    """`reason` is None where it may be asked now; then `until_ms` is the end of its validity, excluded, and `uses_left` what it still allows."""

    reason: Code | None
    until_ms: int = 0
    uses_left: int = 0


def own(held: Authorisation | None, operator: str) -> Authorisation | None:
    """An agreement this operator acts for; another's is as unknown as one that does not exist."""
    return held if held is not None and operator in held.operators else None


def check(
    ask: Ask, operator: str, held: Authorisation | None, data_sets: Mapping[str, DataSet], now_ms: int
) -> Verdict:
    """What the gate would say of this ask, now."""
    reason = standing(ask, operator, held, data_sets).reason
    if reason is not None or held is None:
        return Verdict(reason)
    reason = usable(held.state, held.not_before_ms, held.not_after_ms, held.uses, held.max_uses, now_ms)
    if reason is not None:
        return Verdict(reason)
    return Verdict(None, held.not_after_ms, held.max_uses - held.uses)
