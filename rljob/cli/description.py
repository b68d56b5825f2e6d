"""A plan as a person reads it."""

import io
from typing import Any

from ruamel.yaml import YAML
from torchx.specs import AppDef


def describe(app: AppDef) -> str:
    """The roles of a plan as YAML."""
    roles: list[dict[str, Any]] = [
        {
            "role": role.name,
            "replicas": role.num_replicas,
            "gpusPerReplica": role.resource.gpu,
            "command": [role.entrypoint, *role.args],
            "environment": dict(sorted(role.env.items())),
        }
        for role in app.roles
    ]
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump({"name": app.name, "roles": roles}, text)
    return text.getvalue()
