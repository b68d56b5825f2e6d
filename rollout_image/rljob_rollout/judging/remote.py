"""What a reward server of type `remote` is asked, and what it answers; see docs/rewards.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from rljob.api.reward import RewardSpec
from rljob_rollout.judging.verdict import Failure, Verdict, short, verdicts
from rljob_rollout.rewards import RewardInput

_FIELDS = ("prompt", "response", "label", "metadata", "status", "index")


class _Remote:
    def requests(self, spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Any]:
        """One for the whole group."""
        return [{"samples": [{name: getattr(s, name) for name in _FIELDS} for s in samples]}]

    def verdicts(self, spec: RewardSpec, answer: Any, count: int) -> list[Verdict] | Failure:
        """The items of `rewards`."""
        if not isinstance(answer, Mapping) or "rewards" not in answer:
            return Failure(
                f'{spec.url} answered {short(answer)}; allowed: {{"rewards": [{count} rewards]}}'
            )
        return verdicts(answer["rewards"], count)


FORM = _Remote()
