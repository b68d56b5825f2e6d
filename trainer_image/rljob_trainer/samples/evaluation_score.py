"""The numbers of an evaluation: mean reward with its margin, pass@k, majority@n, lengths."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_QUANTILE = 1.96  # of the normal distribution, for 95%


@dataclass(frozen=True)
class Answers:
    """The n responses to one prompt.

    Args:
        rewards: one for each response.
        answers: what each response answers, in the form in which equal answers are the same text;
            None: it has no answer, or nobody has extracted it.
        tokens: of each response.
        truncated: whether each was cut at the length limit.
    """

    rewards: Sequence[float]
    answers: Sequence[str | None]
    tokens: Sequence[int]
    truncated: Sequence[bool]


@dataclass(frozen=True)
class Score:
    """The numbers of one data set.

    Args:
        reward: mean over all prompts.
        margin: half the width of its 95% confidence interval; None for a single prompt.
        passes: pass@k by k: 1, 2, 4 and so on, and n.
        majority: (n, majority@n); None if n is 1, or nobody has extracted answers.
        length: mean tokens of a response.
        truncated: share of the responses that were cut at the length limit.
    """

    reward: float
    margin: float | None
    passes: dict[int, float]
    majority: tuple[int, float] | None
    length: float
    truncated: float

    def numbers(self) -> dict[str, float]:
        """All that are known, by the names they have in files and TensorBoard."""
        numbers = {"reward": self.reward}
        if self.margin is not None:
            numbers["margin"] = self.margin
        numbers |= {f"pass@{k}": value for k, value in self.passes.items()}
        if self.majority is not None:
            n, value = self.majority
            numbers[f"majority@{n}"] = value
        return numbers | {"length": self.length, "truncated": self.truncated}


def score(prompts: Sequence[Answers], *, failed: int, samples: int, pass_reward: float) -> Score:
    """The numbers of a data set.

    A failed prompt counts as one whose responses all have the reward 0 and do not pass; it has no
    length.

    Args:
        prompts: those that did not fail, at least one, with `samples` responses each.
        failed: the number of prompts that failed.
        samples: n, the responses per prompt.
        pass_reward: the least reward with which a response passes.
    """
    lost = [0.0] * failed
    means = [_mean(prompt.rewards) for prompt in prompts] + lost
    passed = [sum(reward >= pass_reward for reward in each.rewards) for each in prompts]
    has_answers = any(answer is not None for prompt in prompts for answer in prompt.answers)
    tokens = [count for prompt in prompts for count in prompt.tokens]
    cut = [is_cut for prompt in prompts for is_cut in prompt.truncated]
    return Score(
        reward=_mean(means),
        margin=margin(means),
        passes={
            k: _mean([pass_at(k, samples, count) for count in passed] + lost)
            for k in powers(samples)
        },
        majority=(samples, _mean([majority(prompt) for prompt in prompts] + lost))
        if samples > 1 and has_answers
        else None,
        length=_mean(tokens),
        truncated=_mean(cut),
    )


def margin(means: Sequence[float]) -> float | None:
    """Half the width of the 95% confidence interval of a mean reward; None for a single prompt.

    Prompts are independent, the responses to one are not: the standard error is that of the mean of
    the prompts' means. Source: Miller 2024, "Adding Error Bars to Evals", arXiv 2411.00640.

    Args:
        means: the mean reward of each prompt.
    """
    count = len(means)
    if count < 2:
        return None
    mean = _mean(means)
    variance = sum((each - mean) ** 2 for each in means) / (count - 1)
    return _QUANTILE * math.sqrt(variance / count)


def powers(samples: int) -> list[int]:
    """The k of pass@k for n samples: the powers of two below n, and n."""
    return [2**e for e in range((samples - 1).bit_length())] + [samples]


def pass_at(k: int, samples: int, passed: int) -> float:
    """The probability that of k of the n samples, drawn without replacement, one passes.

    It is the unbiased estimate of pass@k, 1 - C(n - c, k) / C(n, k), as a product that does not
    overflow. Source: Chen et al. 2021, arXiv 2107.03374, equation 1 and figure 3.

    Args:
        k: at most n.
        samples: n.
        passed: c, how many of the n pass.
    """
    if samples - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(samples - passed + 1, samples + 1))


def majority(prompt: Answers) -> float:
    """The reward of a prompt's most frequent answer.

    Of answers that are equally frequent the mean, so that the order of the responses does not
    matter. Responses without an answer have no vote; if no response has one, their mean reward.
    Source: Wang et al. 2022, "Self-Consistency", arXiv 2203.11171.
    """
    votes = Counter(answer for answer in prompt.answers if answer is not None)
    if not votes:
        return _mean(prompt.rewards)
    rewards: defaultdict[str | None, list[float]] = defaultdict(list)
    for answer, reward in zip(prompt.answers, prompt.rewards, strict=True):
        rewards[answer].append(reward)
    most = max(votes.values())
    return _mean([_mean(rewards[answer]) for answer, count in votes.items() if count == most])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
