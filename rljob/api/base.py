"""What every model of the manifest shares."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

HOOK = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
REDIS_URL = r"^rediss?://"
HTTP_URL = r"^https?://"
QUANTITY = r"^[0-9]+(\.[0-9]+)?([EPTGMk]i?|[mun])?$"
METRIC_NAME = r"^[A-Za-z0-9][\w.-]*$"
DNS_LABEL = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
ABSOLUTE_PATH = r"^/"
# What messages and the reference say instead of a regular expression.
PATTERN_WORDS = {
    HOOK: "module:name",
    REDIS_URL: "a redis:// or rediss:// URL",
    HTTP_URL: "an http:// or https:// URL",
    QUANTITY: "a Kubernetes quantity, e.g. 10Gi",
    METRIC_NAME: "letters, digits, '.', '_' and '-'",
    DNS_LABEL: "lower-case letters, digits and '-'",
    ABSOLUTE_PATH: "an absolute path",
}
Text = Annotated[str, Field(min_length=1)]
# "package.module:attribute", the user's own code on PYTHONPATH.
Hook = Annotated[str, Field(pattern=HOOK)]


class Part(BaseModel):
    """A part of the manifest: camelCase in YAML, snake_case in Python, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=False,
    )
