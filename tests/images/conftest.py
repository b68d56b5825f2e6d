"""Fixtures that build the images."""

import pytest

from tests.images.build import base, build
from tests.images.tool import Tool, tool


@pytest.fixture(scope="session")
def builder() -> Tool:
    """The program that builds."""
    return tool()


@pytest.fixture(scope="session")
def standing_on(builder: Tool) -> str:
    """The image that all are built on."""
    return base(builder)


@pytest.fixture(scope="session", params=["operator", "trainer", "rollout"])
def role(request: pytest.FixtureRequest, builder: Tool, standing_on: str) -> str:
    """A role whose image has been built from this checkout."""
    build(builder, request.param, standing_on)
    return str(request.param)
