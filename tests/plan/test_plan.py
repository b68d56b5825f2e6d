"""The plan is a pure function: the same job and placement give the same roles."""

from pathlib import Path

from torchx.specs import macros

from rljob.api import RLJob
from rljob.plan.environment import RoleEnvironment
from rljob.plan.placement import LocalPlacement, Secrets
from rljob.plan.plan import plan
from rljob.plan.resolve import resolve, run_directory
from tests.support.run_dir import job

PLACEMENT = LocalPlacement(
    run_dir="/runs/sort",
    job_file="/runs/sort/job.json",
    reasons_dir="/runs/sort/logs/1",
    host="127.0.0.1",
    buffer_port=1001,
    metrics_port=1002,
    router_port=1003,
    rendezvous_port=1004,
    secrets=Secrets("pa$$word", "api", "admin"),
    python="/usr/bin/python",
    python_path="/inherited",
    gpus=False,
    threads=2,
    supervisor=77,
)


def with_gpus(placement: LocalPlacement) -> LocalPlacement:
    return LocalPlacement(**{**vars(placement), "gpus": True})


def changed(**spec: object) -> RLJob:
    values = job().model_dump(by_alias=True)
    for path, value in spec.items():
        part = values["spec"]
        *names, last = path.split("__")
        for name in names:
            part = part[name]
        part[last] = value
    return RLJob.model_validate(values)


def test_the_whole_plan_of_a_local_job():
    app = plan(resolve(job(), Path("/jobs"), Path("/runs/sort")), PLACEMENT)
    assert app.name == "sort-digits"
    assert [(r.name, r.entrypoint, r.args, r.num_replicas) for r in app.roles] == [
        ("buffer", "/usr/bin/python", ["-m", "rljob.buffer"], 1),
        ("trainer", "/usr/bin/python", ["-m", "rljob_trainer"], 1),
        ("rollout", "/usr/bin/python", ["-m", "rljob_rollout"], 1),
        ("router", "/usr/bin/python", ["-m", "rljob_rollout.router"], 1),
    ]
    assert app.roles[1].env == {
        "RLJOB_ROLE": "trainer",
        "RLJOB_REPLICA": "${replica_id}",
        "RLJOB_JOB_FILE": "/runs/sort/job.json",
        "RLJOB_RUN_DIR": "/runs/sort",
        "RLJOB_BUFFER_URL": "redis://127.0.0.1:1001/0",
        "RLJOB_BUFFER_PASSWORD": "pa$$$$word",
        "RLJOB_ENGINE_API_KEY": "api",
        "RLJOB_ENGINE_ADMIN_KEY": "admin",
        "RLJOB_METRICS_PORT": "1002",
        "RLJOB_ROUTER_PORT": "1003",
        "RLJOB_HOST": "127.0.0.1",
        "RLJOB_RENDEZVOUS": "127.0.0.1:1004",
        "RLJOB_TERMINATION_FILE": "/runs/sort/logs/1/trainer-${replica_id}",
        "RLJOB_SUPERVISOR": "77",
        "PYTHONPATH": "/jobs:/inherited",
        "OMP_NUM_THREADS": "2",
    }
    # Two roles of one machine must not want the same port.
    assert [role.env["RLJOB_METRICS_PORT"] for role in app.roles] == ["0", "1002", "0", "0"]
    assert all(role.resource.gpu == 0 for role in app.roles)


def test_a_replica_reads_what_was_planned_for_it():
    role = plan(job(), PLACEMENT).roles[2]
    filled = macros.Values(img_root="", app_id="", replica_id="3", rank0_env="").apply(role)
    environment = RoleEnvironment.from_env(filled.env)
    assert environment.role == "rollout"
    assert environment.replica == 3
    assert environment.buffer_password == "pa$$word"
    assert environment.termination_file == "/runs/sort/logs/1/rollout-3"


def test_gpus_are_asked_for_where_there_are_gpus():
    wanted = changed(trainer__gpusPerReplica=4, rollout__replicas=3, rollout__gpusPerReplica=2)
    roles = {role.name: role for role in plan(wanted, with_gpus(PLACEMENT)).roles}
    gpus = {name: (role.num_replicas, role.resource.gpu) for name, role in roles.items()}
    assert gpus == {"buffer": (1, 0), "trainer": (1, 4), "rollout": (3, 2), "router": (1, 0)}


def test_an_external_buffer_and_no_router_leave_two_roles():
    wanted = changed(
        buffer__external={"url": "redis://other:6380/2"}, rollout__router={"enabled": False}
    )
    roles = plan(wanted, PLACEMENT).roles
    assert [role.name for role in roles] == ["trainer", "rollout"]
    assert roles[0].env["RLJOB_BUFFER_URL"] == "redis://other:6380/2"


def test_no_secret_on_a_command_line_nor_in_the_plan_as_text():
    for role in plan(job(), PLACEMENT).roles:
        assert not {"pa$$word", "api", "admin"} & {role.entrypoint, *role.args}
    assert "admin" not in repr(PLACEMENT)


def test_paths_start_at_the_manifest():
    wanted = changed(
        model__reference="../reference",
        data__prompts=["a.jsonl", "/absolute/b.jsonl"],
        code__directory="hooks",
    )
    spec = resolve(wanted, Path("/jobs/sort"), Path("/runs/sort")).spec
    assert spec.model.checkpoint == "/jobs/sort/build/model"
    assert spec.model.reference == "/jobs/reference"
    assert spec.data.prompts == ["/jobs/sort/a.jsonl", "/absolute/b.jsonl"]
    assert spec.evaluation[0].prompts == "/jobs/sort/build/held_out.jsonl"
    assert spec.code.directory == "/jobs/sort/hooks"
    assert spec.storage.run.directory == "/runs/sort"


def test_without_a_code_directory_the_manifests_own_is_meant(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = resolve(job(), Path(), Path("/runs/sort")).spec
    assert spec.code.directory == str(tmp_path)


def test_the_run_directory_starts_at_the_working_directory():
    here = Path("/home/me")
    assert run_directory(job(), None, here) == Path("/home/me/runs/sort-digits")
    assert run_directory(job(), Path("../other"), here) == Path("/home/other")
    named = changed(storage__run={"directory": "kept/here"})
    assert run_directory(named, None, here) == Path("/home/me/kept/here")
    assert run_directory(named, Path("/elsewhere"), here) == Path("/elsewhere")


def test_without_generation_there_is_only_the_trainer():
    sft = changed(algorithm__estimator="sft")
    app = plan(resolve(sft, Path("/jobs"), Path("/runs/sort")), PLACEMENT)
    assert [role.name for role in app.roles] == ["trainer"]
