"""The policy in a closed loop: a job whose speed follows from the replicas, in exact arithmetic.

A batch needs `work` engine-seconds and `train` seconds of the trainer. Overlapping, it takes the
longer of work / n and train; in turns, their sum. This gives the numbers that the trainer would
report and, by hand, the least n that keeps its waiting at the target.
"""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.autoscaling.policy import Rate
from benchmarks.autoscaling.scenario import SCENARIOS
from benchmarks.autoscaling.simulation import Simulation
from rljob.api import RLJobSpec
from tests.operator_.policies.rate import Story, a_sample, a_spec, seconds

LOOK = 30


def play(story: Story, work: float, train: float, hours: float, most_useful: int = 10**6) -> None:
    """Replicas come at once; those beyond `most_useful` do nothing."""
    spec = story.spec
    for _ in range(int(hours * 3600 / LOOK)):
        story.now += seconds(LOOK)
        generate = work / min(story.replicas, most_useful)
        overlap = spec.schedule.max_staleness > 0
        batch = max(generate, train) if overlap else generate + train
        sample = a_sample(
            story.now,
            waiting_share=1 - train / batch,
            held_share=1 - generate / batch,
            engines=story.replicas,
            window=seconds(60),
            tokens_per_second=1000 / batch,
        )
        story.look(sample)


def needed(spec: RLJobSpec, work: float, train: float) -> float:
    target = spec.rollout.autoscaling.target_wait_share
    if spec.schedule.max_staleness:
        return work / train * (1 - (target or 0))
    target = 0.5 if target is None else target
    return work / train * (1 - target) / target


@settings(deadline=None, max_examples=60)
@given(
    staleness=st.integers(0, 1),
    target=st.none() | st.floats(0.05, 0.8),
    first=st.integers(1, 16),
    ratio=st.floats(0.2, 20),
)
def test_it_comes_to_the_least_that_keeps_waiting_at_its_target(
    staleness: int, target: float | None, first: int, ratio: float
) -> None:
    spec = a_spec(replicas=first, staleness=staleness, targetWaitShare=target)
    if target is None:
        # So large a trainer that its time is worth any replica.
        spec = spec.model_copy(
            update={"trainer": spec.trainer.model_copy(update={"gpus_per_replica": 512})}
        )
    story = Story(spec, first)
    play(story, work=100 * ratio, train=100, hours=3)
    least = needed(spec, ratio, 1)
    # Where the need is a whole number, rounding may make it one more.
    right = {min(max(math.ceil(least + rounding), 1), 16) for rounding in (-1e-6, 1e-6)}
    within_the_band = abs(least - story.replicas) <= 0.1 * story.replicas + 1e-9
    assert story.replicas in right or within_the_band
    settled = len(story.changes)
    play(story, work=100 * ratio, train=100, hours=1)
    assert len(story.changes) == settled
    assert len(story.changes) <= 8


def test_it_follows_the_load_up_and_down() -> None:
    story = Story(a_spec())
    for work, right in ((400, 4), (900, 9), (200, 2), (1600, 16), (100, 1)):
        play(story, work=work, train=100, hours=1)
        assert story.replicas == right


def test_replicas_that_do_nothing_go_again() -> None:
    story = Story(a_spec())
    play(story, work=1600, train=100, hours=0.9, most_useful=4)
    assert [change.after for change in story.changes] == [8, 4]


def test_in_turns_a_replica_that_costs_more_than_it_saves_goes_again() -> None:
    # Beside a trainer of one GPU, a batch of 100 + 100 s on 8 + 1 GPUs costs more than one of
    # 100 + 200 s on 4 + 1.
    story = Story(a_spec(staleness=0))
    play(story, work=800, train=100, hours=0.9)
    assert [change.after for change in story.changes] == [8, 4]
    story = Story(a_spec(staleness=0, targetWaitShare=0.5))  # the user wants it so
    play(story, work=800, train=100, hours=0.9)
    assert [change.after for change in story.changes] == [8]


def test_played_event_by_event_it_never_turns_back_within_the_window() -> None:
    for scenario in SCENARIOS:
        if scenario.name in ("step", "noise", "no gain"):
            outcome = Simulation(scenario, Rate(scenario.staleness)).run()
            assert outcome.changes
            assert outcome.reversals == 0
