"""SGLang without rljob's worker, asked by SGLang's own benchmark client."""

import argparse
import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sglang.benchmark import serving

from rljob.plan.environment import RoleEnvironment
from rljob_rollout.engine import free_port

KEY = "key-of-the-engine"
START_SECONDS = 300.0


@contextmanager
def bare_engine(run_dir: Path) -> Iterator[str]:
    """The engine of a job that has run, with the same arguments; its address.

    Its weights are random, which changes what it generates and not how fast.
    """
    port = free_port("127.0.0.1")
    environment = RoleEnvironment(
        role="rollout",
        replica=0,
        job_file=str(run_dir / "job.json"),
        run_dir=str(run_dir),
        buffer_url="redis://127.0.0.1:1/0",
        engine_api_key=KEY,
        metrics_port=0,
        router_port=0,
        host="127.0.0.1",
        rendezvous="127.0.0.1:1",
    )
    command = [sys.executable, "-m", "rljob_rollout.engine_server", str(port), str(os.getpid())]
    with (run_dir / "bare_engine.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment.to_env(), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, process)
            yield address
        finally:
            process.terminate()
            process.wait()


def seconds(address: str, prompts: Sequence[list[int]], tokens: int) -> float:
    """Wall time until every prompt has its response, all asked at once.

    Args:
        address: of the engine.
        prompts: one for each response.
        tokens: of each response.
    """
    os.environ["OPENAI_API_KEY"] = KEY  # the client's name for any key
    serving.set_global_args(
        argparse.Namespace(
            temperature=1.0,
            top_p=1.0,
            disable_ignore_eos=False,
            disable_stream=True,
            return_logprob=True,
            return_routed_experts=False,
            logprob_start_len=-1,
            top_logprobs_num=0,
            token_ids_logprob=None,
            cache_report=False,
            header=None,
        )
    )
    return asyncio.run(_all(address, prompts, tokens))


async def _all(address: str, prompts: Sequence[list[int]], tokens: int) -> float:
    def request(prompt: list[int]) -> Any:
        return serving.async_request_sglang_generate(
            serving.RequestFuncInput(
                prompt=prompt,  # type: ignore[arg-type]  # it takes token ids, too
                api_url=f"{address}/generate",
                prompt_len=len(prompt),
                output_len=tokens,
                model="",
                lora_name="",
                image_data=None,
                extra_request_body={},
            )
        )

    began = time.perf_counter()
    found = await asyncio.gather(*(request(prompt) for prompt in prompts))
    took = time.perf_counter() - began
    failed = [each.error for each in found if not each.success]
    if failed:
        raise SystemExit(f"{len(failed)} requests failed; the first: {failed[0]}")
    return took


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the engine did not start; see bare_engine.log in the run directory")
