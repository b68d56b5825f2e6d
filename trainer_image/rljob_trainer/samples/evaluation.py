"""Held-out evaluation: the same exchange, its own prompts and sampling, no training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from rljob.api import RLJobSpec
from rljob.api.evaluation import EvaluationSpec
from rljob.api.reward import only
from rljob.buffer.records import Completion, Group, Sample
from rljob.errors import UsageError
from rljob_trainer.data.jsonl import JsonlPrompts
from rljob_trainer.data.source import Prompt
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.samples.batch import unjudged
from rljob_trainer.samples.evaluation_score import Answers, Score, score
from rljob_trainer.samples.exchange import Exchange

log = structlog.get_logger()

_SHOWN = 8  # sample answers kept for the report
_ANSWER = "answer"  # key in a sample's metadata: what the reward has read as its answer


@dataclass(frozen=True)
class EvaluationResult:
    """The result of one data set at one weight version."""

    name: str
    score: Score
    count: int  # responses that were asked for, of failed prompts too
    failed: tuple[str, ...]  # why prompts failed
    unjudged: tuple[str, ...]  # why samples could not be judged and got the failure reward
    samples: list[dict[str, Any]]  # the first few, for people to read


class Evaluation:
    """One evaluation data set. Lives on rank 0."""

    def __init__(
        self,
        spec: EvaluationSpec,
        job: RLJobSpec,
        tokenizer: PromptTokenizer,
        index_directory: Path,
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._job = job
        self._rewards = job.rollout.all_rewards if spec.reward is None else [only(spec.reward)]
        source = JsonlPrompts(
            job.data,
            [spec.prompts],
            tokenizer,
            job.seed,
            index_directory,
            rewards=self._rewards,
        )
        count = min(len(source), spec.limit or len(source))
        prompts = (source.line(index) for index in range(count))
        self._prompts = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
        if not self._prompts:
            raise UsageError(
                f"spec.evaluation: all {count} prompts of {self.name!r} are longer than "
                f"{job.data.max_prompt_tokens} tokens (spec.data.maxPromptTokens)"
            )

    def run(self, exchange: Exchange) -> EvaluationResult:
        """Generates and scores every prompt with the published weights."""
        groups = self._groups(exchange)
        completions = exchange.evaluate(self.name, groups)
        failed = [c for c in completions if c.failure is not None]
        for completion in failed:
            log.warning("evaluation.failed", name=self.name, reason=completion.failure)
        answered = [_answers(c.samples) for c in completions if c.failure is None]
        if not answered:
            raise UsageError(
                f"spec.evaluation: all {len(failed)} prompts of {self.name!r} failed; the last: "
                f"{failed[-1].failure}"
            )
        return EvaluationResult(
            name=self.name,
            score=score(
                answered,
                failed=len(failed),
                samples=self._spec.samples_per_prompt,
                pass_reward=self._spec.pass_reward,
            ),
            count=len(groups) * self._spec.samples_per_prompt,
            failed=tuple(str(completion.failure) for completion in failed),
            unjudged=tuple(
                unjudged(sample for completion in completions for sample in completion.samples)
            ),
            samples=_shown(groups, completions),
        )

    def _groups(self, exchange: Exchange) -> list[Group]:
        sampling = self._spec.sampling.over(self._job.rollout.sampling)
        rewards = [reward.model_dump() for reward in self._rewards]
        groups = []
        for prompt in self._prompts:
            group_id = exchange.ledger.draw_id()
            groups.append(
                Group(
                    id=group_id,
                    incarnation=exchange.incarnation,
                    kind="evaluation",
                    prompt=prompt.text,
                    prompt_tokens=prompt.tokens,
                    messages=prompt.messages if self._job.rollout.generate else None,
                    label=prompt.label,
                    metadata=prompt.metadata,
                    samples=self._spec.samples_per_prompt,
                    sampling=sampling,
                    rewards=rewards,
                    seed=self._job.seed * 1_000_003 + group_id,
                )
            )
        return groups


def evaluations(
    job: RLJobSpec, tokenizer: PromptTokenizer, index_directory: Path
) -> list[Evaluation]:
    """Opens a job's evaluation data sets; their files are read and checked."""
    return [Evaluation(spec, job, tokenizer, index_directory) for spec in job.evaluation]


def _answers(samples: Sequence[Sample]) -> Answers:
    return Answers(
        rewards=[sample.reward for sample in samples],
        answers=[_answer(sample.metadata.get(_ANSWER)) for sample in samples],
        tokens=[sample.tokens for sample in samples],
        truncated=[sample.status == "truncated" for sample in samples],
    )


def _answer(value: Any) -> str | None:
    """A JSON value as a text that is the same for equal values."""
    return None if value is None else json.dumps(value, sort_keys=True)


def _shown(groups: Sequence[Group], completions: Sequence[Completion]) -> list[dict[str, Any]]:
    """The first answers of the data set, both wrong and right ones if there are both."""
    answers = [
        {
            "prompt": group.prompt,
            "response": completion.samples[0].response,
            "label": group.label,
            "reward": completion.samples[0].reward,
        }
        for group, completion in zip(groups, completions, strict=True)
        if completion.samples
    ]
    best = max((answer["reward"] for answer in answers), default=0.0)
    right = [n for n, answer in enumerate(answers) if answer["reward"] == best]
    wrong = [n for n, answer in enumerate(answers) if answer["reward"] != best]
    right = right[: max(_SHOWN // 2, _SHOWN - len(wrong))]
    return [answers[n] for n in sorted([*right, *wrong[: _SHOWN - len(right)]])]
