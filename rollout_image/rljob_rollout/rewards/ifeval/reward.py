"""The reward of IFEval."""

from typing import Any

from rljob.errors import UsageError
from rljob.instruction import Instruction, WrongInstructionError, instructions
from rljob_rollout.rewards.answer import after_thinking
from rljob_rollout.rewards.ifeval import (
    case,
    combination,
    content,
    form,
    keywords,
    length,
    punctuation,
    startend,
)
from rljob_rollout.rewards.ifeval.check import Check
from rljob_rollout.rewards.sample import RewardInput

CHECKS: dict[str, Check] = {
    **case.CHECKS,
    **combination.CHECKS,
    **content.CHECKS,
    **form.CHECKS,
    **keywords.CHECKS,
    **length.CHECKS,
    **punctuation.CHECKS,
    **startend.CHECKS,
}


def ifeval(sample: RewardInput, *, strict: bool = False) -> dict[str, Any]:
    """The share of the label's instructions that a response follows; and which it does not.

    What follows the last `</think>` is judged. An empty response follows none.
    Source: Zhou et al. 2023, arXiv 2311.07911; `strict` is its prompt-level strict accuracy.

    Args:
        sample: the sample to judge.
        strict: 1 if all instructions are followed, else 0.

    Raises:
        UsageError: the label has no instructions that can be verified.
    """
    try:
        wanted = instructions(sample.label)
    except WrongInstructionError as error:
        where = sample.metadata.get("source", f"prompt {sample.prompt!r}")
        raise UsageError(
            f"{where}: reward ifeval: the label is {sample.label!r:.200}: {error}"
        ) from None
    text = after_thinking(sample.response)
    broken = [each.id for each in wanted if not _follows(text, each)]
    share = 1 - len(broken) / len(wanted)
    return {"reward": float(not broken) if strict else share, "not_followed": broken}


def _follows(text: str, instruction: Instruction) -> bool:
    return bool(text.strip()) and CHECKS[instruction.id](text, **instruction.arguments)
