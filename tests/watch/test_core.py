"""The pure part of a watch: periods, numbers, ids, fingerprints, and its words for the person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.facts import RequestKey, Submission
from consent.core.wording import watched
from exchange.core.watch import ANSWER_MOST_MS, LEAST_MS, MOST_MS, Watch, allowed, fingerprint, look_id, number_of

FIRST = Submission(RequestKey("211300553", b"a" * 16, b"r" * 16), b"d" * 32)
periods = st.integers(LEAST_MS, MOST_MS)
times = st.integers(0, 1 << 45)
numbers = st.integers(1, 1 << 40)


def watch(every_ms: int = LEAST_MS, until_ms: int = 0) -> Watch:
    return Watch(FIRST, b"h" * 32, 1_000_000, every_ms, until_ms)


@given(asked=st.integers(), until=st.integers(), agreed=st.integers(min_value=0))
def test_no_more_often_than_agreed_nor_than_the_bus_takes(asked: int, until: int, agreed: int) -> None:
    """Whatever is allowed is no watch at all, or one within both bounds with an end that is a time."""
    if allowed(asked, until, agreed):
        assert asked == until == 0 or (0 < agreed <= asked and LEAST_MS <= asked <= MOST_MS and until >= 0)


@given(every=periods, number=numbers, now=times)
def test_a_look_made_now_is_the_one_whose_period_it_is(every: int, number: int, now: int) -> None:
    """Never an earlier one than what waits; never one whose period is over; and not one that is still to come, unless it is what waits."""
    found, current = watch(every), watch(every).current(number, now)
    assert current >= number and now < found.due_ms(current + 1)
    assert current == number or found.due_ms(current) <= now


@given(every=periods, number=numbers, late=st.integers(0, MOST_MS))
def test_an_answer_never_outlives_its_period(every: int, number: int, late: int) -> None:
    """Its deadline is within the period and two days, and leaves half of every period when nothing is waited for."""
    found = watch(every)
    now = found.due_ms(number) + late % every
    assert (
        now < found.answer_by_ms(number, now) <= min(found.due_ms(number + 1), now + ANSWER_MOST_MS, now + every // 2)
    )


@given(number=numbers, first=st.binary(min_size=32, max_size=32))
def test_an_id_tells_its_number_to_who_knows_the_first(number: int, first: bytes) -> None:
    """UUIDv8 by its bits; its number by the first digest; nothing by another."""
    found = look_id(first, number)
    assert (found[6] >> 4, found[8] >> 6) == (8, 2)
    assert number_of(found, first) == number
    assert number_of(found, bytes(31) + b"x") == (number if first == bytes(31) + b"x" else 0)


@given(st.binary(min_size=16, max_size=16))
def test_any_other_id_is_no_look(request: bytes) -> None:
    """A UUIDv7 or any bytes at all."""
    assert number_of(request, FIRST.digest) == 0


def test_each_look_is_another_request() -> None:
    """Look 0 is the request; the others have their own id and digest, of the same operator and authorisation."""
    found = [watch().submission(number) for number in range(5)]
    assert found[0] == FIRST
    assert len({one.digest for one in found}) == len({one.key.request for one in found}) == 5
    assert {(one.key.operator, one.key.authorisation) for one in found} == {
        (FIRST.key.operator, FIRST.key.authorisation)
    }


@given(plain=st.binary(), other=st.binary(), sent=st.binary(min_size=32, max_size=32))
def test_a_fingerprint_is_of_an_answer_as_it_was_sent(plain: bytes, other: bytes, sent: bytes) -> None:
    """Equal for the same answer under the same digest and key, and only then."""
    known = fingerprint(b"k", sent, plain)
    assert known == fingerprint(b"k", sent, plain)
    assert (known == fingerprint(b"k", sent, other)) == (plain == other)
    assert known != fingerprint(b"l", sent, plain) and known != fingerprint(b"k", sent + b"x", plain)


def test_it_is_over_at_the_end_that_was_asked() -> None:
    """A look due at the end or after it is not made; without an end none is over."""
    found = watch(until_ms=1_000_000 + 2 * LEAST_MS)
    assert [found.over(number) for number in (1, 2, 3)] == [False, True, True]
    assert not watch().over(1 << 40)


@pytest.mark.parametrize(
    ("every_ms", "fr", "en"),
    [
        (3_600_000, "une fois par heure", "once an hour"),
        (7_200_000, "une fois toutes les 2 heures", "once every 2 hours"),
        (86_400_000, "une fois par jour", "once a day"),
        (30 * 86_400_000 + 1, "une fois tous les 30 jours", "once every 30 days"),
    ],
)
def test_the_person_reads_how_often(every_ms: int, fr: str, en: str) -> None:
    """In both languages, never rarer than it is."""
    words = watched(every_ms)
    assert (
        words.fr.endswith(fr) and words.en.endswith(en) and words.fr.startswith("et chaque fois que la réponse change")
    )
