"""Decoding responses with a tokenizer like a chat model's: bytes and special tokens."""

from typing import Literal

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rljob.buffer.records import Response, Segment, VersionSpan
from rljob_rollout.tokenizer import ResponseText, ResponseTokenizer

TOKENS = ["1", "0", "Ġ", "<|end|>", "<|user|>", "<think>"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ResponseTokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    vocabulary = {token: number for number, token in enumerate(TOKENS[:3])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in TOKENS[3:5]])
    # As Qwen3 has it: a token of its own, and not special.
    backend.add_tokens([AddedToken(TOKENS[5], special=False)])
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>").save_pretrained(
        directory
    )
    (directory / "config.json").write_text("{}")
    return ResponseTokenizer(directory)


def response(tokens: list[str], finish: Literal["stop", "length"]) -> Response:
    count = len(tokens)
    ids = np.array([TOKENS.index(token) for token in tokens], np.int32)
    segment = Segment.generated(ids, np.zeros(count, np.float32), [VersionSpan(0, 0, count)])
    return Response(segment, finish)


@pytest.mark.parametrize(
    ("tokens", "finish", "whole", "plain"),
    [
        (["1", "0"], "length", "10", "10"),
        (["1", "0", "<|end|>"], "stop", "10", "10"),
        (["1", "<|user|>", "0", "<|user|>"], "length", "1<|user|>0<|user|>", "10"),
        (["1", "<|user|>", "0", "<|user|>", "<|end|>"], "stop", "1<|user|>0<|user|>", "10"),
        # `stopTokenIds` may name another one.
        (["1", "<|user|>"], "stop", "1", "1"),
        # With `ignoreEos` it goes on.
        (["1", "<|end|>", "0"], "length", "1<|end|>0", "10"),
        (["1", "<|end|>"], "length", "1<|end|>", "1"),
        (["<think>", "1", "Ġ", "0", "<|end|>"], "stop", "<think>1 0", "<think>1 0"),
        (["1", "0"], "stop", "10", "10"),  # a text has ended it
        (["<|end|>"], "stop", "", ""),
        ([], "stop", "", ""),
    ],
)
def test_special_tokens_stay_except_the_one_at_the_end(
    tokenizer: ResponseTokenizer,
    tokens: list[str],
    finish: Literal["stop", "length"],
    whole: str,
    plain: str,
) -> None:
    assert tokenizer.decode(response(tokens, finish)) == ResponseText(whole, plain)


def test_a_response_ends_with_the_end_of_sequence(tokenizer: ResponseTokenizer) -> None:
    assert tokenizer.end_tokens == [TOKENS.index("<|end|>")]
