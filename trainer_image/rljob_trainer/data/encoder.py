"""Turns a record, as the user wrote it, into a prompt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec, of_prompt
from rljob.errors import UsageError
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.label import check_label
from rljob_trainer.data.source import LongPrompt, Prompt
from rljob_trainer.data.tokenizer import PromptTokenizer


class PromptEncoder:
    """Finds prompt, label and metadata under the job's keys, and tokenizes the prompt."""

    def __init__(
        self,
        spec: DataSpec,
        tokenizer: PromptTokenizer,
        *,
        rewards: Sequence[RewardSpec],
        answers: Answers | None = None,
    ) -> None:
        """
        Args:
            spec: the job's data section, which names the keys.
            tokenizer: the model's.
            rewards: those that judge responses.
            answers: makes answers of labels, where they are learned and nothing is judged.
        """
        self._spec = spec
        self._tokenizer = tokenizer
        self._rewards = rewards
        self._answers = answers

    def check(self, record: dict[str, Any], where: str) -> None:
        """Checks everything that can be checked before tokenizing the prompt.

        Raises:
            UsageError: a key is missing, the prompt is neither text nor messages, the label does
                not suit the reward or is no answer, or the metadata is no object; beginning with
                `where`.
        """
        for field, key in (
            ("inputKey", self._spec.input_key),
            ("labelKey", self._spec.label_key),
        ):
            if key not in record:
                raise UsageError(
                    f"{where}: the key {key!r} (spec.data.{field}) is missing; found the "
                    f"keys {', '.join(map(repr, record)) or 'none'}"
                )
        self._tokenizer.check(record[self._spec.input_key], where)
        label = record[self._spec.label_key]
        metadata = self._metadata(record)
        if not isinstance(metadata, dict):
            raise UsageError(
                f"{where}: {self._spec.metadata_key!r} (spec.data.metadataKey) is a "
                f"{type(metadata).__name__}; allowed: an object"
            )
        if self._answers is not None:
            self._answers.check(label, where)
            return
        for reward in self._rewards:
            check_label(label, of_prompt(reward, metadata, where).type, where)

    def encode(self, record: dict[str, Any], where: str) -> Prompt | LongPrompt:
        """Encodes a record that was checked.

        Raises:
            UsageError: it is empty, longer than the job allows, or refused by the chat template.
        """
        spec = self._spec
        text, tokens, messages = self._tokenizer.encode(record[spec.input_key], where)
        if len(tokens) > spec.max_prompt_tokens:
            if spec.skip_long_prompts:
                return LongPrompt(where, len(tokens), spec.max_prompt_tokens)
            raise UsageError(
                f"{where}: the prompt has {len(tokens)} tokens; allowed: "
                f"{spec.max_prompt_tokens} (spec.data.maxPromptTokens; or set "
                "spec.data.skipLongPrompts)"
            )
        metadata = {**self._metadata(record), "source": where}
        prompt = Prompt(text, tokens, messages, record[spec.label_key], metadata)
        if self._answers is None:
            return prompt
        answer = self._answers.encode(record[spec.input_key], prompt, where)
        return answer if isinstance(answer, LongPrompt) else replace(prompt, answer=answer)

    def _metadata(self, record: dict[str, Any]) -> Any:
        key = self._spec.metadata_key
        return record.get(key, {}) if key is not None else {}
