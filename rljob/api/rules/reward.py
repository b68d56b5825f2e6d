"""Rewards: of training, one or several, and of evaluations."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

from rljob.api.problem import Path, Problem, problem
from rljob.api.reward import STRICT, RewardSpec, Served
from rljob.api.reward_place import rewards_of
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin
from rljob.api.rules.repeated import repeated

_PLACES = ("spec.rollout.reward", "spec.rollout.rewards[]", "spec.evaluation[].reward")
_SERVED = get_args(Served)
_IS_SERVED = f"self.type in {list(_SERVED)}"

Each = Callable[[Path, RewardSpec], Iterator[Problem]]


def _everywhere(*cels: Cel) -> tuple[Cel, ...]:
    """The counterparts of a rule about one reward, at each place that has one."""
    return tuple(replace(cel, at=place) for place in _PLACES for cel in cels)


@twin(
    *_everywhere(
        Cel(
            at="",
            rule=f"!self.strict || has(self.typeKey) || self.type in {list(STRICT)}",
            message="found true, allowed false (type is {self.type}; only math, code and ifeval "
            "support strict)",
            field="strict",
            reason="FieldValueForbidden",
        )
    )
)
def only_some_are_strict(job: RLJob) -> Iterator[Problem]:
    """`reward.strict` needs `reward.type` math, code or ifeval, or a `typeKey`."""
    for path, reward in rewards_of(job):
        if reward.strict and reward.type_key is None and reward.type not in STRICT:
            reason = f"type is {reward.type}; only math, code and ifeval support strict"
            yield problem((*path, "strict"), True, "false", reason)


@twin(
    *_everywhere(
        Cel(
            at="",
            rule=f"has(self.url) || !({_IS_SERVED})",
            message="found null, allowed an http:// or https:// URL (type is {self.type})",
            field="url",
            reason="FieldValueRequired",
        ),
        *(
            Cel(
                at="",
                rule=f"!has(self.{name}) || {_IS_SERVED}",
                message="found a value, allowed null (type is {self.type}; only remote and judge "
                "ask a server)",
                field=name,
                reason="FieldValueForbidden",
            )
            for name in ("url", "apiKeyVariable")
        ),
    )
)
def servers_have_addresses(job: RLJob) -> Iterator[Problem]:
    """`reward.url` is given for the types remote and judge, and only for them, as is
    `apiKeyVariable`."""
    for path, reward in rewards_of(job):
        if reward.type in _SERVED:
            if reward.url is None:
                allowed = "an http:// or https:// URL"
                yield problem((*path, "url"), None, allowed, f"type is {reward.type}")
            continue
        for name, value in (("url", reward.url), ("apiKeyVariable", reward.api_key_variable)):
            if value is not None:
                reason = f"type is {reward.type}; only remote and judge ask a server"
                yield Problem((*path, name), "a value", "null", reason)


@twin(
    *_everywhere(
        Cel(
            at="",
            rule="(self.type == 'judge') == has(self.judge)",
            message="found {has(self.judge) ? 'a mapping' : 'null'}, allowed "
            "{has(self.judge) ? 'null' : 'a mapping'} (type is {self.type})",
            field="judge",
        ),
    )
)
def judges_are_described(job: RLJob) -> Iterator[Problem]:
    """`reward.judge` is given for the type judge, and only for it."""
    for path, reward in rewards_of(job):
        if (reward.type == "judge") != (reward.judge is not None):
            found, allowed = (
                ("null", "a mapping") if reward.judge is None else ("a mapping", "null")
            )
            yield Problem((*path, "judge"), found, allowed, f"type is {reward.type}")


@twin(
    *_everywhere(
        Cel(
            at="",
            rule="!has(self.judge) || self.judge.template.contains('{response}')",
            message="found a text without the response, allowed one with a place for it, in braces",
            field="judge.template",
        ),
        Cel(
            at="",
            rule="!has(self.judge) || self.judge.lowest < self.judge.highest",
            message="found {self.judge.highest}, allowed more than lowest, {self.judge.lowest}",
            field="judge.highest",
        ),
    )
)
def judges_can_judge(job: RLJob) -> Iterator[Problem]:
    """`judge.template` contains {response}, and `judge.lowest` is below `judge.highest`."""
    for path, reward in rewards_of(job):
        judge = reward.judge
        if judge is None:
            continue
        if "{response}" not in judge.template:
            yield Problem(
                (*path, "judge", "template"),
                "a text without the response",
                "one with a place for it, in braces",
            )
        if judge.lowest >= judge.highest:
            allowed = f"more than lowest, {judge.lowest}"
            yield problem((*path, "judge", "highest"), judge.highest, allowed)


@twin(
    *_everywhere(
        Cel(
            at="",
            rule="!self.group || self.type.contains(':')",
            message="found true, allowed false (type is {self.type}; only your own function judges "
            "a whole group)",
            field="group",
            reason="FieldValueForbidden",
        )
    )
)
def own_functions_judge_groups(job: RLJob) -> Iterator[Problem]:
    """`reward.group` needs your own function as `reward.type`."""
    for path, reward in rewards_of(job):
        if reward.group and ":" not in reward.type:
            reason = f"type is {reward.type}; only your own function judges a whole group"
            yield problem((*path, "group"), True, "false", reason)


@twin(
    *_everywhere(
        Cel(
            at="",
            rule="(self.type == 'overlong') == has(self.bufferTokens)",
            message="found {has(self.bufferTokens) ? string(self.bufferTokens) : 'null'}, allowed "
            "{has(self.bufferTokens) ? 'null' : 'a whole number of at least 1'} (type is "
            "{self.type})",
            field="bufferTokens",
        )
    )
)
def overlong_has_a_buffer(job: RLJob) -> Iterator[Problem]:
    """`reward.bufferTokens` is given for the type overlong, and only for it."""
    for path, reward in rewards_of(job):
        tokens = reward.buffer_tokens
        if (reward.type == "overlong") != (tokens is not None):
            allowed = "a whole number of at least 1" if tokens is None else "null"
            yield problem((*path, "bufferTokens"), tokens, allowed, f"type is {reward.type}")


def _keyed(path: str, rule: str) -> Cel:
    return Cel(
        at="spec",
        rule=f"has(self.data.metadataKey) || has(self.data.source) || {rule}",
        message="found a key, allowed null (spec.data.metadataKey is null: prompts have no "
        "metadata)",
        field=path,
    )


@twin(
    _keyed(
        "rollout.reward.typeKey",
        "!has(self.rollout.reward) || !has(self.rollout.reward.typeKey)",
    ),
    _keyed("rollout.rewards", "self.rollout.rewards.all(r, !has(r.typeKey))"),
    _keyed("evaluation", "self.evaluation.all(e, !has(e.reward) || !has(e.reward.typeKey))"),
)
def types_are_in_the_metadata(job: RLJob) -> Iterator[Problem]:
    """`reward.typeKey` needs `data.metadataKey` or `data.source`."""
    if job.spec.data.metadata_key is not None or job.spec.data.source is not None:
        return
    for path, reward in rewards_of(job):
        if reward.type_key is not None:
            reason = "spec.data.metadataKey is null: prompts have no metadata"
            yield Problem((*path, "typeKey"), "a key", "null", reason)


@twin(
    Cel(
        at="spec.rollout",
        rule="!has(self.reward) || self.rewards.size() == 0",
        message="found a mapping, allowed null (spec.rollout.rewards is given; at most one of the "
        "two)",
        field="reward",
        reason="FieldValueForbidden",
    )
)
def one_reward_or_several(job: RLJob) -> Iterator[Problem]:
    """At most one of `rollout.reward` and `rollout.rewards` is given."""
    if job.spec.rollout.reward is not None and job.spec.rollout.rewards:
        yield problem(
            "spec.rollout.reward",
            job.spec.rollout.reward,
            "null",
            "spec.rollout.rewards is given; at most one of the two",
        )


def rewards_differ(job: RLJob) -> Iterator[Problem]:
    """Names of `rollout.rewards` are unique: metrics are named after them."""
    names = [reward.name for reward in job.spec.rollout.rewards]
    yield from repeated(("spec", "rollout", "rewards"), names, "name")


@twin(
    Cel(
        at="spec.rollout",
        rule="self.rewards.size() == 0 || self.rewards.exists(r, r.weight != 0.0)",
        message="found only rewards with weight 0, allowed at least one with another weight",
        field="rewards",
    )
)
def something_is_rewarded(job: RLJob) -> Iterator[Problem]:
    """One of `rollout.rewards` has a weight other than 0."""
    rewards = job.spec.rollout.rewards
    if rewards and not any(reward.weight for reward in rewards):
        yield Problem(
            ("spec", "rollout", "rewards"),
            "only rewards with weight 0",
            "at least one with another weight",
        )


RULES = (
    only_some_are_strict,
    servers_have_addresses,
    judges_are_described,
    judges_can_judge,
    own_functions_judge_groups,
    overlong_has_a_buffer,
    types_are_in_the_metadata,
    one_reward_or_several,
    rewards_differ,
    something_is_rewarded,
)
