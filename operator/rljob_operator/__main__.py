"""`python -m rljob_operator`: the command line of the operator."""

import os
import re
import socket
import sys
from typing import Annotated

import structlog
import typer
import uvloop

from rljob import __version__
from rljob.api.base import DNS_LABEL
from rljob.errors import EXIT_USAGE, UsageError
from rljob.telemetry import log
from rljob_operator.main import operate
from rljob_operator.settings import Settings, floats

_IMAGE = f"ghcr.io/rljob/{{}}:{__version__}"


def main(  # noqa: PLR0917 - options, by name
    namespaces: Annotated[
        str,
        typer.Option(
            envvar="RLJOB_NAMESPACES",
            help="Namespaces whose jobs are managed, comma-separated; empty: all namespaces.",
        ),
    ] = "",
    own_namespace: Annotated[
        str, typer.Option(envvar="POD_NAMESPACE", help="Namespace of the Lease and the key.")
    ] = "rljob-system",
    identity: Annotated[
        str, typer.Option(envvar="POD_NAME", help="Name of this operator; default: host and pid.")
    ] = "",
    host: Annotated[str, typer.Option(help="Address of the metrics port.")] = "0.0.0.0",  # noqa: S104
    metrics_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of /metrics, /healthz and /readyz.")
    ] = 9400,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Maximum number of concurrent reconciles.")
    ] = 16,
    resync_seconds: Annotated[
        float,
        typer.Option(min=1, help="Seconds between two full resyncs, besides the watches."),
    ] = 600,
    leader_election: Annotated[
        bool, typer.Option(help="Lead only while holding the Lease rljob-operator.")
    ] = True,
    trainer_image: Annotated[
        str, typer.Option(envvar="RLJOB_TRAINER_IMAGE", help="Default image of the trainer.")
    ] = _IMAGE.format("trainer"),
    rollout_image: Annotated[
        str, typer.Option(envvar="RLJOB_ROLLOUT_IMAGE", help="Default image of the rollout.")
    ] = _IMAGE.format("rollout"),
) -> None:
    """Run the operator for the RLJobs of a cluster."""
    log.configure_json()
    try:
        settings = Settings(
            namespaces=_names(namespaces),
            own_namespace=own_namespace,
            identity=identity or f"{socket.gethostname()}-{os.getpid()}",
            host=host,
            metrics_port=metrics_port,
            workers=workers,
            resync_seconds=resync_seconds,
            leader_election=leader_election,
            trainer_image=trainer_image,
            rollout_image=rollout_image,
        )
        for image in (trainer_image, rollout_image):
            if floats(image):
                structlog.get_logger().warning("image.floating", image=image)
        code = uvloop.run(operate(settings))
    except UsageError as error:
        structlog.get_logger().error("operator.failed", message=str(error))
        code = EXIT_USAGE
    sys.exit(code)


def _names(text: str) -> tuple[str, ...]:
    """The namespaces in a comma-separated list."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(DNS_LABEL, name):
            raise UsageError(
                f"--namespaces: found {name!r}, allowed comma-separated names of lower-case "
                "letters, digits and '-'"
            )
    return names


if __name__ == "__main__":
    typer.run(main)
