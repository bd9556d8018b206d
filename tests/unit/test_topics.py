"""Topic names and their settings (design, "Topics")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core import topics


def test_names_say_who_may_write() -> None:
    """SIREN or provider in the middle, a version at the end."""
    assert topics.requests("211300553") == "requests.211300553.v1"
    assert topics.outcomes("211300553") == "outcomes.211300553.v1"
    assert topics.tasks("cnaf") == "tasks.cnaf.v1"
    assert topics.answers("dgfip-svair") == "answers.dgfip-svair.v1"
    assert topics.retries("cnaf") == "retries.cnaf.v1"
    assert topics.watches("cnaf") == "watches.cnaf.v1"
    assert topics.middle("requests.211300553.v1") == "211300553"


@pytest.mark.parametrize(
    "siren", ["", "21130055", "2113005530", "21130055a", "211300553\n", "٢١١٣٠٠٥٥٣", "../requests", "*"]
)
def test_what_is_no_siren_names_no_topic(siren: str) -> None:
    """Nine ASCII digits, nothing before, nothing after."""
    for name in (topics.requests, topics.outcomes):
        with pytest.raises(ValueError, match="not a SIREN"):
            name(siren)


@pytest.mark.parametrize("provider", ["", "c", "Cnaf", "cnaf.x", "cnaf\n", "1cnaf", "*", "c" * 32, "çnaf"])
def test_what_is_no_provider_names_no_topic(provider: str) -> None:
    """A short lower-case word."""
    for name in (topics.tasks, topics.answers, topics.retries):
        with pytest.raises(ValueError, match="not a SIREN"):
            name(provider)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        (topics.ALL_REQUESTS, "requests.211300553.v1", True),
        (topics.ALL_REQUESTS, "requests..v1", False),
        (topics.ALL_REQUESTS, "requests.211300553.v2", False),
        (topics.ALL_REQUESTS, "requests.211300553.x.v1", False),
        (topics.ALL_REQUESTS, "requests.v1", False),
        (topics.ALL_REQUESTS, "outcomes.211300553.v1", False),
        (topics.ALL_REQUESTS, "xrequests.211300553.v1", False),
        (topics.ALL_ANSWERS, "answers.cnaf.v1", True),
        (topics.VERDICTS, "verdicts.v1", True),
        (topics.VERDICTS, "verdicts.v10", False),
    ],
)
def test_a_star_stands_for_one_word(pattern: str, topic: str, expected: bool) -> None:
    """Exactly one SIREN or provider, never a dot, never nothing."""
    assert topics.matches(pattern, topic) is expected


@given(st.text(max_size=30))
def test_any_text_matches_or_not(topic: str) -> None:
    """Whatever matches a pattern has a middle."""
    if topics.matches(topics.ALL_OUTCOMES, topic):
        assert topic == f"outcomes.{topics.middle(topic)}.v1"


@pytest.mark.parametrize("cluster", [False, True])
def test_a_bus_has_all_its_topics(cluster: bool) -> None:
    """Each name once; the broker's clock stamps; three replicas of which two answer, on a cluster."""
    specs = topics.specs(["211300553"], ["cnaf"], partitions=3, cluster=cluster)
    names = [spec.name for spec in specs]
    assert sorted(names) == sorted({*names}) == sorted([
        "requests.211300553.v1", "outcomes.211300553.v1", "tasks.cnaf.v1", "answers.cnaf.v1", "retries.cnaf.v1", "watches.cnaf.v1", "verdicts.v1",
        "consent.events.v1", "journal.v1", "deadletter.v1",
    ])  # fmt: skip
    for spec in specs:
        assert spec.config["message.timestamp.type"] == "LogAppendTime"
        assert (spec.replication, spec.config["min.insync.replicas"]) == ((3, "2") if cluster else (1, "1"))
    days = {spec.name: int(spec.config["retention.ms"]) // 86_400_000 for spec in specs}
    assert (days["requests.211300553.v1"], days["tasks.cnaf.v1"], days["journal.v1"]) == (7, 7, 7)
