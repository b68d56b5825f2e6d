"""The jobs of the benchmark: response lengths, times, failures."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

BATCH = 32  # groups
SAMPLES = 8  # per group
TRAINER_GPUS = 8
LEAST, FIRST, MOST = 1, 4, 16  # replicas
MEDIAN = 2000.0  # tokens of a response, multiplied by the scenario's scale
SPEED = 60.0  # tokens per second of a response that is alone on its engine
FULL = 4.0  # groups at which an engine reaches half of its maximum tokens per second
CACHE = 370_000  # tokens in the key-value cache of an engine: a 4-billion model on 80 GiB
GRACE = 5.0  # s from SIGTERM to the end of a pod that gives its groups back


@dataclass(frozen=True)
class Scenario:
    """A job; `scale` depends on the number of the batch.

    Args:
        name: for the table.
        text: what happens.
        scale: factor of response lengths, by batch.
        spread: sigma of the logarithm of response lengths.
        longest: the most tokens of a response.
        staleness: maxStaleness of the job.
        fixed: seconds of training per batch that do not depend on tokens.
        tokens_per_second: speed of training.
        noise: sigma of the logarithm of each batch's lengths and of its training time.
        start: seconds from a replica's creation until its engine is ready.
        dead: start and end, in seconds, of a time without a trainer.
        silent: start and end, in seconds, of a time in which no metric can be read.
        loss: share of all other reads of metrics that fail.
        full: like FULL.
        batches: the number of batches.
        seed: of all random numbers.
    """

    name: str
    text: str
    scale: Callable[[int], float] = lambda batch: 1.0
    spread: float = 0.3
    longest: float = 16384.0
    staleness: int = 1
    fixed: float = 60.0
    tokens_per_second: float = 14_000.0
    noise: float = 0.05
    start: float = 180.0
    dead: tuple[float, float] = (math.inf, math.inf)
    silent: tuple[float, float] = (math.inf, math.inf)
    loss: float = 0.0
    full: float = FULL
    batches: int = 120
    seed: int = 1

    def lengths(self, group: int) -> tuple[float, ...]:
        """Tokens of a group's responses; the same for every policy."""
        return _lengths(self, group)

    def training(self, batch: int, tokens: float) -> float:
        """Seconds that the trainer needs for a batch."""
        return (self.fixed + tokens / self.tokens_per_second) * self.factor("train", batch)

    def starting(self, replica: int) -> float:
        """Seconds until a replica's engine is ready."""
        return self.start * self.draws("replica", replica).uniform(0.8, 1.2)

    def is_silent(self, now: float) -> bool:
        """Whether metrics can't be read now."""
        if self.silent[0] <= now < self.silent[1]:
            return True
        return self.loss > 0 and self.draws("read", now).random() < self.loss

    def factor(self, what: str, batch: int) -> float:
        """The factor by which a batch differs from the others."""
        return self.draws(what, batch).lognormvariate(0.0, self.noise)

    def draws(self, what: str, number: float) -> random.Random:
        """Random numbers for one purpose, independent of what was drawn before."""
        return random.Random(f"{self.seed} {self.name} {what} {number}")


@cache
def _lengths(scenario: Scenario, group: int) -> tuple[float, ...]:
    batch = group // BATCH
    log = math.log(MEDIAN * scenario.scale(batch) * scenario.factor("length", batch))
    draws = scenario.draws("group", group)
    return tuple(
        min(draws.lognormvariate(log, scenario.spread), scenario.longest) for _ in range(SAMPLES)
    )


def _step(batch: int) -> float:
    return 2.0 if 40 <= batch < 80 else 1.0


SCENARIOS = (
    Scenario("steady", "lengths stay as they are"),
    Scenario("step", "responses are twice as long from batch 40 to 80", _step),
    Scenario("growth", "responses grow to four times their length", lambda n: 4.0 ** (n / 120)),
    Scenario("turns", "as step, with maxStaleness 0", _step, staleness=0),
    Scenario("long tails", "one in a hundred is five times as long as the median", spread=0.7),
    Scenario("noise", "each batch's lengths and times differ by a third", noise=0.3),
    Scenario("slow start", "as step; a replica takes a quarter of an hour", _step, start=900.0),
    Scenario("dead trainer", "as step; no trainer for half an hour", _step, dead=(5400.0, 7200.0)),
    Scenario(
        "missing metrics",
        "as step; no metrics for an hour around it, and a fifth of the other reads fail",
        _step,
        silent=(2400.0, 6000.0),
        loss=0.2,
    ),
    Scenario(
        "no gain",
        "few long responses: engines are no faster for being more",
        lambda batch: 4.0,
        full=200.0,
        fixed=100.0,
        tokens_per_second=60_000.0,
    ),
)
