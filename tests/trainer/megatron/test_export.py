"""`rljob export`: a stopped run's checkpoint as a model that transformers reads."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rljob_trainer.checkpoints.checkpoint import POLICY, Checkpoints, pack
from rljob_trainer.megatron.parallel import initialize
from tests.support.disk import DISK_BYTES
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import Ranks, alone
from tests.trainer.models.tiny import make_checkpoint

LAYOUTS: dict[str, dict[str, Any]] = {
    "one": {},
    "tensor": {"gpusPerReplica": 2, "parallelism": {"tensor": 2}},
}


def trained(job: Any, run_dir: Path) -> dict[str, torch.Tensor]:
    """Two steps with a checkpoint after each; the weights that the second has left."""
    policy = Policy(job, initialize(job), Path(job.spec.model.checkpoint))
    checkpoints = Checkpoints(run_dir / "checkpoints", keep_last=2)
    first = torch.distributed.get_rank() == 0
    for rollout in (1, 2):
        policy.step(make_trajectories(seed=rollout))
        partial = run_dir / "checkpoints" / f"step-{rollout:06d}.partial"
        if first:
            assert checkpoints.begin(rollout, [POLICY]) == partial
        torch.distributed.barrier()
        policy.capture(partial / POLICY)()
        torch.distributed.barrier()
        if first:
            checkpoints.commit(partial, pack({}))
    return {name: tensor.clone() for name, tensor in policy.export()}


def stopped_run(tmp_path: Path, dtype: str = "float32", **trainer: Any) -> tuple[Any, Path]:
    # 33 tokens: their padding to the parallel size must not get into the model.
    checkpoint = make_checkpoint(tmp_path / "base", vocab_size=33)
    job = make_job(
        checkpoint,
        model={"checkpoint": str(checkpoint), "dtype": dtype},
        trainer={"optimizer": {"lr": 1e-2}, **trainer},
    )
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "job.json").write_text(job.model_dump_json(by_alias=True))
    return job, run_dir


def rljob_export(run_dir: Path, *options: object) -> tuple[int, str]:
    command = [sys.executable, "-m", "rljob.cli.main", "export", str(run_dir), *map(str, options)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, (ended.stdout + ended.stderr).strip()


@pytest.mark.parametrize(
    ("layout", "dtype"), [("one", "float32"), ("one", "bfloat16"), ("tensor", "float32")]
)
def test_the_model_has_the_weights_of_the_policy(
    layout: str, dtype: str, tmp_path: Path, two_ranks: Ranks
) -> None:
    job, run_dir = stopped_run(tmp_path, dtype, **LAYOUTS[layout])
    if layout == "one":
        expected = alone(trained, job, run_dir)
    else:
        expected, _ = two_ranks.run(trained, job, run_dir)
    where = run_dir / "exports" / "step-000002"
    assert rljob_export(run_dir) == (0, str(where))
    written = load_file(where / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {getattr(torch, dtype)}
    found = AutoModelForCausalLM.from_pretrained(where, dtype=getattr(torch, dtype)).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_what_is_asked_for_is_exported_or_refused_by_name(tmp_path: Path) -> None:
    job, run_dir = stopped_run(tmp_path)
    assert rljob_export(run_dir) == (
        64,
        f"{run_dir / 'checkpoints'}: found no checkpoint, allowed a run that has saved one",
    )
    latest = alone(trained, job, run_dir)
    assert rljob_export(run_dir, "--checkpoint", "step-000003") == (
        64,
        "--checkpoint: found step-000003, allowed step-000001, step-000002",
    )
    out = tmp_path / "out"
    out.mkdir()
    assert rljob_export(run_dir, "--checkpoint", "step-000001", "--out", out) == (0, str(out))
    older = AutoModelForCausalLM.from_pretrained(out).state_dict()
    assert not torch.equal(older["lm_head.weight"], latest["lm_head.weight"])
    assert rljob_export(run_dir, "--out", out) == (
        64,
        f"--out: {out} is there already, allowed an empty or a new directory",
    )
    # A damaged one is passed over, and left where it is for the run to find.
    (run_dir / "checkpoints" / "step-000002" / "state.msgpack").write_bytes(b"other")
    shutil.rmtree(out)
    assert rljob_export(run_dir, "--out", out) == (0, str(out))
    assert torch.equal(
        AutoModelForCausalLM.from_pretrained(out).state_dict()["lm_head.weight"],
        older["lm_head.weight"],
    )
    assert rljob_export(run_dir, "--checkpoint", "step-000002", "--out", tmp_path / "no")[0] == 64
    assert (run_dir / "checkpoints" / "step-000002").is_dir()


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, small_disk: Path) -> None:
    job, run_dir = stopped_run(tmp_path)
    alone(trained, job, run_dir)
    (small_disk / "fill").write_bytes(bytes(DISK_BYTES - 32768))
    code, said = rljob_export(run_dir, "--out", small_disk / "out")
    assert (code, len(said.splitlines())) == (64, 1)
    assert said.startswith(f"{small_disk}/out: no space left on its disk; free some")
