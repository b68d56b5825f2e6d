"""Reading files and texts of any kind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rljob.api import RLJob
from rljob.api.fields import parse
from rljob.api.load import load, load_job, loads
from rljob.api.problem import Problem, show
from rljob.api.rules import check
from rljob.api.support import LIMITS, unsupported
from rljob.api.vocabulary import part_of, root
from rljob.errors import UsageError

GOOD = """\
apiVersion: rljob.dev/v1alpha1
kind: RLJob
metadata: {name: math}
spec:
  model: {checkpoint: /models/Qwen3-4B}
  data: {prompts: [/data/train.jsonl]}
  schedule: {rollouts: 300}
"""
HERE = Path("job.yaml")


def messages(text: str) -> list[str]:
    return [str(problem) for problem in loads(text, HERE)[1]]


def test_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert [str(problem) for problem in load(file)[1]] == [
        f"{file}: cannot be read: No such file or directory"
    ]


def test_directory(tmp_path: Path) -> None:
    assert [str(p) for p in load(tmp_path)[1]] == [f"{tmp_path}: cannot be read: Is a directory"]


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(b"kind: \xff\xfe")
    assert [str(problem) for problem in load(file)[1]] == [
        f"{file}: found a byte that is not UTF-8 at offset 6, allowed UTF-8 text"
    ]


def test_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_job(file).key == "default/math"


def test_control_character() -> None:
    assert messages("kind: RLJob\nmetadata: \x07\n") == ["job.yaml:2:11: found a control character"]


def test_load_job_wants_one(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(GOOD + "---\n" + GOOD.replace("math", "code"))
    with pytest.raises(UsageError, match=f"^{file}: found 2 RLJobs, allowed 1$"):
        load_job(file)


def test_a_good_document_beside_a_bad_one() -> None:
    jobs, problems = loads(GOOD + "---\n" + GOOD.replace("300", "-1"), HERE)
    assert [job.key for job in jobs] == ["default/math"]
    assert [problem.field for problem in problems] == ["spec.schedule.rollouts"]


def test_documents_before_a_syntax_error_are_checked() -> None:
    assert messages(GOOD.replace("300", "-1") + "---\n}") == [
        "job.yaml:7:14: spec.schedule.rollouts: found -1, allowed a whole number of at least 0",
        "job.yaml:9:1: not YAML: expected the node content, but found '}'",
    ]


def test_aliases_that_explode() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    assert messages(bomb) == ["job.yaml:1:1: more than 100000 values, with aliases expanded"]


def test_nested_too_deeply() -> None:
    assert messages("[" * 100 + "]" * 100) == [
        "job.yaml:1:66: [0][0][0]: nested deeper than 64 levels"
    ]
    assert messages("[" * 2000) == ["job.yaml:1:1: the values are nested too deeply"]


def test_broken_config_of_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    text = GOOD.replace("/models/Qwen3-4B", ".")
    _, problems = loads(text, tmp_path / "job.yaml")
    assert [str(problem) for problem in problems] == [
        f'{tmp_path}/job.yaml:5:11: spec.model.checkpoint: found ".", '
        "allowed a config.json that is an object"
    ]


@pytest.mark.parametrize(
    ("rope", "allowed"),
    [
        (None, 1024),
        ({"factor": 4.0, "rope_type": "yarn"}, 4096),
        ({"factor": 8.0, "rope_type": "llama3"}, 1024),
        ({"factor": 8.0, "original_max_position_embeddings": 256}, 1024),
    ],
)
def test_positions_with_rope_scaling(rope: dict[str, Any] | None, allowed: int) -> None:
    job = RLJob.model_validate(YAML(typ="safe").load(GOOD))
    architecture = {"max_position_embeddings": 1024, "rope_scaling": rope}
    model = job.spec.model.model_copy(update={"architecture": architecture})
    data = job.spec.data.model_copy(update={"max_prompt_tokens": allowed})
    spec = job.spec.model_copy(update={"model": model, "data": data})
    problems = check(job.model_copy(update={"spec": spec}), Path())
    assert [problem.allowed for problem in problems] == [f"at most {allowed - 1}"]


def test_fields_that_are_wrong_silence_the_rules_that_read_them() -> None:
    """globalBatchSize fits neither the batch equation nor 3 ranks, but only its type is told."""
    text = GOOD.replace("300", '300, globalBatchSize: "7"') + "  trainer: {gpusPerReplica: 3}\n"
    assert [p.field for p in loads(text, HERE)[1]] == ["spec.schedule.globalBatchSize"]


def test_show_is_short() -> None:
    assert show("x" * 100) == '"' + "x" * 55 + '..."'
    assert show("a\nb") == '"a\\nb"'
    assert [show(value) for value in (None, True, 1, 0.5, [], [1], {}, {"a": 1})] == [
        "null",
        "true",
        "1",
        "0.5",
        "an empty list",
        "a list",
        "an empty mapping",
        "a mapping",
    ]


def test_problem_without_a_place() -> None:
    assert str(Problem(("spec", "evaluation", 1, "name"), "1", "a string")) == (
        "spec.evaluation[1].name: found 1, allowed a string"
    )


def test_import_is_light() -> None:
    """The manifest is read in every role and by each command."""
    code = (
        "import sys, rljob.api, rljob.api.load;"
        "heavy = {'torch', 'sglang', 'megatron', 'transformers', 'kubernetes', 'torchx'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


# Anything at all, and manifests of which some part has been replaced by anything.
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def field_paths() -> list[tuple[str, ...]]:
    """Paths of mappings in the schema, as deep as they go."""
    paths: list[tuple[str, ...]] = []

    def walk(schema: dict[str, Any], path: tuple[str, ...]) -> None:
        part = part_of(schema)
        for key, value in (part["properties"] if part else {}).items():
            paths.append((*path, key))
            walk(value, (*path, key))

    walk(root()["properties"]["spec"], ("spec",))
    return paths


@st.composite
def near_manifests(draw: st.DrawFn) -> dict[str, Any]:
    manifest: dict[str, Any] = YAML(typ="safe").load(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(field_paths()))
        part = manifest
        for key in path[:-1]:
            part[key] = part.get(key) if isinstance(part.get(key), dict) else {}
            part = part[key]
        part[path[-1]] = draw(VALUES | st.integers(0, 64))
    return manifest


@given(st.text() | st.text(alphabet="-:{}[]&*!|>'\"#%@ \n\tabc01.?,<~"))
@example("!!int x")
@example("!!float .")
@example("? [a]\n: b")
@example("&a [*a]")
@example("<<: 1")
@example("%YAML 1.1\n---\na: 1:30")
@settings(max_examples=300, deadline=None)
def test_no_text_crashes(text: str) -> None:
    jobs, problems = loads(text, HERE)
    assert jobs or problems
    assert all(str(problem).startswith("job.yaml") for problem in problems)


@given(st.dictionaries(st.text(max_size=8), VALUES) | near_manifests())
@settings(max_examples=300, deadline=None)
def test_no_mapping_crashes(value: dict[str, Any]) -> None:
    job, problems = parse(value, set())
    problems += check(job, Path("/nowhere"))
    for problem in problems:
        assert problem.message or (problem.found and problem.allowed)
        assert "\n" not in str(problem)
    if not problems:
        assert all(str(problem) for problem in unsupported(job, local=True))


def test_a_minimal_job_runs_here() -> None:
    assert unsupported(loads(GOOD, HERE)[0][0], local=True) == []


UNSUPPORTED = {
    "spec.suspend": "suspend: true",
    "spec.colocate": "colocate: true",
    "spec.model.preset": "model: {checkpoint: a, preset: qwen3-4b}",
    "spec.model.architecture": "model: {checkpoint: a, architecture: {}}",
    "spec.trainer.replicas": "trainer: {replicas: 2}",
    "spec.trainer.parallelism.context": "trainer: {parallelism: {context: 2}}",
    "spec.rollout.autoscaling.mode": "rollout: {autoscaling: {mode: Rate}}",
    "spec.buffer.external.urlSecretRef": ("buffer: {external: {urlSecretRef: {name: a, key: b}}}"),
    "spec.schedule.overSamplingBatchSize": "schedule: {rollouts: 1, overSamplingBatchSize: 32}",
}


@pytest.mark.parametrize("field", UNSUPPORTED)
def test_unsupported(field: str) -> None:
    value = YAML(typ="safe").load(GOOD)
    value["spec"] |= YAML(typ="safe").load(UNSUPPORTED[field])
    found = unsupported(RLJob.model_validate(value), local=True)
    assert [problem.field for problem in found] == [field]
    assert found[0].allowed


def test_memory_is_shared_on_one_machine_only() -> None:
    value = YAML(typ="safe").load(GOOD)
    value["spec"] |= {"device": "cpu", "weights": {"transport": "ipc"}}
    job = RLJob.model_validate(value)
    assert unsupported(job, local=True) == []
    (found,) = unsupported(job, local=False)
    assert (found.field, found.allowed) == ("spec.weights.transport", "broadcast or disk")


def test_every_limit_has_a_case() -> None:
    assert {limit.field for limit in LIMITS} <= UNSUPPORTED.keys()
