"""Chat templates in the manner of known families, and a tokenizer for each, made for tests.

They do to a history what the families' own templates do: write it down (Qwen2.5), drop the thoughts
of turns before the last question (Qwen3) or of every turn (DeepSeek), strip white space (Llama 3),
or have no token of their own at the end of a turn (GLM-4, whose model ends it with the next role).
"""

from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_TEXT = [
    'What is 12 plus 30? The answer is 42. <tool_call> {"name": "add"} </tool_call>',
    "<think>\nLet me think about the question.\n</think>\n\nThe answer is forty-two.",
]

QWEN25 = (
    "{% if tools %}<|im_start|>system\nTools:{% for t in tools %}\n{{ t | tojson }}{% endfor %}"
    "<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n"
    "{% if m.role == 'tool' %}<tool_response>\n{{ m.content }}\n</tool_response>"
    "{% else %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}\n<tool_call>\n"
    "{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}\n</tool_call>"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LAST_QUESTION = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}"
    "{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
)
QWEN3 = (
    _LAST_QUESTION
    + "{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n"
    "{% if m.role == 'assistant' and loop.index0 < ns.last %}"
    "{{ (m.content or '').split('</think>')[-1].lstrip('\n') }}"
    "{% else %}{{ m.content or '' }}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ (m.content or '') | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GLM4 = (
    "[gMASK]<sop>{% for m in messages %}"
    "<|{{ 'observation' if m.role == 'tool' else m.role }}|>\n{{ m.content or '' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
DEEPSEEK = (
    _LAST_QUESTION + "<|begin|>{% for m in messages %}{% if m.role == 'assistant' %}<|Assistant|>"
    "{{ (m.content or '').split('</think>')[-1] }}<|end|>"
    "{% else %}<|User|>{{ m.content or '' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|>{% endif %}"
)

# The template, and the token with which the model ends a turn.
FAMILIES = {
    "qwen2.5": (QWEN25, "<|im_end|>"),
    "qwen3": (QWEN3, "<|im_end|>"),
    "llama3": (LLAMA3, "<|eot_id|>"),
    "glm4": (GLM4, "<|user|>"),
    "deepseek": (DEEPSEEK, "<|end|>"),
}
_SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "[gMASK]",
    "<sop>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|system|>",
    "<|begin|>",
    "<|User|>",
    "<|Assistant|>",
    "<|end|>",
]


def write_chat_tokenizer(directory: Path, family: str) -> None:
    """Writes a byte-level BPE tokenizer with a family's chat template, and a config.json."""
    template, end = FAMILIES[family]
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_TEXT * 10, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=end, additional_special_tokens=_SPECIAL
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(directory)
    (directory / "config.json").write_text('{"vocab_size": 400}')
