"""A plan as YAML for people, and as JSON for programs."""

import io
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from torchx.specs import AppDef, Role

from rljob.plan.environment import variable

_OF_ALL = ("job_file", "run_dir", "buffer_url")
_OF_ONE = {"trainer": ("metrics_port", "rendezvous"), "router": ("router_port",)}
_SECRETS = ("buffer_password", "engine_api_key", "engine_admin_key")


def description(app: AppDef) -> dict[str, Any]:
    """The roles of a plan, with the names of secrets but never their values.

    Of the environment it has only what says where a role works and where others reach it.
    """
    return {
        "name": app.name,
        "environment": _values(app.roles[0], _OF_ALL),
        "roles": [
            {
                "role": role.name,
                "command": " ".join([role.entrypoint, *role.args]),
                "replicas": role.num_replicas,
                "gpusPerReplica": role.resource.gpu,
                "environment": _values(role, _OF_ONE.get(role.name, ())),
                "secrets": [name for name in _SECRETS if variable(name) in role.env],
            }
            for role in app.roles
        ],
    }


def _values(role: Role, names: Iterable[str]) -> dict[str, str]:
    # torchx escapes `$` as `$$`.
    return {variable(name): role.env[variable(name)].replace("$$", "$") for name in names}


def describe(app: AppDef) -> str:
    """The same as YAML, a block for each role."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = description(app)
    for role in content["roles"]:
        role["secrets"] = CommentedSeq(role["secrets"])
        role["secrets"].fa.set_flow_style()
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()
