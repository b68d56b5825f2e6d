"""Replicas by rate; numbers of engines by hand from the formulas in docs/autoscaling.md."""

import math
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rljob_operator.policies.autoscale import OLDEST, scale
from rljob_operator.policies.autoscale_memory import Memory
from tests.operator_.policies.rate import (
    START,
    Story,
    a_sample,
    a_spec,
    samples,
    seconds,
    specs,
    steps,
    stories,
)


def test_a_trainer_that_waits_gets_as_many_engines_as_keep_pace() -> None:
    # 4 engines, all busy, in half of the time: 4 x 1 / (1 - 0.5) = 8.
    story = Story(a_spec()).go_on(60, waiting_share=0.5)
    assert steps(story.changes) == [(4, 8)]
    # Engines are seen at 15, their window of 10 s is over at 30, and 30 s of wishes follow.
    assert story.changes[0].at - START == seconds(60)
    # 4 x 1 / (1 - 0.3) = 5.7.
    assert steps(Story(a_spec()).go_on(60, waiting_share=0.3).changes) == [(4, 6)]


def test_engines_that_are_held_back_become_fewer() -> None:
    # 4 x (1 - 0.6) = 1.6.
    story = Story(a_spec()).go_on(400, held_share=0.6)
    assert steps(story.changes) == [(4, 2)]
    assert story.changes[0].at - START == seconds(330)


def test_taking_turns_a_half_each_is_right() -> None:
    # Generation 1, training 3 with 4 engines: the work of 4 takes 4/3 engines as long as training.
    story = Story(a_spec(staleness=0)).go_on(400, waiting_share=0.25, held_share=0.75)
    assert steps(story.changes) == [(4, 2)]
    # Generation 3, training 1: 12 engines, but at most twice as many at once.
    story = Story(a_spec(staleness=0)).go_on(60, waiting_share=0.75, held_share=0.25)
    assert steps(story.changes) == [(4, 8)]
    assert Story(a_spec(staleness=0)).go_on(900, waiting_share=0.5, held_share=0.5).changes == []


def test_a_target_of_waiting_takes_fewer_engines() -> None:
    # Overlapping: 4 / (1 - 0.5) x (1 - 0.25) = 6.
    story = Story(a_spec(targetWaitShare=0.25)).go_on(60, waiting_share=0.5)
    assert steps(story.changes) == [(4, 6)]
    # In turns: 4 x (1 - 0.5) x (1 - 0.2) / (0.5 x 0.2) = 16, at most twice as many.
    spec = a_spec(staleness=0, targetWaitShare=0.2)
    story = Story(spec).go_on(60, waiting_share=0.5, held_share=0.5)
    assert steps(story.changes) == [(4, 8)]


@pytest.mark.parametrize("numbers", [{"waiting_share": 0.09}, {"held_share": 0.1}])
def test_a_tenth_more_or_less_is_left_alone(numbers: dict[str, float]) -> None:
    assert Story(a_spec()).go_on(900, **numbers).changes == []


def test_no_more_replicas_than_there_are_groups_under_way() -> None:
    spec = a_spec(replicas=2, batch=3, maxReplicas=20)
    story = Story(spec, 2)
    for _ in range(60):
        story.go_on(15, waiting_share=0.9, tokens_per_second=100.0 * story.replicas)
    assert story.replicas == 6


def test_a_step_waits_for_its_replicas_and_for_a_window_after_them() -> None:
    story = Story(a_spec()).go_on(60, waiting_share=0.5)
    assert story.replicas == 8
    story.go_on(600, waiting_share=0.9, engines=5)
    assert story.replicas == 8
    assert story.reason == "5 of 8 replicas are ready"
    story.go_on(30, waiting_share=0.9, window=seconds(60))
    assert story.reason == "the trainer's window reaches back before the last change"
    assert story.replicas == 8


def test_replicas_that_do_not_come_do_not_stop_it_from_becoming_fewer() -> None:
    story = Story(a_spec()).go_on(60, waiting_share=0.5)
    story.go_on(900, engines=5, held_share=0.5)
    assert story.replicas == 8
    story.go_on(400, engines=5, held_share=0.5)  # 5 x 0.5 = 2.5
    assert story.replicas == 3


def test_a_step_in_vain_is_taken_back_and_tried_again_only_later() -> None:
    story = Story(a_spec(maxReplicas=8)).go_on(60, waiting_share=0.5, tokens_per_second=1000.0)
    assert story.replicas == 8
    story.go_on(700, waiting_share=0.5, tokens_per_second=1020.0)
    assert steps(story.changes) == [(4, 8), (8, 4)]
    assert story.changes[1].reason == "more than 4 did not pay"
    assert story.changes[1].at - story.changes[0].at >= seconds(300)
    story.go_on(8 * 3600, waiting_share=0.5, tokens_per_second=1000.0)
    trials = [change.at for change in story.changes if change.up]
    assert steps(story.changes)[:6] == [(4, 8), (8, 4)] * 3
    assert seconds(3600) < trials[1] - trials[0] < seconds(3900)
    assert seconds(7200) < trials[2] - trials[1] < seconds(7500)  # twice as long


def test_a_step_that_helps_stays() -> None:
    story = Story(a_spec()).go_on(60, waiting_share=0.5, tokens_per_second=1000.0)
    story.go_on(2000, waiting_share=0.05, tokens_per_second=1900.0)
    assert steps(story.changes) == [(4, 8)]


def test_a_change_of_bounds_counts_at_once() -> None:
    story = Story(a_spec(), replicas=4)
    story.spec = a_spec(replicas=6, minReplicas=6)
    story.look(None)
    assert (story.replicas, story.reason) == (6, "allowed are 6 to 16")
    story.spec = a_spec(replicas=2, maxReplicas=2)
    story.look(None)
    assert story.replicas == 2
    story.floor = 9  # more than the spec allows
    story.look(None)
    assert story.replicas == 2


@settings(deadline=None)
@given(stories())
def test_never_outside_the_bounds(story: Story) -> None:
    autoscaling = story.spec.rollout.autoscaling
    most = autoscaling.max_replicas or story.spec.rollout.replicas
    least = min(max(autoscaling.min_replicas, story.floor), most)
    assert least <= story.replicas <= most


@settings(deadline=None)
@given(st.lists(st.integers(6, 50), min_size=4, max_size=8), st.integers(5, 20))
def test_never_back_within_the_window_when_the_load_goes_to_and_fro(
    lengths: list[int], step: int
) -> None:
    story = Story(a_spec())
    for number, length in enumerate(lengths):
        numbers = {"held_share": 0.6} if number % 2 else {"waiting_share": 0.6}
        story.go_on(15 * length, step, **numbers, tokens_per_second=1000.0 * story.replicas)
    for last, this in pairwise(story.changes):
        assert last.up == this.up or this.at - last.at >= seconds(300)


@settings(deadline=None)
@given(stories())
def test_never_back_within_the_window_nor_more_than_doubled(story: Story) -> None:
    # A story may have specs of several windows; the shortest one holds for all.
    settle = story.settle
    assert all(c.after <= 2 * c.before for c in story.changes if c.by_rate)
    for last, this in pairwise(story.changes):
        if last.by_rate and this.by_rate and last.up != this.up:
            assert this.at - last.at >= settle


@settings(deadline=None)
@given(stories(), st.data())
def test_never_on_missing_or_old_numbers(story: Story, data: st.DataObject) -> None:
    for _ in range(5):
        story.now += seconds(data.draw(st.sampled_from([0, 15, 1000])))
        before = story.replicas
        old = data.draw(st.sampled_from([None, OLDEST + seconds(1), timedelta(days=9)]))
        verdict = story.look(None if old is None else a_sample(story.now - old, waiting_share=1.0))
        assert (verdict.replicas, verdict.reason) == (before, "no recent report of the trainer")


@settings(deadline=None)
@given(stories())
def test_memory_stays_small_and_comes_back_from_json(story: Story) -> None:
    memory = Memory.from_json(story.memory)
    assert memory.to_json() == story.memory
    assert len(memory.wishes) <= 14


@given(specs(), st.data())
def test_it_answers_whatever_the_status_holds(spec: object, data: st.DataObject) -> None:
    times = st.sampled_from(
        ["2026-01-01T00:00:00Z", "2025-12-31T23:00:00Z", "2999-01-01T00:00:00Z", "0001-01-01", 7]
    )
    numbers = st.one_of(
        st.integers(-2, 20), st.sampled_from([0.0, 10**30, math.nan, math.inf, "x", None])
    )
    wish = st.fixed_dictionaries({"at": times, "least": numbers, "most": numbers})
    change = st.fixed_dictionaries(
        {"at": times, "before": numbers, "after": numbers},
        optional={"tokens_per_second": numbers, "possible": numbers},
    )
    limit = st.fixed_dictionaries({"replicas": numbers, "until": times, "vain": numbers})
    told = data.draw(
        st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {},
                optional={
                    "complete": st.booleans(),
                    "since": times,
                    "wishes": st.lists(wish, max_size=3),
                    "change": change,
                    "limit": limit,
                },
            ),
        )
    )
    memory = Memory.from_json(told)
    sample = data.draw(samples(START, 4))
    replicas = data.draw(st.integers(1, 30))
    verdict = scale(spec, replicas, memory, sample, START, floor=1)  # type: ignore[arg-type]
    assert verdict.replicas >= 1
