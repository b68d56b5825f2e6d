"""Whose run a run directory holds, and which job may go on with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from rljob.api import RLJob
from rljob.errors import UsageError
from rljob.ledger.event import Admit
from rljob.ledger.line import encode
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.incident import read_incidents
from rljob_trainer.files.run_owner import take

FIRST, SECOND = "uid-1", "uid-2"


class Volume:
    """A run directory, which jobs of a cluster take one after another."""

    def __init__(self, directory: Path) -> None:
        self.run_dir = directory / "run"
        self.run_dir.mkdir()
        self._job_file = directory / "job.json"

    def take(
        self, uid: str | None, *, chosen: bool = False, name: str = "math", **spec: Any
    ) -> str:
        job = RLJob.model_validate(
            {
                "apiVersion": "rljob.dev/v1alpha1",
                "kind": "RLJob",
                "metadata": {"name": name, "namespace": "team"},
                "spec": {
                    "model": {"checkpoint": "/model"},
                    "data": {"prompts": ["/train.jsonl"]},
                    "schedule": {"rollouts": 10},
                    **spec,
                },
            }
        )
        self._job_file.write_text(job.model_dump_json(by_alias=True))
        environment = RoleEnvironment(
            role="trainer",
            replica=0,
            job_file=str(self._job_file),
            run_dir=str(self.run_dir),
            buffer_url="redis://127.0.0.1:1/0",
            engine_api_key="key",
            metrics_port=0,
            router_port=1,
            host="127.0.0.1",
            rendezvous="127.0.0.1:1",
            job_uid=uid,
            claim_chosen=chosen,
        )
        return take(environment, job)

    def begin(self) -> None:
        """A group was admitted."""
        record = encode(Admit(group=1, epoch=0, index=0, version=0))
        (self.run_dir / "ledger.jsonl").write_text(json.dumps(record) + "\n")

    def finish(self) -> None:
        summary = {"state": "succeeded", "rollouts": 10}
        (self.run_dir / "summary.json").write_text(json.dumps(summary))

    @property
    def seed(self) -> int:
        """Of the job that the command line finds here."""
        text = (self.run_dir / "job.json").read_bytes()
        return RLJob.model_validate_json(text).spec.seed


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_the_job_itself_may_come_back_and_its_changes_are_kept(volume: Volume) -> None:
    assert volume.take(FIRST, seed=1) == ""
    volume.begin()
    volume.finish()
    assert volume.take(FIRST, seed=1, schedule={"rollouts": 20}) == ""
    assert volume.seed == 1


def test_a_run_that_has_decided_nothing_belongs_to_nobody(volume: Volume) -> None:
    volume.take(FIRST, seed=1)
    assert volume.take(SECOND, seed=2) == ""
    assert volume.seed == 2


def test_a_new_job_of_the_same_name_does_not_take_the_old_ones_run(volume: Volume) -> None:
    volume.take(FIRST)
    volume.begin()
    with pytest.raises(UsageError, match=r"run of job team/math \(uid uid-1\).*claimName"):
        volume.take(SECOND)


def test_a_claim_that_was_chosen_goes_on_and_that_is_told(volume: Volume) -> None:
    volume.take(FIRST)
    volume.begin()
    told = volume.take(SECOND, chosen=True, name="other", schedule={"rollouts": 20})
    assert told == (
        "the volume of storage.run.claimName holds the run of job team/math (uid uid-1); it goes on"
    )
    assert [each.message for each in read_incidents(volume.run_dir)] == [told]
    assert volume.take(SECOND, chosen=True, name="other", schedule={"rollouts": 20}) == ""


def test_a_chosen_run_that_another_job_made_must_fit(volume: Volume) -> None:
    volume.take(FIRST, seed=1)
    volume.begin()
    with pytest.raises(UsageError, match=r"spec\.seed: the run has 1, found 2"):
        volume.take(SECOND, chosen=True, seed=2)
    assert volume.seed == 1


def test_an_old_summary_is_no_success_of_a_new_job(volume: Volume) -> None:
    volume.take(FIRST)
    volume.begin()
    volume.finish()
    with pytest.raises(UsageError, match=r"has finished; raise schedule\.rollouts"):
        volume.take(SECOND, chosen=True)
    assert "it goes on" in volume.take(SECOND, chosen=True, schedule={"rollouts": 20})


def test_a_laptops_run_may_go_on_in_a_cluster(volume: Volume) -> None:
    volume.take(FIRST)
    (volume.run_dir / "owner.json").unlink()
    volume.begin()
    with pytest.raises(UsageError, match=r"holds a run\. .*claimName"):
        volume.take(SECOND)
    assert "holds a run; it goes on" in volume.take(SECOND, chosen=True)


def test_without_a_cluster_the_command_line_looks_after_it(volume: Volume) -> None:
    assert volume.take(None) == ""
    assert list(volume.run_dir.iterdir()) == []
