"""Autoscaling by rate against an HPA on utilization, AIBrix's rule, and the best fixed number.

Jobs are simulated on a virtual clock, using the operator's own policy and the trainer's own metrics
(see `benchmarks/autoscaling/`). The measure is what a job costs: the GPU-hours of trainer and
rollouts together until its last batch, so that a waiting trainer and an idle replica both count.
The best fixed number is chosen for each job with hindsight.

    python benchmarks/autoscale.py [--seed 1]
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from statistics import mean

from benchmarks.autoscaling.policy import AiBrix, Fixed, Hpa, MeanUtilization, Policy, Rate
from benchmarks.autoscaling.policy import cache_use as cache
from benchmarks.autoscaling.scenario import LEAST, MOST, SCENARIOS, TRAINER_GPUS, Scenario
from benchmarks.autoscaling.simulation import Outcome, Simulation

GOAL = 1.0
OURS = "by rate"
LARGER = 32  # GPUs of a larger trainer: the more it has, the less an idle replica matters
PEERS: dict[str, Callable[[], Policy]] = {
    "HPA, utilization 80%": Hpa,
    "AIBrix, utilization 80%": lambda: AiBrix(MeanUtilization(), 0.8),
    "AIBrix, cache 50%": lambda: AiBrix(cache, 0.5),
}
_ENOUGH = 1.2  # times the least cost; beyond that, more replicas only cost more


def best_fixed(scenario: Scenario) -> tuple[int, Outcome]:
    """The number of replicas with the fewest GPU-hours, and its outcome."""
    best: tuple[int, Outcome] | None = None
    for replicas in range(LEAST, MOST + 1):
        outcome = Simulation(scenario, Fixed(replicas), first=replicas).run()
        if best is None or outcome.gpu_hours() < best[1].gpu_hours():
            best = replicas, outcome
        elif outcome.gpu_hours() > _ENOUGH * best[1].gpu_hours():
            break
    assert best is not None
    return best


def row(name: str, outcome: Outcome, against: Outcome) -> str:
    """A line of the table."""
    return (
        f"  {name:26}{outcome.hours:8.2f}{outcome.waiting:9.1%}{outcome.replica_hours:11.1f}"
        f"{outcome.gpu_hours():8.1f}{ratio([outcome], [against]):7.2f}{len(outcome.changes):9}"
        f"{outcome.reversals:11}"
    )


def ratio(ones: list[Outcome], others: list[Outcome], trainer: int = TRAINER_GPUS) -> float:
    """The ratio of their GPU-hours, averaged over the jobs, for a trainer with this many GPUs."""
    pairs = zip(ones, others, strict=True)
    return mean(one.gpu_hours(trainer) / other.gpu_hours(trainer) for one, other in pairs)


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    scenarios = [replace(scenario, seed=seed) for scenario in SCENARIOS]
    print(f"{'':28}{'hours':>8}{'waiting':>9}{'replica-h':>11}{'GPU-h':>8}{'ratio':>7}", end="")
    print(f"{'changes':>9}{'reversals':>11}")
    outcomes: dict[str, list[Outcome]] = {name: [] for name in (OURS, *PEERS)}
    fixed: list[Outcome] = []
    for scenario in scenarios:
        print(f"{scenario.name}: {scenario.text}")
        replicas, best = best_fixed(scenario)
        fixed.append(best)
        played = {OURS: Rate(scenario.staleness), **{name: new() for name, new in PEERS.items()}}
        for name, policy in played.items():
            outcomes[name].append(Simulation(scenario, policy).run())
            print(row(name, outcomes[name][-1], best))
        print(row(f"best fixed, {replicas}", best, best))
    means = {name: ratio(all_, fixed) for name, all_ in outcomes.items()}
    larger = [Simulation(each, Rate(each.staleness, LARGER)).run() for each in scenarios]
    peer = min(PEERS, key=lambda name: means[name])
    result = {
        "name": "GPU-hours of a job scaled by rate, in those with the best fixed number; mean",
        "value": round(means[OURS], 3),
        "unit": "1",
        "peer": round(means[peer], 3),
        "ratio": round(means[OURS] / means[peer], 3),
        "goal": GOAL,
        "peer_name": peer,
        "means": {name: round(each, 3) for name, each in means.items()},
        "reversals": {name: sum(one.reversals for one in all_) for name, all_ in outcomes.items()},
        f"ratio_with_{LARGER}_trainer_gpus": round(
            max(ratio(larger, outcomes[name], LARGER) for name in PEERS), 3
        ),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
