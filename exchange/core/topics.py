"""Topic names: who may write there is part of the name (design, "Topics")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

VERDICTS = "verdicts.v1"
CONSENT_EVENTS = "consent.events.v1"
JOURNAL = "journal.v1"
DEAD_LETTERS = "deadletter.v1"
ALL_REQUESTS = "requests.*.v1"
ALL_ANSWERS = "answers.*.v1"
ALL_OUTCOMES = "outcomes.*.v1"
ALL_RETRIES = "retries.*.v1"

_SIREN = re.compile(r"\d{9}", re.ASCII)
_PROVIDER = re.compile(r"[a-z][a-z0-9-]{1,30}")
_DAY_MS = 86_400_000
RETENTION_MS = 7 * _DAY_MS
"""How long requests, tasks, answers and outcomes are kept: nothing is told again after that."""


class TopicSpec(NamedTuple):
    """A topic to create. `config` holds Kafka's own names."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = {}


@lru_cache(maxsize=1024)
def requests(operator: str) -> str:
    return f"requests.{_checked(_SIREN, operator)}.v1"


def outcomes(operator: str) -> str:
    return f"outcomes.{_checked(_SIREN, operator)}.v1"


def tasks(provider: str) -> str:
    return f"tasks.{_checked(_PROVIDER, provider)}.v1"


def answers(provider: str) -> str:
    return f"answers.{_checked(_PROVIDER, provider)}.v1"


def retries(provider: str) -> str:
    """Tasks that wait for their time; written by the provider's connector."""
    return f"retries.{_checked(_PROVIDER, provider)}.v1"


def watches(provider: str) -> str:
    """Watches between two looks; written and read by the provider's connector."""
    return f"watches.{_checked(_PROVIDER, provider)}.v1"


def middle(topic: str) -> str:
    """The SIREN or provider in a topic's name."""
    return topic.split(".")[1]


def operator_of(topic: str) -> str:
    """The SIREN in the name of a request or outcome topic; empty if it is none: such a topic is nobody's."""
    found = middle(topic)
    return found if _SIREN.match(found) else ""


def matches(pattern: str, topic: str) -> bool:
    """Whether `topic` is `pattern`, where `*` stands for one SIREN or provider."""
    head, star, tail = pattern.partition("*")
    if not star:
        return topic == pattern
    inside = topic[len(head) : len(topic) - len(tail)]
    return topic.startswith(head) and topic.endswith(tail) and "." not in inside and inside != ""


def specs(operators: list[str], providers: list[str], *, partitions: int, cluster: bool) -> list[TopicSpec]:
    """All topics of a bus: replication 3, min.insync.replicas 2 on a cluster, 1/1 on the embedded broker.

    Requests and tasks keep 7 days (a stolen provider key opens what is retained); so does the journal, whose 12 months are in its store.
    """
    replication = 3 if cluster else 1
    base = {"min.insync.replicas": "2" if cluster else "1", "message.timestamp.type": "LogAppendTime"}

    def spec(name: str, days: int, count: int = partitions) -> TopicSpec:
        return TopicSpec(name, count, replication, base | {"retention.ms": str(days * _DAY_MS)})

    names = [f(o) for o in operators for f in (requests, outcomes)] + [
        f(p) for p in providers for f in (tasks, answers, retries, watches)
    ]
    return [
        *(spec(name, 7) for name in names),
        spec(VERDICTS, 7),
        spec(CONSENT_EVENTS, 7, 1),
        spec(JOURNAL, 7),
        spec(DEAD_LETTERS, 30, 1),
    ]


def _checked(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError("not a SIREN or provider code")
    return value
