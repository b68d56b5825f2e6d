"""The user's own code."""

from pydantic import Field

from rljob.api.base import FilePath, ObjectName, Part


class CodeSpec(Part):
    """Modules put on PYTHONPATH of every role."""

    config_map_ref: ObjectName | None = Field(None, description="ConfigMap with Python files.")
    directory: FilePath | None = Field(
        None, description="Directory (for `rljob run`). Default: the manifest's own."
    )
