"""The table under the gate's memory: what is put in is found, until it is forgotten or there is no room."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from exchange.core.table import FILL, ROW, SHARDS, Table

RANDOM = np.random.default_rng(6)


def rows(tags: NDArray[np.uint32]) -> NDArray[np.void]:
    """Of these tags, each with its tag as certificate."""
    made = np.zeros(len(tags), ROW)
    made["tag"] = made["certificate"] = tags
    made["until_s"], made["terms"] = 1, 1
    return made


def some(count: int) -> NDArray[np.uint32]:
    """So many different tags."""
    found: NDArray[np.uint32] = np.unique(RANDOM.integers(0, 1 << 32, 2 * count, np.uint32))
    return RANDOM.permutation(found)[:count]


@pytest.mark.parametrize("at_once", [1, 7, 1_000, 60_000])
def test_what_is_added_is_found_however_it_has_grown(at_once: int) -> None:
    """In any portions, from the smallest table to a full one; what was not added is not there."""
    count = 300 if at_once == 1 else 60_000
    table, tags = Table(70_000), some(count)
    for begin in range(0, count, at_once):
        table.add(rows(tags[begin : begin + at_once]))
    slots, found = table.find(tags)
    assert (found["certificate"] == tags).all() and len(table) == count and len(set(slots.tolist())) == count
    others = np.setdiff1d(some(1_000), tags)
    assert (table.find(others)[1]["terms"] == 0).all()


def test_tags_side_by_side_are_told_apart() -> None:
    """All on one place, and those beside it: at the end of a shard too, where the next place is its first."""
    table = Table(10_000)
    tags = np.concatenate([np.arange(at, at + 12, dtype=np.uint32) for at in (0, (1 << 28) - 12, (1 << 32) - 12)])
    table.add(rows(tags))
    assert (table.find(tags)[1]["tag"] == tags).all() and len(table) == len(tags)


@pytest.mark.parametrize("size_max", [1, 100, 200, 3_000])
def test_the_smallest_tables_hold_what_they_should(size_max: int) -> None:
    """A shard no larger than what is looked at in one go, and those a little larger: all around the end of each."""
    table = Table(size_max)
    tags = np.concatenate(
        [((np.arange(1, 4, dtype=np.uint32) * (1 << 28) // 3) - 1) + (n << 28) for n in range(SHARDS)]
    )
    tags = tags.astype(np.uint32)[: max(1, int(size_max * 0.4))]
    for tag in tags:
        table.add(rows(np.array([tag])))
    assert (table.find(tags)[1]["tag"] == tags).all() and len(table) == len(tags)
    assert (table.find(np.setdiff1d(some(1_000), tags))[1]["terms"] == 0).all()


def test_what_is_forgotten_makes_room() -> None:
    """A shard that is full is laid out anew without it, and what was not forgotten stays."""
    table, tags = Table(16_000), some(12_000)
    table.add(rows(tags))
    table.forget(table.find(tags[:6_000])[0])
    more = np.setdiff1d(some(6_000), tags)
    table.add(rows(more))
    for kept in (tags[6_000:], more):
        assert (table.find(kept)[1]["until_s"] == 1).all()
    assert len(table) <= 16_000 + SHARDS


def test_a_shard_without_room_begins_again_alone() -> None:
    """What is new is there, and what lies in other shards."""
    table, tags = Table(SHARDS * 100), some(SHARDS * 60)
    first = tags >> 28 == 0
    table.add(rows(tags))
    more = np.setdiff1d(np.unique(RANDOM.integers(0, 1 << 28, 60, np.uint32)), tags)
    table.add(rows(more))
    assert (table.find(more)[1]["terms"] == 1).all() and (table.find(tags[~first])[1]["terms"] == 1).all()
    assert (table.find(tags[first])[1]["terms"] == 0).all()


def test_more_than_a_shard_holds_is_left_out() -> None:
    """No table is without a free place, on which a search would never end."""
    table = Table(SHARDS * 10)
    table.add(rows(np.arange(1_000, dtype=np.uint32)))
    assert len(table) == 0
    for tag in some(3_000):
        table.add(rows(np.array([tag])))
    assert 0 < len(table) <= FILL * SHARDS * np.ceil(10 / FILL)


def test_a_change_lies_where_the_row_was() -> None:
    """Of the same tag, with other contents."""
    table, tags = Table(1_000), some(100)
    table.add(rows(tags))
    changed = rows(tags[:10])
    changed["terms"] = 2
    table.change(table.find(tags[:10])[0], changed)
    assert table.find(tags)[1]["terms"].tolist() == [2] * 10 + [1] * 90 and len(table) == 100
