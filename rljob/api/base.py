"""Types, patterns and the base class that the models of the manifest share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

LARGEST_INT = 2**31 - 1  # Kubernetes counts in 32 bits; products of two stay within 64
PositiveInt = Annotated[int, Field(ge=1, le=LARGEST_INT)]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST_INT)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

# Patterns must mean the same in the regex engines of Rust, Python and Go; \w does not.
HOOK = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
REDIS_URL = r"^rediss?://"
HTTP_URL = r"^https?://"
QUANTITY = r"^(0\.0*[1-9][0-9]*|[1-9][0-9]*(\.[0-9]+)?)([EPTGMK]i|[EPTGMk])?$"  # above 0
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
NCCL_VARIABLE = r"^NCCL_[A-Z0-9_]+$"
METRIC_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
DNS_LABEL = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
JOB_NAME = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"  # names of Services start with it, so a letter first
DNS_SUBDOMAIN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
DATA_KEY = r"^[A-Za-z0-9_.-]+$"
CONTROLLER = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9._/-]+$"
RESOURCE = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
NETWORK = r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
MOUNT_PATH = r"^(/[^/:]+)+/?$"
# Words for messages and the reference, in place of the regular expressions.
PATTERN_WORDS = {
    HOOK: "module:name",
    REDIS_URL: "a redis:// or rediss:// URL",
    HTTP_URL: "an http:// or https:// URL",
    QUANTITY: "a Kubernetes quantity above 0, e.g. 10Gi",
    VARIABLE: "letters, digits and '_'",
    METRIC_NAME: "letters, digits, '.', '_' and '-'",
    DNS_LABEL: "lower-case letters, digits and '-'",
    JOB_NAME: "lower-case letters, digits and '-', a letter first",
    DNS_SUBDOMAIN: "a name of lower-case letters, digits, '-' and '.'",
    DATA_KEY: "letters, digits, '.', '_' and '-'",
    CONTROLLER: "a domain and a name, e.g. rljob.dev/operator",
    RESOURCE: "a domain and a name, e.g. rdma/hca",
    NETWORK: "a name, or namespace/name",
    MOUNT_PATH: "an absolute path without ':' and '//'",
}
# List constraints for the CRD, besides those that pydantic checks.
UNIQUE: dict[str, JsonValue] = {"uniqueItems": True}
BY_NAME: dict[str, JsonValue] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
Text = Annotated[str, Field(min_length=1, max_length=1024)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
# "package.module:attribute", the user's own code on PYTHONPATH.
Hook = Annotated[str, Field(pattern=HOOK, max_length=256)]
# Another object in the job's namespace.
ObjectName = Annotated[str, Field(pattern=DNS_SUBDOMAIN, max_length=253)]


class Part(BaseModel):
    """A part of the manifest: camelCase in YAML, snake_case in Python, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=False,
    )
