"""Retries, limits, and scores of samples that can't be judged; with real processes."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rljob.api.reward import NamedRewardSpec, RewardSpec, only
from rljob.errors import UsageError
from rljob_rollout.judging.scorer import Scorer, ScoringError
from rljob_rollout.rewards import RewardInput
from tests.rollout.code import odd_rewards
from tests.rollout.spec import spec_of
from tests.support.landlock import HAS_LANDLOCK, needs_landlock
from tests.support.waiting import wait_for

HOOKS = [
    f"odd_rewards:{name}"
    for name, value in vars(odd_rewards).items()
    if callable(value) and getattr(value, "__module__", "") == odd_rewards.__name__
    if not name.startswith("_") and name != "Judge"
]
TOO_LONG = "took more than 0.2 s (timeoutSeconds)"
LONG = 60.0  # seconds that nothing here takes
CODE = ["code"] if HAS_LANDLOCK else []


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    """Two processes that know every reward."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "code")
        evaluation = [
            {"name": f"e{n}", "prompts": "x", "reward": {"type": hook}}
            for n, hook in enumerate([*HOOKS, "f1", "math", *CODE])
        ]
        changes = {"rollout__reward": {"type": "exact"}, "rollout__rewardProcesses": 2}
        scorer = Scorer(spec_of(evaluation=evaluation, **changes))
        yield scorer
        asyncio.run(scorer.close())


class Judge:
    """Scores with one scorer."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __call__(self, hook: str, *samples: RewardInput, **changes: Any) -> list[Any]:
        """(reward, metadata) of each sample; `changes` are fields of the spec."""
        spec = RewardSpec(**{"type": hook, "retries": 0, "timeout_seconds": LONG, **changes})
        found = asyncio.run(self.scorer.score([only(spec)], samples or [sample()]))
        return [(score.reward, score.metadata) for score in found]


@pytest.fixture
def scores(scorer: Scorer) -> Judge:
    return Judge(scorer)


def sample(response: str = "0349", label: Any = "0349", **metadata: Any) -> RewardInput:
    return RewardInput(
        prompt="4093>",
        response=response,
        plain_response=response,
        label=label,
        metadata={"source": "train.jsonl:7", **metadata},
        response_tokens=[3, 6, 7, 12],
        status="completed",
        max_response_tokens=16,
    )


def test_a_group_is_scored_in_order(scores: Judge) -> None:
    found = scores("exact", sample("0349"), sample("9"), sample(" 0349 "))
    assert [reward for reward, _ in found] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("hook", "reward"), [("odd_rewards:asynchronous", 2.0), ("odd_rewards:judge", 0.5)]
)
def test_a_reward_may_be_asynchronous(scores: Judge, hook: str, reward: float) -> None:
    assert scores(hook, sample("ab")) == [(reward, {})]


def test_an_asynchronous_reward_judges_a_group_at_the_same_time(scores: Judge) -> None:
    found = scores("odd_rewards:asynchronous_waits_for_others", sample(), sample(), sample())
    assert [reward for reward, _ in found] == [1.0] * 3


def test_what_a_reward_says_besides_stays_with_the_sample(scores: Judge) -> None:
    assert scores("odd_rewards:with_parts", sample("a b")) == [
        (0.25, {"format": 1, "words": ["a", "b"]})
    ]


def test_a_failure_that_passes_is_survived(scores: Judge, tmp_path: Path) -> None:
    one = sample(calls=str(tmp_path / "calls"))
    assert scores("odd_rewards:fails_once", one, retries=1) == [(1.0, {})]


@pytest.mark.parametrize("hook", ["odd_rewards:hangs", "odd_rewards:asynchronous_hangs"])
def test_a_reward_that_hangs_is_given_up(scores: Judge, hook: str) -> None:
    with pytest.raises(ScoringError) as raised:
        scores(hook, timeout_seconds=0.2, retries=1)
    assert f"reward {hook}: {TOO_LONG} for the response '0349'" in str(raised.value)
    assert "(attempts: 2)" in str(raised.value)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("odd_rewards:raises", "raised KeyError: 'answer'"),
        ("odd_rewards:nan", "returned nan"),
        ("odd_rewards:text", "returned '0.5'"),
        ("odd_rewards:nothing", "returned None"),
        ("odd_rewards:with_an_object", "Object of type object is not JSON serializable"),
    ],
)
def test_what_went_wrong_is_named_with_the_hook_and_the_line(
    scores: Judge, hook: str, said: str
) -> None:
    with pytest.raises(ScoringError) as raised:
        scores(hook)
    message = str(raised.value)
    assert message.startswith(f"reward {hook}: ")
    assert said in message
    assert "(train.jsonl:7)" in message


def test_a_label_of_the_wrong_type_is_the_users_mistake_and_not_tried_again(scores: Judge) -> None:
    with pytest.raises(UsageError, match=r"train\.jsonl:7: reward f1: the label is 5, a int"):
        scores("f1", sample(label=5), retries=3)


def test_only_what_failed_is_judged_again(scores: Judge, tmp_path: Path) -> None:
    calls = [tmp_path / "a", tmp_path / "b"]
    calls[0].write_text("x")  # its next call is not its first
    found = scores("odd_rewards:fails_once", *(sample(calls=str(c)) for c in calls), retries=2)
    assert found == [(1.0, {}), (1.0, {})]
    assert [len(call.read_text()) for call in calls] == [2, 2]


def test_every_attempt_judges_anew(scores: Judge, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with pytest.raises(ScoringError):
        scores("odd_rewards:counts_and_raises", sample(calls=str(calls)), retries=2)
    assert calls.read_text() == "xxx"


@pytest.mark.parametrize("hook", ["odd_rewards:one_is_bad", "odd_rewards:asynchronous_one_is_bad"])
@pytest.mark.parametrize(
    ("deed", "said", "changes"),
    [
        ("exit", "called sys.exit(3)", {}),
        ("end", "ended its process with exit code 7", {}),
        ("kill", "ended its process by SIGKILL", {}),
        ("hold", "took more than 2 s (timeoutSeconds)", {"timeout_seconds": 2.0}),
        ("grow", "took more than 1Gi of memory (memory)", {"memory": "1Gi"}),
        ("nest", "raised RecursionError: maximum recursion depth exceeded", {}),
    ],
)
def test_a_sample_that_fails_costs_itself_alone(
    scores: Judge, hook: str, deed: str, said: str, changes: dict[str, Any]
) -> None:
    """Memory of 8 GiB is refused by the limit; sleep(3) in a PyDLL keeps the interpreter."""
    samples = [sample("good"), sample(deed), sample("good")]
    good, bad, other = scores(hook, *samples, failure_reward=-1.0, **changes)
    assert good == other == (1.0, {})
    reward, metadata = bad
    assert reward == -1.0
    assert metadata["reward_error"].startswith(said)


@pytest.mark.parametrize(
    "response",
    [
        r"So it is \boxed{9^{9^{9}}}.",
        "The remainder of $3^{2^{2025}}$ is needed. First,",
        "(" * 3000 + "1" + ")" * 3000,
        "$" + "(" * 3000 + "1" + ")" * 3000 + "$",
    ],
    ids=["tower", "remainder", "parentheses", "parentheses in mathematics"],
)
def test_mathematics_that_nobody_can_work_out_gets_nothing(scores: Judge, response: str) -> None:
    """9^9^9 has 369,693,100 digits: Python computes for minutes without letting go of the GIL."""
    samples = [sample(r"\boxed{7}", "7"), sample(response, "7"), sample(r"\boxed{8}", "7")]
    found = scores("math", *samples, timeout_seconds=5.0)
    assert [reward for reward, _ in found] == [1.0, 0.0, 0.0]
    assert found[1][1].get("reward_error") in (None, "took more than 5 s (timeoutSeconds)")
    assert (found[0][1], found[2][1]) == ({"answer": "7"}, {"answer": "8"})


def test_mathematics_is_judged_strictly_where_the_job_asks_for_it(scores: Judge) -> None:
    samples = [sample("It is $7$.", "7"), sample(r"\boxed{7}", "7")]
    seven = {"answer": "7"}
    assert scores("math", *samples) == [(1.0, seven), (1.0, seven)]
    assert scores("math", *samples, strict=True) == [(0.0, {"answer": None}), (1.0, seven)]


def test_a_power_tower_takes_too_long(scores: Judge) -> None:
    """Its reason stays with the sample."""
    ((reward, metadata),) = scores(
        "math", sample(r"\boxed{9^{9^{9}}}", "7"), timeout_seconds=2.0, retries=3
    )
    assert reward == 0.0
    assert metadata == {"reward_error": "took more than 2 s (timeoutSeconds)"}


def test_a_reward_runs_in_another_process_that_leads_its_group(scores: Judge) -> None:
    ((pid, _),) = scores("odd_rewards:process")
    assert pid != os.getpid()
    # What a terminal or a supervisor sends to the worker's group is not for it.
    assert os.getpgid(int(pid)) == pid


def is_alive(process: psutil.Process) -> bool:
    """One that has ended stays in the table until the pool has looked at it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_idle_processes_that_were_killed_are_replaced(scores: Judge) -> None:
    processes = [
        child
        for child in psutil.Process().children()
        if "spawn_main" in " ".join(child.cmdline()) and "resource" not in child.cmdline()[-1]
    ]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, processes)), "the processes have ended", 30)
    assert scores("odd_rewards:asynchronous", sample("ab")) == [(2.0, {})]


def test_a_module_that_ends_its_process_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_at_once.py").write_text("import os\nos._exit(5)\n")
    with pytest.raises(UsageError) as raised:
        Scorer(spec_of(rollout__reward={"type": "ends_at_once:judge"}, rollout__rewardProcesses=1))
    assert str(raised.value).startswith(
        "spec.rollout.reward.type: found ends_at_once:judge, but the process that imports"
    )


PRINT = "```python\nprint(6 * 7)\n```"
SLEEP = "```python\nimport time\ntime.sleep(60)\n```"
TESTS = [{"input": "", "output": output} for output in ("42", "43")]


@needs_landlock
def test_programs_are_judged_in_the_sandbox(scores: Judge) -> None:
    assert scores("code", sample(PRINT, TESTS)) == [(0.5, {})]
    assert scores("code", sample(PRINT, TESTS), strict=True) == [(0.0, {})]


@needs_landlock
def test_a_program_ends_with_the_process_that_judges_it(scores: Judge) -> None:
    before = set(psutil.Process().children(recursive=True))
    found = scores("code", sample(SLEEP, TESTS), timeout_seconds=2.0)
    assert found == [(0.0, {"reward_error": "took more than 2 s (timeoutSeconds)"})]
    wait_for(
        lambda: (
            not any(
                "rljob_rollout.sandbox.program" in process.cmdline()
                for process in set(psutil.Process().children(recursive=True)) - before
            )
        ),
        "the program ends",
    )


def test_several_rewards_are_summed_with_their_weights(scorer: Scorer) -> None:
    specs = [
        NamedRewardSpec(name="right", type="exact", weight=2.0),
        NamedRewardSpec(name="parts", type="odd_rewards:with_parts", weight=0.0),
        NamedRewardSpec(name="short", type="overlong", buffer_tokens=16, weight=0.5),
    ]
    right, wrong = asyncio.run(scorer.score(specs, [sample("a b", "a b"), sample("c")]))
    assert right.rewards == {"right": 1.0, "parts": 0.25, "short": -0.25}
    assert right.reward == 2.0 - 0.5 * 0.25
    assert right.metadata == {"parts": {"format": 1, "words": ["a", "b"]}}
    assert wrong.reward == -0.5 * 0.25


def test_a_reward_of_several_that_fails_is_named(scorer: Scorer) -> None:
    specs = [
        NamedRewardSpec(name="right", type="exact"),
        NamedRewardSpec(name="odd", type="odd_rewards:raises", retries=0, failure_reward=-1.0),
    ]
    (found,) = asyncio.run(scorer.score(specs, [sample()]))
    assert found.rewards == {"right": 1.0, "odd": -1.0}
    assert found.metadata == {"reward_error": "odd: raised KeyError: 'answer'"}


@pytest.mark.parametrize("hook", ["odd_rewards:ranks", "odd_rewards:asynchronous_ranks"])
def test_a_group_is_judged_at_once(scores: Judge, hook: str) -> None:
    found = scores(hook, sample("aaa"), sample("a"), sample("aa"), group=True)
    assert found == [(2.0, {"of": 3}), (0.0, {"of": 3}), (1.0, {"of": 3})]


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("odd_rewards:too_few", "returned [1.0], 1 items; allowed: a list of 2 rewards"),
        ("odd_rewards:text", "returned '0.5', 3 items; allowed: a list of 2 rewards"),
        ("odd_rewards:nothing", "returned None; allowed: a list of 2 rewards"),
        ("odd_rewards:raises", "raised KeyError"),
        ("odd_rewards:one_is_nan", "returned nan"),
    ],
)
def test_a_group_that_is_judged_wrongly_fails(scores: Judge, hook: str, said: str) -> None:
    with pytest.raises(ScoringError, match=re.escape(f"reward {hook}: {said}")):
        scores(hook, sample(), sample(), group=True)


def test_a_group_is_judged_again_as_a_whole(scores: Judge, tmp_path: Path) -> None:
    calls = str(tmp_path / "calls")
    samples = [sample(calls=calls), sample(calls=calls)]
    assert scores("odd_rewards:group_fails_once", *samples, group=True, retries=1) == [
        (1.0, {}),
        (1.0, {}),
    ]


def test_a_prompt_names_its_reward(scores: Judge) -> None:
    key = {"type_key": "kind"}
    assert scores("exact", sample("It is 7.", "7", kind="math"), **key) == [(1.0, {"answer": "7"})]
    assert scores("exact", sample("It is 7.", "7"), **key) == [(0.0, {})]
    with pytest.raises(UsageError, match=r"train.jsonl:7: found 'maths' as 'kind' \(typeKey\)"):
        scores("exact", sample(kind="maths"), **key)
