"""Where prompts come from."""

from typing import Any

from pydantic import Field

from rljob.api.base import FilePath, Hook, Part, PositiveInt, Text


class DataSpec(Part):
    """The prompt data: JSON Lines read as a stream, or the user's own source."""

    prompts: list[FilePath] = Field(
        default_factory=list,
        max_length=1024,
        description="JSON Lines files, one prompt a line, read as a stream in this order.",
    )
    input_key: Text = Field("prompt", description="Key of the prompt in a line.")
    label_key: Text = Field("label", description="Key of the reference answer in a line.")
    metadata_key: Text | None = Field(
        None, description="Key of an object that is passed to rewards and hooks. Default: none."
    )
    apply_chat_template: bool = Field(
        False,
        description="Render the prompt (a string or a list of messages) with the tokenizer's chat "
        "template; otherwise the prompt is plain text.",
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the chat template, e.g. `enable_thinking: false`.",
    )
    shuffle: bool = Field(True, description="Reshuffle the prompts in each epoch, by the seed.")
    shuffle_block: PositiveInt | None = Field(
        None,
        description="Shuffle blocks of this many consecutive lines, and the lines within each, for "
        "disks on which random access is slow; a block is read at once and kept in memory. "
        "Default: shuffle all lines.",
    )
    max_prompt_tokens: PositiveInt = Field(1024, description="Longest prompt allowed, in tokens.")
    skip_long_prompts: bool = Field(
        False,
        description="Skip (and count) prompts longer than maxPromptTokens instead of refusing the "
        "data.",
    )
    max_bad_share: float = Field(
        0.05,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the prompts drawn so far (of 100, while there are fewer) that may "
        "be bad: not JSON, refused by the chat template or the engine, or with a label that the "
        "reward can't use. Each is dropped with its reason; beyond this share the job ends. Lines "
        "that are checked before the start must all be valid.",
    )
    allow_changed: bool = Field(
        False,
        description="Resume although the content of a prompt file has changed, with the same "
        "number of lines; the ledger records it.",
    )
    source: Hook | None = Field(
        None,
        description='Class "module:Class" that supplies the prompts; `prompts` is then for the '
        "class to use. See docs/data.md.",
    )
