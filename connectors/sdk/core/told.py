"""What was said of the tasks last answered: a task met again is told the same bytes, and the State is not called."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

SIZE_MAX_BYTES = 32 << 20


class _Sized(Protocol):
    @property
    def size_bytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class _Kept(NamedTuple, Generic[T]):
    until_ms: int
    said: T


@dataclass
class Told(Generic[T]):
    """What was said, by task, each until its time; the oldest leave when all together exceed `size_max_bytes`."""

    size_max_bytes: int = SIZE_MAX_BYTES
    _kept: OrderedDict[Hashable, _Kept[T]] = field(default_factory=OrderedDict)
    _size_bytes: int = 0

    def keep(self, task: Hashable, said: T, until_ms: int) -> None:
        self._drop(task)
        self._kept[task] = _Kept(until_ms, said)
        self._size_bytes += said.size_bytes
        while self._size_bytes > self.size_max_bytes:
            self._drop(next(iter(self._kept)))

    def get(self, task: Hashable, now_ms: int) -> T | None:
        """What was said, while it still holds."""
        kept = self._kept.get(task)
        return kept.said if kept is not None and now_ms < kept.until_ms else None

    def _drop(self, task: Hashable) -> None:
        if (kept := self._kept.pop(task, None)) is not None:
            self._size_bytes -= kept.said.size_bytes
