"""The fixed sequence against a real engine: right weights agree, a wrong mapping does not."""

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rljob.api import RLJob
from rljob.api.algorithm import MismatchSpec
from rljob.buffer.records import Engine
from rljob_trainer.telemetry.mismatch import DivergedError, check_probe, mismatch_bound
from rljob_trainer.weights.probe import Probe, ProbeAnswer, probe_tokens
from tests.support.engine import API_KEY, RunningEngine
from tests.support.job import manifest

pytestmark = pytest.mark.engine

BOUND = mismatch_bound(MismatchSpec(), torch.float32)
LAYER = "model.layers.1.self_attn."


def tokens(engine: RunningEngine) -> torch.Tensor:
    spec = RLJob.model_validate(manifest(engine.task, data__maxPromptTokens=60)).spec
    return probe_tokens(spec, 17)


def asked(engine: RunningEngine, sequence: torch.Tensor) -> list[ProbeAnswer]:
    engines = [Engine("rollout-0/a", "rollout-0", engine.url)]
    return asyncio.run(Probe(sequence, API_KEY).ask(engines))


def expected(engine: RunningEngine, sequence: torch.Tensor) -> torch.Tensor:
    """By transformers."""
    model = AutoModelForCausalLM.from_pretrained(engine.task / "model", dtype=torch.float32)
    with torch.no_grad():
        logits = model(sequence[None]).logits[0, :-1]
    return logits.log_softmax(-1).gather(1, sequence[1:, None])[:, 0]


def load(engine: RunningEngine, directory: Path, changed: dict[str, str]) -> None:
    """The model with some tensors under the names of others."""
    shutil.copytree(engine.task / "model", directory)
    weights = load_file(directory / "model.safetensors")
    wrong = {name: weights[changed.get(name, name)].clone() for name in weights}
    save_file(wrong, directory / "model.safetensors", {"format": "pt"})
    body = {"model_path": str(directory), "load_format": "safetensors", "weight_version": "0"}
    engine.control("/update_weights_from_disk", body)


def test_the_sequence_fits_what_the_engine_has_room_for(engine: RunningEngine) -> None:
    spec = RLJob.model_validate(manifest(engine.task, data__maxPromptTokens=8)).spec
    assert len(probe_tokens(spec, 17)) == 8 + 4  # maxPromptTokens and maxResponseTokens
    assert len(tokens(engine)) == 64
    assert int(tokens(engine).max()) < 17


def test_right_weights_agree(engine: RunningEngine) -> None:
    sequence = tokens(engine)
    answers = asked(engine, sequence)
    report = check_probe(answers, expected(engine, sequence), 0, BOUND)
    assert report["mismatch/probe_mean"] < 1e-4
    assert report["mismatch/probe_tokens"] == 63


@pytest.mark.parametrize(
    "changed",
    [
        {f"{LAYER}k_proj.weight": f"{LAYER}v_proj.weight"},
        {f"{LAYER}q_proj.weight": f"{LAYER}k_proj.weight"},
        {"lm_head.weight": "model.embed_tokens.weight"},
    ],
    ids=["keys are values", "queries are keys", "head is embedding"],
)
def test_a_wrong_mapping_stops_the_job(
    engine: RunningEngine, tmp_path: Path, changed: dict[str, str]
) -> None:
    sequence = tokens(engine)
    load(engine, tmp_path / "wrong", changed)
    with pytest.raises(DivergedError, match="do not hold the same model"):
        check_probe(asked(engine, sequence), expected(engine, sequence), 0, BOUND)


class Aborted(BaseHTTPRequestHandler):
    """A stand-in for an engine that was told to abort all just when it began with the sequence.

    It answers as SGLang did in real pods, where nobody can choose that moment.
    """

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        meta = {"input_token_logprobs": [], "weight_version": "0"}
        body = json.dumps({"meta_info": meta | {"finish_reason": {"type": "abort"}}}).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_an_answer_that_was_aborted_is_left_out() -> None:
    """As by a worker that stops with `rollout.partial`: it aborts all that its engine does."""
    with HTTPServer(("127.0.0.1", 0), Aborted) as server, ThreadPoolExecutor() as executor:
        served = executor.submit(server.handle_request)
        engine = Engine("rollout-0/a", "rollout-0", f"http://127.0.0.1:{server.server_port}")
        assert asyncio.run(Probe(torch.arange(64), API_KEY).ask([engine])) == []
        served.result()


def test_an_engine_that_does_not_answer_is_left_out(engine: RunningEngine) -> None:
    engines = [Engine("gone/a", "gone", "http://127.0.0.1:1")]
    assert asyncio.run(Probe(tokens(engine), API_KEY).ask(engines)) == []
