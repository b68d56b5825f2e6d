"""Images by buildah, as root. It needs no daemon, and runs inside of a container, too."""

import json
import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.images.tool import Image, attempt, output, variables

_PULL_SECONDS = 120
_UV = Path("/etc/uv/uv.toml")
_MADE_UV = Path(__file__).parents[2] / "build" / "images" / "uv.toml"
_FILES = (Path("/etc/pip.conf"), Path("/etc/ssl/certs"), _UV)
_UNITS = {"B": 1e-6, "kB": 1e-3, "KB": 1e-3, "MB": 1.0, "GB": 1e3}
# Arguments: the root, user:group, and the command.
_AS_IN_A_POD = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t proc proc "$1/proc" &&
mount --rbind /dev "$1/dev" && mount -t tmpfs -o mode=1777 tmpfs "$1/tmp" &&
ip link set lo up && exec chroot --userspec "$2" --groups= "$1" "${@:3}"
"""


class Buildah:
    """See `tests.images.tool.Tool`. Where it stores images is its own configuration."""

    def has(self, name: str) -> bool:
        """Whether the image is on this machine, or can be pulled."""
        command = ["buildah", "pull", "--quiet", "--policy", "missing", name]
        try:
            result = subprocess.run(
                command, capture_output=True, timeout=_PULL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return result.returncode == 0

    def add(self, tar: Path, name: str) -> None:
        """Makes an image of one layer."""
        with _container("scratch") as container:
            output("buildah", "add", "--quiet", container, tar, "/")
            output("buildah", "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
            output("buildah", "commit", "--quiet", container, name)

    def build(
        self, dockerfile: str, name: str, arguments: Mapping[str, str], context: Path
    ) -> None:
        """Builds an image; what has not changed is taken from the last time."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        output(
            *("buildah", "build", "--quiet", "--layers", "--isolation=chroot"),
            *("--pull-never", *_of_this_machine(), *given, f"--file={dockerfile}", f"--tag={name}"),
            ".",
            context=context,
        )

    def image(self, name: str) -> Image:
        """What the image says of itself."""
        about = json.loads(output("buildah", "inspect", "--type=image", name))["OCIv1"]
        config = about["config"]
        size = output("buildah", "images", "--format={{.Size}}", name)
        found = re.fullmatch(r"([0-9.]+) ?(\w+)\n", size)
        if found is None:
            raise RuntimeError(
                f"buildah images: found the size {size!r}, allowed a number and a unit"
            )
        return Image(
            user=config.get("User", ""),
            environment=variables(config["Env"]),
            labels=config.get("Labels", {}),
            layers=tuple(about["rootfs"]["diff_ids"]),
            megabytes=float(found[1]) * _UNITS[found[2]],
        )

    def run(self, name: str, *command: str, user: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in an image like a pod does: see `Tool`."""
        environment = [f"{key}={value}" for key, value in self.image(name).environment.items()]
        with _container(name) as container:
            root = output("buildah", "mount", container).strip()
            return attempt(
                *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"),
                *("bash", "-c", _AS_IN_A_POD, "bash", root, user),
                *("/usr/bin/env", "--ignore-environment", *environment, *command),
            )


@contextmanager
def _container(name: str) -> Iterator[str]:
    container = output("buildah", "from", "--pull-never", name).strip()
    try:
        yield container
    finally:
        output("buildah", "rm", container)


def _of_this_machine() -> list[str]:
    """How this machine reaches its package registry, and uv's cache, for the time of the build.

    As files: a variable of the build would be one of the image, too.
    """
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    cache.mkdir(parents=True, exist_ok=True)
    # The build runs as root, as this process does, and looks for the cache in root's home.
    home = Path(pwd.getpwuid(0).pw_dir)
    volumes = [
        f"{cache}:{home / '.cache' / 'uv'}",
        *(f"{path}:{path}:ro" for path in _FILES if path.exists()),
    ]
    if not _UV.exists():
        _MADE_UV.parent.mkdir(parents=True, exist_ok=True)
        _MADE_UV.write_text("system-certs = true\n")  # uv's own do not have this machine's
        volumes.append(f"{_MADE_UV}:{_UV}:ro")
    return [f"--volume={volume}" for volume in volumes]
