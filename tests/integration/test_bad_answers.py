"""Bad answers, bad lines and a reward server that is away: the run ends, and each is told."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from transformers import AutoTokenizer

from rljob.telemetry.incident import read_incidents
from tests.support.job import Run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# The hub's math, of an answer that the data brings: a model of this size writes none of these.
REWARD = """
import dataclasses

from rljob_rollout.rewards.math import math


def judge(sample):
    answer = sample.metadata.get("answer", sample.response)
    return math(dataclasses.replace(sample, response=answer, plain_response=answer))
"""
TOWER = r"\boxed{9^{9^{9}}}"  # sympy evaluates it in one call of C
NESTED = "$" + "(" * 3000 + "1" + ")" * 3000 + "$"
PARTS = [{"role": "user", "content": [{"type": "text", "text": "70>"}]}]
# By line, from 0.
ODD: dict[int, dict[str, Any]] = {5: {"prompt": PARTS}, 9: {"label": r"\text{}"}}
HELD_OUT: list[dict[str, Any]] = [
    {"prompt": "1>", "label": "7", "metadata": {"answer": TOWER}},
    {"prompt": "2>", "label": "7", "metadata": {"answer": NESTED}},
    {"prompt": "3>", "label": "7", "metadata": {"answer": r"\boxed{7}"}},
]


@pytest.fixture
def chat(task: Path, tmp_path: Path) -> Path:
    """The model with a chat template, and the lines."""
    model = tmp_path / "chat"
    shutil.copytree(task / "model", model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(model)
    lines = [{"prompt": f"{n}>", "label": str(n)} | ODD.get(n, {}) for n in range(40)]
    for name, written in (("train", lines), ("held_out", HELD_OUT)):
        (model / f"{name}.jsonl").write_text("".join(json.dumps(n) + "\n" for n in written))
    (model / "judging.py").write_text(REWARD)
    return model


@contextmanager
def reward_server(is_back: Callable[[], bool]) -> Iterator[str]:
    """The address of a server that rewards lengths, and is out of order until `is_back`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rewards = [len(sample["response"]) for sample in body["samples"]]
            self.send_response(200 if is_back() else 503)
            self.end_headers()
            self.wfile.write(json.dumps({"rewards": rewards}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/score"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_run_ends_and_each_is_counted_with_its_reason(
    chat: Path, tmp_path: Path, new_run: Callable[..., Run]
) -> None:
    def is_told() -> bool:
        found = read_incidents(tmp_path / "odd")
        return any(incident.event == "reward.unavailable" for incident in found)

    with reward_server(is_told) as url:
        run = odd_run(chat, url, new_run)
        assert run.run() == 0, run.text()
    assert "the run has ended" in run.audit()
    # Line 9 is dropped, and line 16 takes its place.
    used = [index for _, _, index in run.consumed()]
    assert used == [n for n in range(17) if n != 9]
    (drop,) = [event for event in run.events("drop") if event["reason"] != "the run has ended"]
    assert drop["reason"].startswith(f"{chat / 'train.jsonl'}:10: ")
    assert "allowed: a mathematical expression" in drop["reason"]
    # The tower is given up at its time limit; the parentheses may be, too.
    first, *_ = run.records("evaluations")
    assert [sample["reward"] for sample in first["samples"]] == [0, 0, 1]
    told = [(incident.event, incident.message) for incident in read_incidents(run.directory)]
    (dropped,) = [message for event, message in told if event == "group.dropped"]
    assert "1 group was dropped; the first: " in dropped
    unjudged = [message for event, message in told if event == "reward.failed"]
    assert len(unjudged) == 2  # before the first batch and after the last
    for message in unjudged:
        assert re.search(r"evaluation odd: (1 sample was|2 samples were) not judged", message)
        assert "took more than 3 s (timeoutSeconds)" in message
    outages = [(event, message) for event, message in told if "wait to be judged" in message]
    assert [event for event, _ in outages] == ["reward.unavailable"]
    assert re.search(rf"{url}: no answer for \d+ s \(status 503", outages[0][1])
    assert ("reward.back", "the reward server answers again") in told
    assert all(record["rewards/served"] > 0 for record in run.records("metrics"))
    assert all(message in run.text() for _, message in told)


def odd_run(chat: Path, url: str, new_run: Callable[..., Run]) -> Run:
    return new_run(
        "odd",
        model={"checkpoint": str(chat)},
        data={
            "prompts": [str(chat / "train.jsonl")],
            "metadataKey": "metadata",
            "maxPromptTokens": 8,
            "applyChatTemplate": True,
            "shuffle": False,
        },
        schedule__rollouts=2,
        rollout__reward=None,
        rollout__rewards=[
            {"name": "right", "type": "math"},
            {"name": "served", "type": "remote", "url": url, "weight": 0.01},
        ],
        evaluation=[
            {
                "name": "odd",
                "prompts": str(chat / "held_out.jsonl"),
                "reward": {
                    "type": "judging:judge",
                    "timeoutSeconds": 3,
                    "retries": 0,
                    "failureReward": 0,
                },
            }
        ],
        code={"directory": str(chat)},
    )
