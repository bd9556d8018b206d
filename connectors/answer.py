"""What is sealed of a State's answer: the datum minimised to the effective scopes, or the answer of a rule in its place."""

from __future__ import annotations

from connectors.contract import Failure, Found, NotFound, Reading, Retry
from connectors.core.minimise import minimise
from exchange.core import rule as rules
from exchange.core.rule import Rule
from exchange.core.shape import complete
from exchange.schemas import catalogue


def plain(data_set: str, scopes: tuple[str, ...], rule: Rule | None, reading: Reading, now_ms: int) -> bytes:
    """StateAnswer bytes; RuleAnswer bytes where a rule was asked, which say nothing of the datum but the rule's answer and, of a refusal,
    the State's code. BadAvro where the State's words are not the data set's."""
    status, code, title, data, result = "refused", "", "", b"", "unknown"
    if isinstance(reading, Found):
        codec = catalogue().codec_of_data_set(data_set)
        kept = minimise(codec.schema, reading.data, frozenset(scopes))
        status, data = "found", codec.encode(complete(codec.schema, kept))
        result = rules.answer(rule, kept) if rule else result
    elif not isinstance(reading, Retry | Failure):
        status, code, title = ("not_found" if isinstance(reading, NotFound) else "refused"), reading.code, reading.title
    if rule is None:
        return catalogue().codec("state-answer").encode({"status": status, "code": code, "title": title, "data": data})
    told = {"rule_hash": rule.hash, "result": result, "status": status, "code": code, "at_ms": now_ms}
    return catalogue().codec("rule-answer").encode(told)
