"""The images of a node: small archives, and one for all roles, made of hard links to .venv."""

import shutil
import sys
import uuid
from pathlib import Path

from tests.cluster.binaries import NODE, binaries
from tests.node import oci, rootfs
from tests.node.command import run
from tests.node.machine import Machine
from tests.node.place import CHECKOUT, DIRECTORY

ROLES = "localhost/rljob:test"
_PAUSE = "localhost/pause:test"
_COREDNS = "localhost/coredns:test"
_BASE = "localhost/base:test"
_ENVIRONMENT = "opt/rljob"
_PATH = "/opt/rljob/bin:/usr/local/bin:/usr/bin:/bin"
# Packages of the project by the folder that has them, as the wheel has them.
_CODE = {
    "rljob": "rljob",
    "rljob_operator": "operator/rljob_operator",
    "rljob_trainer": "trainer_image/rljob_trainer",
    "rljob_rollout": "rollout_image/rljob_rollout",
}


def add_images(machine: Machine) -> None:
    """All that the pods of the tests need."""
    for name, program in ((_PAUSE, "pause"), (_COREDNS, "coredns")):
        machine.add_image(_static(name, program))
    base = oci.Layer.of(rootfs.image())
    machine.add_image(_archive("base", _BASE, [base]))
    add_roles(machine, base)


def add_roles(machine: Machine, base: oci.Layer) -> None:
    """An image of 8 GB in seconds: its upper layer is a snapshot whose files are hard links.

    containerd looks for a layer's snapshot first, by the layer's hash, and reads its tar only where
    there is none. So the hash may be made up.
    """
    upper = oci.Layer(f"sha256:{uuid.uuid4().hex * 2}")
    key = f"rljob-{uuid.uuid4().hex}"
    machine.ctr("snapshots", "prepare", key, base.diff_id)
    mount = machine.ctr("snapshots", "mounts", "/unused", key)
    directory = Path(mount.partition("upperdir=")[2].partition(",")[0])
    if not directory.is_relative_to(DIRECTORY):
        raise RuntimeError(f"found no upper directory in: {mount}")
    _fill(directory)
    chain = oci.chain_id([base, upper])
    machine.ctr("snapshots", "commit", chain, key)
    machine.ctr("snapshots", "label", chain, "containerd.io/gc.root=test")
    machine.add_image(_archive("roles", ROLES, [base, upper]))


def _fill(directory: Path) -> None:
    """.venv and the Python that it stands on, at the same paths; the project's code as copies."""
    environment = directory / _ENVIRONMENT
    _link(Path(sys.prefix), environment)
    prefix = Path(sys.base_prefix)
    if prefix != Path("/usr"):  # else Debian's Python, which the root file system has
        _link(prefix, directory / prefix.relative_to("/"))
    (packages,) = environment.glob("lib/python*/site-packages")
    for editable in packages.glob("_rljob*.pth"):
        editable.unlink()
    for name, folder in _CODE.items():
        shutil.copytree(CHECKOUT / folder, packages / name)


def _link(source: Path, target: Path) -> None:
    """Where that is another file system, a copy; root's own directories become everybody's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    same = source.stat().st_dev == target.parent.stat().st_dev
    run("cp", "-al" if same else "-a", source, target)
    target.chmod(0o755)


def _static(name: str, program: str) -> Path:
    """The archive of an image that is one program."""
    layer = DIRECTORY / f"{program}-layer.tar"
    path = binaries(NODE)[program]
    run("tar", "-C", path.parent, "--numeric-owner", "-cf", layer, path.name)
    return _archive(program, name, [oci.Layer.of(layer)], f"/{program}")


def _archive(file: str, name: str, layers: list[oci.Layer], *command: str) -> Path:
    path = DIRECTORY / f"{file}.tar"
    oci.write(path, name, layers, {"PATH": _PATH}, *command)
    return path
