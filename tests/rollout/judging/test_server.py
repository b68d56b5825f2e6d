"""Rewards that a server judges: a real one, over HTTP, with the faults that servers have."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from rljob.api.reward import NamedRewardSpec
from rljob.errors import UsageError
from rljob_rollout.judging.scorer import Judgement, Scorer, ScoringError
from tests.rollout.rewards.samples import sample
from tests.rollout.spec import spec_of

Answer = Callable[[Any], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """Answers each request with the next of `answers`, then always with the last."""

    answers: list[Answer]
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(body)

    async def start(self, port: int = 0) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/score"
        return runner


def text(body: str, status: int = 200) -> Answer:
    async def answer(_: Any) -> web.StreamResponse:
        return web.Response(text=body, status=status)

    return answer


def says(value: Any, status: int = 200) -> Answer:
    return text(json.dumps(value), status)


async def lengths(body: Any) -> web.StreamResponse:
    """Rewards a response by its length."""
    rewards = [{"reward": len(each["response"]), "by": "us"} for each in body["samples"]]
    return web.json_response({"rewards": rewards})


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server(list(answers))
    runner = await server.start()
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scoring(reward: dict[str, Any]) -> AsyncIterator[Scorer]:
    scorer = Scorer(spec_of(rollout__reward=reward))
    try:
        yield scorer
    finally:
        await scorer.close()


def score(*answers: Answer, **changes: Any) -> tuple[list[Judgement], Server]:
    """What a group of two gets from a server that answers like this."""

    async def run() -> tuple[list[Judgement], Server]:
        async with serving(*answers) as server:
            values = {"type": "remote", "url": server.url, "retries": 0, **changes}
            spec = NamedRewardSpec(name="remote", **values)
            document = spec.model_dump(by_alias=True, exclude={"name", "weight"})
            async with scoring(document) as scorer:
                samples = [sample("ab", "7"), sample("abc", "7", index=1)]
                return await scorer.score([spec], samples), server

    return asyncio.run(run())


def rewards(found: list[Judgement]) -> list[float]:
    return [each.reward for each in found]


def test_a_group_is_one_request() -> None:
    found, server = score(lengths)
    assert rewards(found) == [2.0, 3.0]
    assert found[0].metadata == {"by": "us"}
    assert server.requests == [
        {
            "samples": [
                {
                    "prompt": "4093>",
                    "response": response,
                    "label": "7",
                    "metadata": {"source": "train.jsonl:3"},
                    "status": "completed",
                    "index": index,
                }
                for index, response in enumerate(["ab", "abc"])
            ]
        }
    ]
    assert "Authorization" not in server.headers[0]


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    _, server = score(lengths, api_key_variable="JUDGE_KEY")
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_a_key_that_is_missing_is_told_at_the_start() -> None:
    reward = {"type": "remote", "url": "http://127.0.0.1:1", "apiKeyVariable": "JUDGE_KEY_MISSING"}
    with pytest.raises(UsageError) as raised:
        Scorer(spec_of(rollout__reward=reward))
    assert str(raised.value).startswith(
        "spec.rollout.reward.apiKeyVariable: found 'JUDGE_KEY_MISSING', but the rollout's "
    )


@pytest.mark.parametrize(
    "fault", [text("out of order", 500), text("", 503), says({}, 429)], ids=["500", "503", "429"]
)
def test_samples_wait_until_the_server_is_back(fault: Answer) -> None:
    found, server = score(fault, fault, lengths)
    assert rewards(found) == [2.0, 3.0]
    assert len(server.requests) == 3


def test_an_outage_is_told_while_it_lasts_and_then_forgotten() -> None:
    async def run() -> None:
        async with serving(lengths) as server:
            url = server.url
            port = int(url.split(":")[2].split("/")[0])
        # Nobody listens there now.
        reward = {"type": "remote", "url": url}
        async with scoring(reward) as scorer:
            assert scorer.outages == []
            spec = NamedRewardSpec(name="remote", **reward)
            tasks = [asyncio.create_task(scorer.score([spec], [sample("ab")])) for _ in range(5)]
            async with asyncio.timeout(30):
                while not scorer.outages:
                    await asyncio.sleep(0.01)  # only asks again; nothing depends on how long
            (outage,) = scorer.outages
            assert outage.startswith(f"{url}: no answer for 0 s (")
            back = Server([lengths])
            runner = await back.start(port)
            assert [rewards(found) for found in await asyncio.gather(*tasks)] == [[2.0]] * 5
            assert scorer.outages == []
            await runner.cleanup()

    asyncio.run(run())


def test_an_address_that_changes_while_the_worker_runs_is_asked() -> None:
    """The trainer sends it with each group."""

    async def run() -> list[Judgement]:
        async with serving(lengths) as server, scoring({"type": "exact"}) as scorer:
            spec = NamedRewardSpec(name="remote", type="remote", url=server.url)
            return await scorer.score([spec], [sample("ab")])

    assert rewards(asyncio.run(run())) == [2.0]


def test_only_one_sample_tries_a_server_that_is_out_of_order() -> None:
    async def run() -> None:
        async with serving(text("", 500)) as server:
            reward = {"type": "remote", "url": server.url, "outageSeconds": 2, "retries": 0}
            async with scoring(reward) as scorer:
                spec = NamedRewardSpec(name="remote", **reward)
                group = [sample("ab")]
                await asyncio.gather(
                    *(scorer.score([spec], group) for _ in range(50)), return_exceptions=True
                )
                # All 50 at first, then one after 0.5 s, one after another second.
                assert 50 < len(server.requests) < 60

    asyncio.run(run())


def test_after_the_outage_has_lasted_too_long_judging_has_failed() -> None:
    with pytest.raises(ScoringError, match=r"has not answered for 0.4 s \(outageSeconds\): status"):
        score(text("", 500), outage_seconds=0.4)
    found, _ = score(text("", 500), outage_seconds=0.4, failure_reward=-1.0)
    assert rewards(found) == [-1.0, -1.0]


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "the API key is refused"), (403, "access is refused"), (404, "there is no such")],
)
def test_a_wrong_address_or_key_ends_the_job(status: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        score(text("no", status), failure_reward=0.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (text("what?", 422), "answered with status 422: 'what?'"),
        (text("<html>"), "answered '<html>'; allowed: JSON"),
        (says([1.0]), r"""answered [1.0]; allowed: {"rewards": [2 rewards]}"""),
        (says({"rewards": [1.0]}), "returned [1.0], 1 items; allowed: a list of 2 rewards"),
        (says({"rewards": [1.0, "2"]}), "returned '2'; allowed: a finite number"),
        (says({"rewards": [1.0, None]}), "returned None; allowed: a finite number"),
    ],
)
def test_an_answer_that_is_no_reward_fails_the_sample(answer: Answer, said: str) -> None:
    with pytest.raises(ScoringError) as raised:
        score(answer)
    assert said in str(raised.value)


def test_only_what_failed_is_asked_again() -> None:
    found, server = score(says({"rewards": [1.0, None]}), says({"rewards": [0.5]}), retries=1)
    assert rewards(found) == [1.0, 0.5]
    assert [len(each["samples"]) for each in server.requests] == [2, 1]


def completion(content: Any) -> Answer:
    return says({"choices": [{"message": {"role": "assistant", "content": content}}]})


JUDGE = {"model": "big", "template": "Q {prompt} A {response} R {label} {other}"}


def judged(*answers: Answer, **changes: Any) -> tuple[list[Judgement], Server]:
    judge = {**JUDGE, **changes.pop("judge", {})}
    return score(*answers, type="judge", judge=judge, **changes)


def test_a_language_model_judges_each_sample() -> None:
    found, server = judged(completion("It is right.\n**Score: 0.75**"))
    assert rewards(found) == [0.75, 0.75]
    assert found[0].metadata == {"score": 0.75, "judge": "It is right.\n**Score: 0.75**"}
    contents = sorted(each["messages"][0]["content"] for each in server.requests)
    assert contents == ["Q 4093> A ab R 7 {other}", "Q 4093> A abc R 7 {other}"]
    assert server.requests[0]["model"] == "big"
    assert server.requests[0]["temperature"] == 0.0


def test_what_a_response_says_in_braces_is_not_filled_in() -> None:
    async def run() -> list[Any]:
        async with serving(completion("score: 1")) as server:
            reward = {"type": "judge", "url": server.url, "judge": JUDGE}
            async with scoring(reward) as scorer:
                spec = NamedRewardSpec(name="judge", **reward)
                await scorer.score([spec], [sample("{label}", {"a": 1})])
                return server.requests

    (request,) = asyncio.run(run())
    assert request["messages"][0]["content"] == 'Q 4093> A {label} R {"a": 1} {other}'


@pytest.mark.parametrize(
    ("content", "reward"),
    [("Score: 5", 0.0), ("score = 10", 1.0), ("A score of 3? No.\nScore: 7.5", 0.5)],
)
def test_scores_are_scaled(content: str, reward: float) -> None:
    found, _ = judged(completion(content), judge={"lowest": 5, "highest": 10})
    assert rewards(found) == [reward, reward]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (completion("No idea."), "the judge answered 'No idea.'; allowed: a text with"),
        (completion(None), "the judge answered None; allowed: a text with"),
        (completion("Score: 3"), 'the judge gave the score 3; allowed: "Score: N" with N from 0'),
        (says({"error": "x"}), "answered {'error': 'x'}; allowed: a chat completion"),
    ],
)
def test_an_answer_without_a_score_fails_the_sample(answer: Answer, said: str) -> None:
    with pytest.raises(ScoringError) as raised:
        judged(answer)
    assert said in str(raised.value)
