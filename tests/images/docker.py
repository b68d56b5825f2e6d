"""Images by docker's daemon."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.images.tool import Image, attempt, output, variables


class Docker:
    """See `tests.images.tool.Tool`."""

    def has(self, name: str) -> bool:
        """Whether the image is on this machine, or can be pulled."""
        return any(
            subprocess.run(["docker", *words, name], capture_output=True, check=False).returncode
            == 0
            for words in (("image", "inspect"), ("pull", "--quiet"))
        )

    def add(self, tar: Path, name: str) -> None:
        """Makes an image of one layer."""
        output("docker", "import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", tar, name)

    def build(
        self, dockerfile: str, name: str, arguments: Mapping[str, str], context: Path
    ) -> None:
        """Builds an image; what has not changed is taken from the last time."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        output(
            *("docker", "build", "--quiet", *given, f"--file={dockerfile}", f"--tag={name}", "."),
            context=context,
        )

    def image(self, name: str) -> Image:
        """What the image says of itself."""
        (about,) = json.loads(output("docker", "image", "inspect", name))
        config = about["Config"]
        return Image(
            user=config["User"],
            environment=variables(config["Env"]),
            labels=config["Labels"] or {},
            layers=tuple(about["RootFS"]["Layers"]),
            megabytes=about["Size"] / 1e6,
        )

    def run(self, name: str, *command: str, user: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in an image like a pod does: see `Tool`."""
        return attempt(
            *("docker", "run", "--rm", "--read-only", "--tmpfs=/tmp", "--network=none"),
            *(f"--user={user}", "--cap-drop=ALL", "--entrypoint=", name, *command),
        )
