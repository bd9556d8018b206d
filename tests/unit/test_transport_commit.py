"""What may be committed, without a broker."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exchange.core.commit_log import CommitLog
from exchange.faust_runner import matching
from exchange.stall import StallWatch, lagging
from exchange.transport import Progress

PLACE = ("requests.123456789.v1", 0)
OTHER = ("requests.123456789.v1", 1)


def test_position_waits_for_the_oldest_chunk() -> None:
    """A chunk handed but not settled holds back every later one, and nothing of another partition."""
    log = CommitLog()
    first, second = log.hand(PLACE, 0, 10), log.hand(PLACE, 10, 20)
    other = log.hand(OTHER, 5, 6)
    log.settle(second)
    log.settle(other)
    assert (log.position(PLACE), log.position(OTHER)) == (None, 6)
    log.settle(first)
    assert (log.position(PLACE), log.in_flight) == (20, 0)


def test_gaps_hold_nothing_back() -> None:
    """Transaction markers and compacted offsets between and before chunks are passed by the commit."""
    log = CommitLog()
    for first, after in ((3, 7), (8, 9), (40, 41)):
        log.settle(log.hand(PLACE, first, after))
    assert log.position(PLACE) == 41


def test_held_caps_the_commit() -> None:
    """The commit never passes the lowest offset the agent still holds."""
    log = CommitLog()
    log.settle(log.hand(PLACE, 0, 10))
    assert [log.position(PLACE, held) for held in (None, 4, 12)] == [10, 4, 10]


def test_a_ticket_of_an_earlier_assignment_settles_nothing() -> None:
    """A handler that outlives a rebalance does not move the commit of the new assignment."""
    log = CommitLog()
    late = log.hand(PLACE, 0, 10)
    log.clear()
    log.hand(PLACE, 0, 10)
    log.settle(late)
    assert (log.position(PLACE), log.live(late)) == (None, False)


def test_a_dropped_chunk_is_healed_by_reading_it_again() -> None:
    """Chunks that were lost on the way block the commit until they are read and settled again."""
    log = CommitLog()
    log.settle(log.hand(PLACE, 0, 10))
    log.hand(PLACE, 10, 20)
    lost = log.hand(PLACE, 20, 30)
    again = log.hand(PLACE, 10, 25)
    assert not log.live(lost)
    log.settle(again)
    assert (log.position(PLACE), log.in_flight) == (25, 0)


def test_reading_again_inside_a_running_chunk_keeps_its_claim() -> None:
    """Rewound to the middle of a chunk, the commit still waits for that chunk's first half."""
    log = CommitLog()
    running = log.hand(PLACE, 0, 10)
    log.settle(log.hand(PLACE, 5, 15))
    assert log.position(PLACE) is None
    log.settle(running)
    assert log.position(PLACE) == 15


def test_the_position_never_goes_back() -> None:
    """Reading settled records again does not lower the commit."""
    log = CommitLog()
    log.settle(log.hand(PLACE, 0, 10))
    log.rewind(PLACE, 5)
    log.settle(log.hand(PLACE, 5, 8))
    assert log.position(PLACE) == 10


class Worker(RuleBasedStateMachine):
    """A partition with gaps, read in chunks by workers that drop, rewind, hold and die. `handled` is what must be in the commit."""

    @initialize(gaps=st.lists(st.booleans(), min_size=1, max_size=60))
    def topic(self, gaps: list[bool]) -> None:
        self.offsets = [offset for offset, gap in enumerate(gaps) if not gap]
        self.log, self.cursor, self.committed = CommitLog(), 0, 0
        self.handled: set[int] = set()
        self.here: set[int] = set()  # of them, in this assignment
        self.chunks: dict[int, list[int]] = {}

    @rule(size=st.integers(1, 7))
    def fetch(self, size: int) -> None:
        if chunk := [offset for offset in self.offsets if offset >= self.cursor][:size]:
            self.cursor = chunk[-1] + 1
            self.chunks[self.log.hand(PLACE, chunk[0], self.cursor)] = chunk

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.chunks:
            ticket = data.draw(st.sampled_from(sorted(self.chunks)))
            if self.log.live(ticket):
                self._handle(ticket)
            self.log.settle(ticket)

    def _handle(self, ticket: int) -> None:
        self.handled.update(self.chunks[ticket])
        self.here.update(self.chunks[ticket])

    @rule(back=st.integers(0, 60), told=st.booleans())
    def rewind(self, back: int, told: bool) -> None:
        self.cursor = max(self.committed, self.cursor - back)
        if told:
            self.log.rewind(PLACE, self.cursor)

    @rule()
    def rebalance(self) -> None:
        self.log.clear()
        self.cursor = self.committed
        self.here.clear()

    @rule(held=st.none() | st.integers(0, 60))
    def commit(self, held: int | None) -> None:
        position = self.log.position(PLACE, held)
        assert held is None or position is None or position <= held
        self.committed = max(self.committed, position or 0)

    @rule()
    def finish(self) -> None:
        """Once all that is handed out is settled, the commit reaches what was last handed out."""
        for ticket in [t for t in self.chunks if self.log.live(t)]:
            self._handle(ticket)
            self.log.settle(ticket)
        assert self.log.in_flight == 0
        if self.log.places():
            assert (self.log.position(PLACE) or 0) >= min(self.cursor, max(self.here, default=-1) + 1)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert {offset for offset in self.offsets if offset < self.committed} <= self.handled


class TestWorker(Worker.TestCase):  # type: ignore[misc,name-defined]
    """Whatever happens on the way, every record below the commit was handled while its partition was ours."""


def test_matching() -> None:
    """One `*` stands for one name, never for a dot; plain names are read whether they exist yet or not."""
    names = ["requests.123456789.v1", "requests.1.2.v1", "requestsX123456789.v1", "requests..v1", "tasks.cnaf.v1"]
    assert matching(("requests.*.v1", "verdicts.v1"), names) == {"requests.123456789.v1", "verdicts.v1"}


def test_stall_is_a_mark_that_does_not_move() -> None:
    """Only what lags all along with the same mark counts, since the first time it was seen so."""
    watch = StallWatch()
    assert watch.longest(0, {"a": 1, "b": 1}) == 0
    assert watch.longest(10, {"a": 1, "b": 2}) == 10
    assert watch.longest(20, {"b": 2}) == 10
    assert watch.longest(30, {"a": 1, "b": 3}) == 0


def test_lagging() -> None:
    """A partition lags while records wait to be fetched or a settled offset to be committed; held records are no stall."""
    still, behind, uncommitted = ("t", 0), ("t", 1), ("t", 2)
    progress = {still: Progress(9, 4, 4), behind: Progress(8, 8, 8), uncommitted: Progress(9, 4, 9)}
    marks = lagging(progress, dict.fromkeys(progress, 9), oldest=0, retries=0)
    assert marks.keys() == {behind, uncommitted}
    assert lagging({}, {}, oldest=7, retries=1) == {"chunk": (7, 1)}
