"""What autoscaling remembers is bounded, and unchanged by JSON."""

import json
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rljob_operator.policies.autoscale_memory import Change, Limit, Memory, Wish
from tests.operator_.policies.rate import START, seconds

WINDOW = seconds(300)
TIMES = st.integers(0, 10**6).map(lambda number: START + seconds(number))
NUMBERS = st.integers(1, 1000)
AMOUNTS = st.floats(0, 1e9, exclude_min=True)
MEMORIES = st.builds(
    Memory,
    complete=st.booleans(),
    since=st.none() | TIMES,
    wishes=st.lists(st.builds(Wish, TIMES, NUMBERS, NUMBERS), max_size=12).map(tuple),
    change=st.none() | st.builds(Change, TIMES, NUMBERS, NUMBERS, st.none() | AMOUNTS, AMOUNTS),
    limit=st.none() | st.builds(Limit, NUMBERS, TIMES, st.integers(0, 5)),
)


@given(MEMORIES)
def test_it_comes_back_from_the_status(memory: Memory) -> None:
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


def test_what_cannot_be_read_is_forgotten() -> None:
    for told in (None, [], {"since": "soon"}, {"change": {"at": "2026-01-01T00:00:00Z"}}):
        assert Memory.from_json(told) == Memory()
    naive = {"since": "2026-01-01T00:00:00"}  # a time without a zone cannot be compared
    assert Memory.from_json(naive) == Memory()


@given(st.lists(st.tuples(st.integers(0, 60), NUMBERS), min_size=1, max_size=80))
def test_least_and_most_are_those_of_the_window_as_far_as_parts_tell(
    looks: list[tuple[int, int]],
) -> None:
    memory, now = Memory(), START
    told: list[tuple[datetime, int]] = []
    for seconds_later, number in looks:
        now += timedelta(seconds=seconds_later)
        memory = memory.wish(number, WINDOW, now)
        told.append((now, number))
    assert len(memory.wishes) <= 12
    within = [number for at, number in told if at >= now - WINDOW]
    least, most = memory.least(WINDOW, now, -1), memory.most(WINDOW, now, -1)
    if told[0][0] > now - WINDOW:
        assert (least, most) == (-1, -1)
        return
    # A part of 30 s is kept whole, and so is the one before it that holds as the window begins.
    wider = [number for at, number in told if at >= now - WINDOW - seconds(90)]
    assert min(wider) <= least <= min(within)
    assert max(within) <= most <= max(wider)
    assert len(json.dumps(memory.to_json())) < 1500


def test_silence_ends_what_is_known() -> None:
    memory = Memory().wish(7, WINDOW, START).wish(9, WINDOW, START + seconds(91))
    assert memory.wishes == (Wish(START + seconds(91), 9, 9),)


def test_a_clock_that_was_ahead_does_not_hold_it_up() -> None:
    memory = Memory().see_engines(True, START + seconds(3600))
    assert memory.see_engines(True, START).since == START
    assert memory.see_engines(True, START + seconds(3700)).since == START + seconds(3600)
