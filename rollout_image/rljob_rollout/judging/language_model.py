"""What a language model that judges is asked, and how its answer becomes a reward."""

import json
import re
from collections.abc import Sequence
from typing import Any

from rljob.api.reward import JudgeSpec, RewardSpec
from rljob_rollout.judging.verdict import Failure, Score, Verdict, short
from rljob_rollout.rewards import RewardInput

_PLACE = re.compile(r"\{(prompt|response|label|metadata)\}")
_SCORE = re.compile(r"\bscore\W{0,8}?(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_KEPT = 2000  # characters of the answer that stay with the sample


class _LanguageModel:
    def requests(self, spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Any]:
        """A chat completion for each sample."""
        judge = _judge(spec)
        return [
            {
                "model": judge.model,
                "messages": [{"role": "user", "content": _filled(judge.template, sample)}],
                "max_tokens": judge.answer_tokens,
                "temperature": judge.temperature,
            }
            for sample in samples
        ]

    def verdicts(self, spec: RewardSpec, answer: Any, count: int) -> list[Verdict] | Failure:
        """The last score in the answer's text, from 0 for the lowest to 1 for the highest."""
        judge = _judge(spec)
        try:
            text = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            return Failure(f"{spec.url} answered {short(answer)}; allowed: a chat completion")
        found = _SCORE.findall(text if isinstance(text, str) else "")
        span = f'"Score: N" with N from {judge.lowest:g} to {judge.highest:g}'
        if not found:
            return Failure(f"the judge answered {short(text)}; allowed: a text with {span}")
        score = float(found[-1])
        if not judge.lowest <= score <= judge.highest:
            return Failure(f"the judge gave the score {score:g}; allowed: {span}")
        reward = (score - judge.lowest) / (judge.highest - judge.lowest)
        return [Score(reward, {"score": score, "judge": text[-_KEPT:]})] * count


def _judge(spec: RewardSpec) -> JudgeSpec:
    if spec.judge is None:
        raise TypeError("a reward of type judge comes with its judge")
    return spec.judge


def _filled(template: str, sample: RewardInput) -> str:
    """In one pass, so that braces in a response are not filled in."""

    def value(place: re.Match[str]) -> str:
        found = sample.plain_response if place[1] == "response" else getattr(sample, place[1])
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return _PLACE.sub(value, template)


FORM = _LanguageModel()
