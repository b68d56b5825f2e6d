"""slime's Sample, as far as hooks use it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any


@dataclass
class Sample:
    """A prompt, and what became of it.

    Args:
        group_index: number of the prompt's group.
        index: of the sample in its group.
        prompt: text, or messages.
        tokens: of the prompt and the response.
        response: text after the prompt.
        response_length: tokens of the response; the last ones of `tokens`.
        label: the reference answer.
        reward: a number, or a dict in which `args.reward_key` names one.
        loss_mask: for each token of the response 1, or 0: not learned.
        weight_versions: of the weights that generated it.
        rollout_log_probs: of each token of the response; those of the engine are trained with.
        remove_sample: nothing of it is learned.
        status: how it ended.
        metadata: JSON values.
    """

    class Status(Enum):
        """How far a sample has come."""

        PENDING = "pending"
        COMPLETED = "completed"
        TRUNCATED = "truncated"
        ABORTED = "aborted"
        FAILED = "failed"

    group_index: int | None = None
    index: int | None = None
    prompt: str | list[dict[str, Any]] = ""
    tokens: list[int] = field(default_factory=list)
    multimodal_inputs: dict[str, Any] | None = None
    multimodal_train_inputs: dict[str, Any] | None = None
    response: str = ""
    response_length: int = 0
    label: Any = None
    reward: float | dict[str, Any] | None = None
    loss_mask: list[int] | None = None
    weight_versions: list[str] = field(default_factory=list)
    rollout_log_probs: list[float] | None = None
    rollout_routed_experts: Any = None
    remove_sample: bool = False
    teacher_log_probs: list[float] | None = None
    status: Status = Status.PENDING
    metadata: dict[str, Any] = field(default_factory=dict)
    generate_function_path: str | None = None
    train_metadata: dict[str, Any] | None = None
    session_id: str | None = None
    non_generation_time: float = 0.0

    def get_reward_value(self, args: Any) -> Any:
        """The reward as a number; of a dict, the value that `args.reward_key` names."""
        key = args.reward_key
        return self.reward[key] if key and isinstance(self.reward, dict) else self.reward

    @property
    def effective_response_length(self) -> int:
        """Tokens of the response that are learned."""
        return self.response_length if self.loss_mask is None else sum(self.loss_mask)

    def append_response_tokens(
        self,
        args: Any = None,
        *,
        tokens: Sequence[int] | None = None,
        log_probs: Sequence[float] | None = None,
        trainable: bool = True,
        meta_info: Mapping[str, Any] | None = None,
        text: str | None = None,
        update_terminal_info: bool = True,
    ) -> None:
        """Adds tokens to the response, with their log-probabilities and mask.

        Args:
            args: the job's.
            tokens: of the engine (`trainable`), or of a tool.
            log_probs: of the engine's tokens.
            trainable: whether they are learned.
            meta_info: of the engine's answer.
            text: the same as text.
            update_terminal_info: take the status from `meta_info`.

        Raises:
            ValueError: tokens to learn without a log-probability for each.
        """
        added = list(tokens or [])
        if added and trainable and (log_probs is None or len(log_probs) != len(added)):
            found = "none" if log_probs is None else str(len(log_probs))
            raise ValueError(
                f"log_probs: found {found} for {len(added)} tokens; allowed: one for each token"
            )
        if self.loss_mask is None:
            self.loss_mask = [1] * self.response_length
        if self.rollout_log_probs is None:
            self.rollout_log_probs = [0.0] * self.response_length
        self.tokens = [*self.tokens, *added]
        self.response_length += len(added)
        self.loss_mask += [int(trainable)] * len(added)
        self.rollout_log_probs += list(log_probs) if trainable and log_probs else [0.0] * len(added)
        self.response += text or ""
        if meta_info is not None and update_terminal_info:
            self.update_from_meta_info(args, meta_info)

    def update_from_meta_info(self, args: Any, meta_info: Mapping[str, Any]) -> None:
        """Takes status and weight version from an answer of the engine."""
        if "weight_version" in meta_info:
            self.weight_versions.append(meta_info["weight_version"])
        self.status = _OF_FINISH.get(meta_info["finish_reason"]["type"], self.status)

    def to_dict(self) -> dict[str, Any]:
        """All fields, and attributes that a hook has added."""
        return {**self.__dict__, **asdict(self), "status": self.status.value}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Sample":
        """The sample of what `to_dict` has returned."""
        names = {each.name for each in fields(Sample)}
        values = {**data, "status": Sample.Status(data.get("status", "pending"))}
        sample = Sample(**{name: value for name, value in values.items() if name in names})
        sample.__dict__.update({n: value for n, value in values.items() if n not in names})
        return sample


_OF_FINISH = {
    "stop": Sample.Status.COMPLETED,
    "length": Sample.Status.TRUNCATED,
    "abort": Sample.Status.ABORTED,
}
