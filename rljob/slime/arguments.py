"""`args`: a job's values under slime's names."""

from collections.abc import Mapping
from typing import Any

from rljob.api.rljob import RLJobSpec


class Arguments:
    """slime's namespace of arguments; one that is not there is named in the error."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """`values` by slime's names."""
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"args.{name}: the job has no value of this name; allowed: "
            f"{', '.join(sorted(self.__dict__))}, and values of your own in rollout.slimeArguments",
            name=name,
            obj=self,
        )

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__

    def __repr__(self) -> str:
        return f"Arguments({self.__dict__!r})"


def arguments_of(spec: RLJobSpec) -> dict[str, Any]:
    """The values of a job under slime's names, as JSON; those of `slimeArguments` come last."""
    rollout, data, schedule = spec.rollout, spec.data, spec.schedule
    sampling, episodes = rollout.sampling, rollout.episodes
    reward = rollout.all_rewards[0]
    return {
        "hf_checkpoint": spec.model.checkpoint,
        "prompt_data": data.prompts[0] if data.prompts else None,
        "input_key": data.input_key,
        "label_key": data.label_key,
        "metadata_key": data.metadata_key,
        "apply_chat_template": data.apply_chat_template,
        "apply_chat_template_kwargs": data.chat_template_kwargs,
        "rollout_shuffle": data.shuffle,
        "rollout_max_prompt_len": data.max_prompt_tokens,
        "num_rollout": schedule.rollouts,
        "rollout_batch_size": schedule.rollout_batch_size,
        "over_sampling_batch_size": schedule.over_sampling_batch_size
        or schedule.rollout_batch_size,
        "n_samples_per_prompt": spec.algorithm.samples_per_prompt,
        "global_batch_size": schedule.global_batch_size,
        "rollout_seed": spec.seed,
        "advantage_estimator": spec.algorithm.estimator,
        "rollout_temperature": sampling.temperature,
        "rollout_top_p": sampling.top_p,
        "rollout_top_k": sampling.top_k,
        "rollout_max_response_len": sampling.max_response_tokens,
        "rollout_max_context_len": episodes.context_tokens
        or data.max_prompt_tokens + sampling.max_response_tokens,
        "rollout_stop": sampling.stop or None,
        "rollout_stop_token_ids": sampling.stop_token_ids or None,
        "rollout_skip_special_tokens": False,
        "partial_rollout": rollout.partial,
        "mask_offpolicy_in_partial_rollout": False,
        "custom_generate_function_path": rollout.generate,
        "custom_rm_path": reward.type if ":" in reward.type else None,
        "rm_type": None if ":" in reward.type else reward.type,
        "rm_url": reward.url,
        "group_rm": reward.group,
        "reward_key": None,
        "eval_reward_key": None,
        "sglang_server_concurrency": episodes.tool_concurrency * rollout.max_concurrent_groups,
        "sglang_speculative_algorithm": None,
        "use_rollout_routing_replay": False,
        "ci_test": False,
        **rollout.slime_arguments,
    }
