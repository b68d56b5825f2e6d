"""Helm and its charts, as users call them."""

import json
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.binaries import VERSION, binaries
from tests.cluster.client import Manifest
from tests.project.metadata import ROOT

CHART = ROOT / "helm" / "rljob"
_SECONDS = 180


def helm(*arguments: str | Path, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it in the root of the project; that it fails is for the caller to judge.

    Args:
        arguments: of the command line.
        config: kubeconfig of its user; None: for commands that need no cluster.
    """
    access = ["--kubeconfig", config] if config else []
    return subprocess.run(
        [binaries()["helm"], *arguments, *access],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=_SECONDS,
        check=False,
    )


def rendered(values: Manifest, *, chart: Path = CHART, namespace: str = "rljob-system") -> str:
    """The manifests of the release `rljob`, as text.

    Args:
        values: as in values.yaml.
        chart: folder of the chart.
        namespace: of the release.
    """
    place = ["--namespace", namespace, "--kube-version", VERSION]
    result = helm("template", "rljob", chart, *place, *options(values))
    assert result.returncode == 0, result.stderr
    return result.stdout


def manifests(text: str) -> dict[tuple[str, str], Any]:
    """The manifests of a text, by kind and name."""
    documents = filter(None, YAML(typ="safe", pure=True).load_all(text))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def options(values: Manifest) -> list[str]:
    """Values as options of the command line."""
    return [word for name, value in values.items() for word in ("--set-json", _pair(name, value))]


def _pair(name: str, value: Any) -> str:
    return f"{name}={json.dumps(value)}"
