"""Jobs, numbers and scenarios for the tests of autoscaling by rate."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from rljob.api import RLJobSpec
from rljob_operator.policies.autoscale import Verdict, scale
from rljob_operator.policies.autoscale_memory import Memory
from rljob_operator.policies.autoscale_sample import Sample

START = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def a_spec(
    *, replicas: int = 4, staleness: int = 1, batch: int = 32, **autoscaling: Any
) -> RLJobSpec:
    """A job in Rate mode, from 1 to 16 replicas."""
    return RLJobSpec.model_validate(
        {
            "model": {"checkpoint": "/models/tiny"},
            "data": {"prompts": ["/data/train.jsonl"]},
            "schedule": {
                "rollouts": 10,
                "rolloutBatchSize": batch,
                "globalBatchSize": batch,
                "maxStaleness": staleness,
            },
            "algorithm": {"samplesPerPrompt": 1, "filter": None},
            "rollout": {
                "replicas": replicas,
                "autoscaling": {"mode": "Rate", "maxReplicas": 16, **autoscaling},
            },
        }
    )


def a_sample(at: datetime, **changes: Any) -> Sample:
    """Of a trainer and four engines that keep pace with each other, over the last 10 seconds."""
    values: dict[str, Any] = {
        "at": at,
        "waiting_share": 0.0,
        "held_share": 0.0,
        "engines": 4,
        "window": seconds(10),
        "tokens_per_second": 1000.0,
    }
    return Sample(**(values | changes))


class Change(NamedTuple):
    """A change, with its reason."""

    at: datetime
    before: int
    after: int
    reason: str

    @property
    def up(self) -> bool:
        return self.after > self.before

    @property
    def by_rate(self) -> bool:
        """Not because others are allowed."""
        return not self.reason.startswith("allowed are")


class Story:
    """The policy over time: what it says is what stands, and it remembers as the status does."""

    def __init__(self, spec: RLJobSpec, replicas: int = 4, floor: int = 1) -> None:
        self.spec = spec
        self.replicas = replicas
        self.floor = floor
        self.now = START
        self.memory: Any = {}
        self.reason = ""
        self.changes: list[Change] = []
        self.settle = seconds(spec.rollout.autoscaling.scale_down_stabilization_seconds)

    def look(self, sample: Sample | None) -> Verdict:
        verdict = scale(
            self.spec,
            self.replicas,
            Memory.from_json(self.memory),
            sample,
            self.now,
            floor=self.floor,
        )
        if verdict.replicas != self.replicas:
            self.changes.append(Change(self.now, self.replicas, verdict.replicas, verdict.reason))
        self.replicas, self.reason = verdict.replicas, verdict.reason
        self.memory = verdict.memory.to_json()
        return verdict

    def go_on(self, length: float, step: float = 15, **numbers: Any) -> "Story":
        """The same numbers for so many seconds; all replicas hold the weights unless told."""
        end = self.now + seconds(length)
        while self.now < end:
            self.now += seconds(step)
            self.look(a_sample(self.now, **({"engines": self.replicas} | numbers)))
        return self


def steps(changes: Iterable[Change]) -> list[tuple[int, int]]:
    return [(change.before, change.after) for change in changes]


SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5]))


@st.composite
def specs(draw: st.DrawFn) -> RLJobSpec:
    least = draw(st.integers(1, 6))
    most = draw(st.integers(least, 20))
    return a_spec(
        replicas=draw(st.integers(least, most)),
        staleness=draw(st.integers(0, 2)),
        batch=draw(st.sampled_from([1, 4, 32])),
        minReplicas=least,
        maxReplicas=most,
        targetWaitShare=draw(st.one_of(st.none(), st.floats(0, 0.9))),
        scaleUpStabilizationSeconds=draw(st.sampled_from([0, 30, 400])),
        scaleDownStabilizationSeconds=draw(st.sampled_from([0, 60, 300])),
    )


@st.composite
def samples(draw: st.DrawFn, now: datetime, replicas: int) -> Sample | None:
    """Any that the trainer can tell, recent or not, of any number of engines."""
    if draw(st.integers(0, 9)) == 0:
        return None
    return Sample(
        at=now - seconds(draw(st.sampled_from([0, 0, 0, 5, 59, 61, 4000, -30]))),
        waiting_share=draw(SHARES),
        held_share=draw(SHARES),
        engines=draw(st.one_of(st.just(replicas), st.integers(1, 24))),
        window=seconds(draw(st.sampled_from([0, 20, 60, 500]))),
        tokens_per_second=draw(st.floats(0, 1e6)),
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any sequence of looks: stretches of the same numbers, and stretches of any."""
    spec = draw(specs())
    story = Story(spec, spec.rollout.replicas, floor=draw(st.integers(1, 8)))
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 5)) == 0:
            story.spec = draw(specs())
            window = story.spec.rollout.autoscaling.scale_down_stabilization_seconds
            story.settle = min(story.settle, seconds(window))
        if draw(st.booleans()):
            numbers = draw(st.sampled_from([{"waiting_share": 0.7}, {"held_share": 0.7}]))
            story.go_on(draw(st.sampled_from([15, 100, 400])), **numbers)
            continue
        for _ in range(draw(st.integers(1, 8))):
            story.now += seconds(draw(st.sampled_from([0, 1, 15, 100, 1000])))
            story.look(draw(samples(story.now, story.replicas)))
    return story
