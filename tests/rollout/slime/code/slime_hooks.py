"""Generate functions and rewards as users of slime write them, with their possible mistakes."""

import copy
import re
from typing import Any

from slime.rollout.sglang_rollout import GenerateState
from slime.utils.http_utils import post
from slime.utils.types import Sample


async def _ask(args: Any, ids: list[int], params: dict[str, Any]) -> dict[str, Any]:
    url = f"http://{args.sglang_router_ip}:{args.sglang_router_port}/generate"
    payload = {"input_ids": ids, "sampling_params": params, "return_logprob": True}
    answer: dict[str, Any] = await post(url, payload)
    return answer


async def single_turn(args: Any, sample: Sample, sampling_params: dict[str, Any]) -> Sample:
    state = GenerateState(args)
    prompt_ids = state.tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]
    output = await _ask(args, prompt_ids, sampling_params)
    pairs = output["meta_info"]["output_token_logprobs"]
    sample.tokens = prompt_ids + [item[1] for item in pairs]
    sample.response_length = len(pairs)
    sample.rollout_log_probs = [item[0] for item in pairs]
    sample.response = output["text"]
    sample.metadata["version"] = output["meta_info"]["weight_version"]
    sample.kept = [1]
    sample.lost = object()
    match output["meta_info"]["finish_reason"]["type"]:
        case "length":
            sample.status = Sample.Status.TRUNCATED
        case "stop":
            sample.status = Sample.Status.COMPLETED
    return sample


async def tool_loop(
    args: Any, sample: Sample, sampling_params: dict[str, Any], evaluation: bool = False
) -> Sample:
    """Calls a calculator until an answer without a question comes."""
    assert not args.partial_rollout
    state = GenerateState(args)
    sample.tokens = state.tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]
    sample.metadata["evaluation"] = evaluation
    for _ in range(args.max_turns):
        output = await _ask(args, sample.tokens, sampling_params)
        pairs = output["meta_info"]["output_token_logprobs"]
        sample.append_response_tokens(
            args,
            tokens=[item[1] for item in pairs],
            log_probs=[item[0] for item in pairs],
            trainable=True,
            meta_info=output["meta_info"],
            text=output["text"],
        )
        digits = re.findall(r"\d", output["text"])
        observation = f">{sum(map(int, digits)) % 10}"
        ids = state.tokenizer(observation, add_special_tokens=False)["input_ids"]
        sample.append_response_tokens(args, tokens=ids, trainable=False, text=observation)
    return sample


async def by_text(args: Any, sample: Sample, sampling_params: dict[str, Any]) -> Sample:
    """Two turns that send texts, and keep tokens of the answers, as search-r1 does."""
    state = GenerateState(args)
    url = f"http://{args.sglang_router_ip}:{args.sglang_router_port}/generate"
    tokens = state.tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]
    response, ids, mask = "", [], []
    for _ in range(2):
        output = await post(
            url,
            {
                "text": sample.prompt + response,
                "sampling_params": sampling_params,
                "return_logprob": True,
            },
        )
        made = [item[1] for item in output["meta_info"]["output_token_logprobs"]]
        told = state.tokenizer(">", add_special_tokens=False)["input_ids"]
        response += output["text"] + ">"
        ids, mask = ids + made + told, mask + [1] * len(made) + [0] * len(told)
    sample.tokens, sample.response, sample.response_length = tokens + ids, response, len(ids)
    sample.loss_mask = mask
    sample.status = Sample.Status.COMPLETED
    return sample


async def cuts_a_turn(args: Any, sample: Sample, sampling_params: dict[str, Any]) -> Sample:
    """Goes on from the first token of a turn, and forgets the others."""
    prompt = GenerateState(args).tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]
    first = (await _ask(args, prompt, sampling_params))["output_ids"][:1]
    second = (await _ask(args, [*prompt, *first, 9], sampling_params))["output_ids"]
    sample.tokens = [*prompt, *first, 9, *second]
    sample.response_length = 2 + len(second)
    sample.loss_mask = [1, 0] + [1] * len(second)
    return sample


async def fans_out(args: Any, sample: Sample, sampling_params: dict[str, Any]) -> Any:
    """Two answers in a chain, and that of a sub-agent: a sample each, the prompt's last."""
    prompt = GenerateState(args).tokenizer(sample.prompt, add_special_tokens=False)["input_ids"]

    async def asked(ids: list[int]) -> Sample:
        output = await _ask(args, ids, sampling_params)
        one = copy.deepcopy(sample)
        one.tokens, one.response = [*ids, *output["output_ids"]], output["text"]
        one.response_length = len(output["output_ids"])
        one.status = Sample.Status.COMPLETED
        one.metadata["turn"] = one.tokens
        return one

    first = await asked(prompt)
    agent = await asked([*prompt[:2], 9])
    agent.loss_mask = [1, 0, *[1] * (agent.response_length - 2)]
    last = await asked([*first.tokens, 9])
    samples = [first, agent, last]
    match sample.metadata.get("fault"):
        case "learns twice":
            last.response_length = len(last.tokens) - len(prompt)
        case "invents":
            agent.tokens[-1] += 1
        case "earns":
            for each in samples:
                each.reward = 0.5
        case "earns differently":
            last.reward = 1.0
        case "nothing":
            return []
        case "nests":
            return [samples]
        case "one fails":
            agent.status = Sample.Status.FAILED
    return samples


async def faulty(args: Any, sample: Sample, sampling_params: dict[str, Any]) -> Any:
    """What the prompt's metadata say."""
    sample = await single_turn(args, sample, sampling_params)
    del sample.lost
    length = sample.response_length
    match sample.metadata["fault"]:
        case "retokenises":
            text = "9" + sample.response[1:]
            ids = GenerateState(args).tokenizer(text, add_special_tokens=False)["input_ids"]
            sample.tokens[-length:] = ids[:length]
        case "learns the tool's":
            sample.tokens = [*sample.tokens, 9]
            sample.response_length = length + 1
            sample.loss_mask = [1] * (length + 1)
        case "learns the prompt":
            sample.response_length = len(sample.tokens)
            sample.loss_mask = [1] * len(sample.tokens)
        case "short mask":
            sample.loss_mask = [1] * (length - 1)
        case "fails":
            sample.status = Sample.Status.FAILED
        case "forgets the tokens":
            sample.tokens, sample.response_length = [], 0
        case "returns a text":
            return sample.response
        case "reads what is not there":
            return args.search_url
        case "asks for nonsense":
            await _ask(args, [4], {"min_p": 0.5})
        case "asks for the cache":
            root = f"http://{args.sglang_router_ip}:{args.sglang_router_port}"
            await post(f"{root}/retrieve_from_text", {"text": "4"})
        case "earns a dict":
            sample.reward = {"accuracy": 1.0}
        case "masks":
            sample.loss_mask = [0, *[1] * (length - 1)]
        case "is removed":
            sample.remove_sample = True
        case "earns":
            sample.reward = 0.5
        case "earns in a dict":
            sample.reward = {"score": 0.25, "format": 1}
    return sample


def judge(args: Any, sample: Sample) -> float:
    assert sample.tokens[-sample.response_length :]
    return float(sample.response == sample.label) + args.bonus


async def judge_async(args: Any, sample: Sample, **kwargs: Any) -> dict[str, float]:
    return {"score": sample.metadata["told"] + sample.kept[0], "length": sample.response_length}


async def judge_group(args: Any, samples: list[Sample], **kwargs: Any) -> list[float]:
    best = max(len(sample.response) for sample in samples)
    return [float(len(sample.response) == best) for sample in samples]


class CustomRewardModel:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def compute_reward(self, prompts: list[str], responses: list[str]) -> list[float]:
        assert len(prompts) == len(responses)
        return [len(response) + 10.0 * self.made for response in responses]
