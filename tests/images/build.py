"""Builds the images for CPUs, where trainer and rollout have one environment."""

import os
import subprocess
import time
from pathlib import Path

from rljob import __version__
from tests.images.tool import Tool
from tests.node import rootfs

CHECKOUT = Path(__file__).parents[2]
ROLES = ("operator", "trainer", "rollout")
_PULLED = "python:3.11-slim-bookworm"  # what the Dockerfiles say
_MADE = "localhost/rljob/base:debian"


def name_of(role: str) -> str:
    """The name of its image."""
    return f"localhost/rljob/{role}:cpu"


def base(tool: Tool) -> str:
    """The image to build on.

    That of the variable BASE; else what the Dockerfiles name; else, where that cannot be pulled,
    Debian with Python, made on this machine.
    """
    if given := os.environ.get("BASE"):
        return given
    if tool.has(_PULLED):
        return _PULLED
    if not tool.has(_MADE):
        tool.add(rootfs.image(), _MADE)
    return _MADE


def build(tool: Tool, role: str, base: str, context: Path = CHECKOUT) -> float:
    """Builds the image of a role; returns how many seconds that took."""
    arguments = {"BASE": base, "VERSION": __version__, "REVISION": revision()}
    if role != "operator":
        arguments["LOCK"] = "cpu"
    began = time.monotonic()
    tool.build(f"Dockerfile.{role}", name_of(role), arguments, context)
    return time.monotonic() - began


def revision() -> str:
    """The commit of the checkout; `unknown` where it is none, and `-dirty` if it has changed."""
    command = ["git", "describe", "--always", "--abbrev=40", "--match=", "--dirty"]
    found = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
