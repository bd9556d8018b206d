"""Awaiting several at once; one alone needs no task of its own, which costs more than many a thing it would wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def each(work: Sequence[Awaitable[T]]) -> list[T]:
    """What each leads to; the first error, as it comes."""
    return [await work[0]] if len(work) == 1 else await asyncio.gather(*work)


async def side_by_side(work: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """What each leads to, or raises, once all have ended."""
    if len(all_of_it := list(work)) != 1:
        return await asyncio.gather(*all_of_it, return_exceptions=True)
    try:
        return [await all_of_it[0]]
    except Exception as error:
        return [error]
