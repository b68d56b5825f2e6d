"""The trainer's process when it stays after the run's end, as in a pod."""

import json
import os
import subprocess
import sys
from pathlib import Path

from rljob.api import RLJob
from rljob.plan.environment import RoleEnvironment
from tests.support.valkey import ValkeyServer, free_port
from tests.support.waiting import wait_for

_SECONDS = 90  # to begin, on a machine that does much else
SUMMARY = {
    "state": "succeeded",
    "rollouts": 1,
    "reward_last5": 1.0,
    "weight_versions": 2,
    "staleness_max": 0,
}


def test_told_to_stop_it_leaves_a_server_of_the_users_without_keys(tmp_path: Path) -> None:
    """A finished run needs neither a model nor an engine."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "summary.json").write_text(json.dumps(SUMMARY))
    with ValkeyServer(tmp_path / "server") as server, server.client() as client:
        job = RLJob.model_validate(
            {
                "apiVersion": "rljob.dev/v1alpha1",
                "kind": "RLJob",
                "metadata": {"name": "finished"},
                "spec": {
                    "model": {"checkpoint": "/nowhere"},
                    "data": {"prompts": ["/nowhere.jsonl"]},
                    "schedule": {"rollouts": 1},
                    "buffer": {"external": {"url": server.url}},
                },
            }
        )
        (run_dir / "job.json").write_text(job.model_dump_json(by_alias=True))
        environment = RoleEnvironment(
            role="trainer",
            replica=0,
            job_file=str(run_dir / "job.json"),
            run_dir=str(run_dir),
            buffer_url=server.url,
            engine_api_key="key",
            metrics_port=0,
            router_port=1,
            host="127.0.0.1",
            rendezvous=f"127.0.0.1:{free_port()}",
            linger=True,
        )
        with (tmp_path / "log").open("wb") as output:
            trainer = subprocess.Popen(
                [sys.executable, "-m", "rljob_trainer"],
                env={**os.environ, **environment.to_env(), "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
            )
        try:
            state = f"{{{job.key}}}:state"
            wait_for(
                lambda: client.hget(state, "phase") == b"finished", "it says so", seconds=_SECONDS
            )
            trainer.terminate()
            assert trainer.wait(_SECONDS) == 0, (tmp_path / "log").read_text()
        finally:
            trainer.kill()
        assert client.keys() == []
