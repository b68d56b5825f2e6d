"""Functions as users of slime write them; slime need not be installed."""

import re
from argparse import Namespace
from typing import Any

from slime.rollout.sglang_rollout import GenerateState
from slime.utils.http_utils import post
from slime.utils.types import Sample

CALL = re.compile(r'"expression": "(\d{1,6})\*(\d{1,6})"')


async def generate(args: Namespace, sample: Sample, sampling_params: dict[str, Any]) -> Sample:
    """Turns with a calculator, `args.max_turns` of them at most."""
    tokenizer = GenerateState(args).tokenizer
    url = f"http://{args.sglang_router_ip}:{args.sglang_router_port}/generate"
    prompt = tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]
    tokens: list[int] = []
    sample.loss_mask = []
    sample.status = Sample.Status.TRUNCATED
    for _ in range(args.max_turns):
        payload = {
            "input_ids": prompt + tokens,
            "sampling_params": sampling_params,
            "return_logprob": True,
        }
        output = await post(url, payload)
        said = [item[1] for item in output["meta_info"]["output_token_logprobs"]]
        tokens += said
        sample.loss_mask += [1] * len(said)
        sample.response += output["text"]
        if "<tool_call>" not in output["text"]:
            sample.status = Sample.Status.COMPLETED
            break
        found = CALL.search(output["text"])
        result = str(int(found[1]) * int(found[2])) if found else "error"
        turn = f"\n<|im_start|>tool\n{result}<|im_end|>\n<|im_start|>assistant\n"
        told = tokenizer(turn, add_special_tokens=False)["input_ids"]
        tokens += told
        sample.loss_mask += [0] * len(told)
        sample.response += turn
    sample.tokens = prompt + tokens
    sample.response_length = len(tokens)
    return sample


async def custom_rm(args: Namespace, sample: Sample, **kwargs: Any) -> dict[str, float]:
    """1 if the last turn is the label; `reward_key` names the value that is learned."""
    answer = sample.response.rpartition("<|im_start|>assistant\n")[2]
    right = answer.removesuffix("<|im_end|>").strip() == sample.label
    return {"score": float(right), "calls": float(sample.response.count("<tool_call>"))}
