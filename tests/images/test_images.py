"""What pods run first, run in their images as they do it: not as root, and with /tmp only."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rljob import __version__
from rljob.errors import EXIT_USAGE
from tests.images.build import CHECKOUT, build, name_of
from tests.images.tool import Tool

pytestmark = [pytest.mark.images, pytest.mark.timeout(3600)]

PROBE = Path(__file__).with_name("probe.py").read_text()
# That of the images, and one as some clusters give to a namespace. No /etc/passwd names them.
USERS = ("65532:65532", "1000730000:0")
SBOM = "/usr/share/rljob/sbom.cdx.json"
# What the processes of its pods import first.
FIRST = {
    "operator": ("rljob_operator.main", "rljob_operator.crd.definition"),
    "trainer": ("rljob_trainer.process.launcher", "rljob_trainer.rank", "rljob.buffer.role"),
    "rollout": ("rljob_rollout.worker", "rljob_rollout.router.server", "sglang.launch_server"),
}
# Modules that pods run, and what they say where no variable tells them of a job.
ROLES = {
    "trainer": ("rljob_trainer", "rljob.buffer"),
    "rollout": ("rljob_rollout", "rljob_rollout.router"),
}
LARGEST_OPERATOR = 250  # megabytes


def probed(builder: Tool, role: str, user: str) -> dict[str, Any]:
    """What tests/images/probe.py prints, on its last line."""
    found = builder.run(name_of(role), "python3", "-c", PROBE, *FIRST[role], user=user)
    assert found.returncode == 0, found.stdout
    result: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("user", USERS)
def test_a_pod_imports_what_it_needs_and_all_of_it_is_bytecode(
    builder: Tool, role: str, user: str
) -> None:
    found = probed(builder, role, user)
    assert found["user"] == [int(number) for number in user.split(":")]
    assert found["modules"] > 100
    assert found["without bytecode"] == []
    assert found["tools"] == []
    assert found["pip"] is False
    assert found["writable"] == []


@pytest.mark.parametrize("user", USERS)
def test_its_modules_run_and_say_what_is_missing(builder: Tool, role: str, user: str) -> None:
    for module in ROLES.get(role, ()):
        found = builder.run(name_of(role), "python3", "-m", module, user=user)
        assert found.returncode == EXIT_USAGE, found.stdout
        assert "RLJOB_" in found.stdout


@pytest.mark.parametrize("role", ["operator"], indirect=True)
@pytest.mark.parametrize("user", USERS)
def test_the_operator_starts_and_looks_for_a_cluster(builder: Tool, role: str, user: str) -> None:
    helped = builder.run(name_of(role), "python3", "-m", "rljob_operator", "--help", user=user)
    assert helped.returncode == 0, helped.stdout
    assert "--leader-election" in helped.stdout
    started = builder.run(name_of(role), "python3", "-m", "rljob_operator", user=user)
    assert started.returncode == EXIT_USAGE, started.stdout
    assert "operator.failed" in started.stdout


@pytest.mark.parametrize("role", ["trainer"], indirect=True)
def test_the_buffers_server_is_in_the_trainers_image(builder: Tool, role: str) -> None:
    code = "import subprocess, rljob.buffer.server as s; subprocess.run([str(s.binary()), '-v'])"
    found = builder.run(name_of(role), "python3", "-c", code, user=USERS[0])
    assert "Valkey server" in found.stdout


def test_the_image_says_what_it_is(builder: Tool, role: str) -> None:
    image = builder.image(name_of(role))
    assert image.user == USERS[0]
    assert image.environment["HOME"] == "/tmp"
    assert image.environment.keys() == {"PATH", "HOME"} | image.environment.keys() & {
        "LANG",  # of Docker's image of Python
        "GPG_KEY",
        "PYTHON_VERSION",
        "PYTHON_SHA256",
    }
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in image.labels.items()
        if key.startswith("org.opencontainers.image.")
    }
    assert labels["title"] == f"rljob {role}"
    assert labels["version"] == __version__
    # buildah 1.28 takes the label of an image that has not changed from its cache.
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["revision"])
    assert labels["licenses"] == "Apache-2.0"
    assert labels["source"].startswith("https://")
    assert labels["description"]


@pytest.mark.parametrize("role", ["operator"], indirect=True)
def test_the_operators_image_is_small(builder: Tool, role: str) -> None:
    assert builder.image(name_of(role)).megabytes < LARGEST_OPERATOR


def test_the_bill_of_materials_names_what_is_locked(builder: Tool, role: str) -> None:
    found = builder.run(name_of(role), "cat", SBOM, user=USERS[1])
    assert found.returncode == 0, found.stdout
    bill = json.loads(found.stdout)
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "rljob"
    assert bill["metadata"]["component"]["version"] == __version__
    versions = {part["name"].lower(): part["version"] for part in bill["components"]}
    lock = "operator" if role == "operator" else "cpu"
    text = (CHECKOUT / "requirements" / f"{lock}.txt").read_text()
    # Those without a condition are in every environment.
    pinned = dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+) \\$", text, re.MULTILINE))
    assert (
        pinned.items()
        <= {
            key.replace("_", "-").replace(".", "-"): value for key, value in versions.items()
        }.items()
    )


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Path]:
    """The checkout with another line of code."""
    context = tmp_path / "checkout"
    context.mkdir()
    for line in (CHECKOUT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            for path in CHECKOUT.glob(line[1:]):
                target = context / path.relative_to(CHECKOUT)
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)
    for path in (*CHECKOUT.glob("Dockerfile.*"), CHECKOUT / ".dockerignore"):
        shutil.copy2(path, context)
    with (context / "rljob" / "errors.py").open("a") as file:
        file.write("# another line\n")
    yield context


def test_a_change_of_the_code_changes_the_last_layer_only(
    builder: Tool, role: str, standing_on: str, changed: Path
) -> None:
    before = builder.image(name_of(role)).layers
    try:
        build(builder, role, standing_on, changed)
        after = builder.image(name_of(role)).layers
    finally:
        build(builder, role, standing_on)
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
