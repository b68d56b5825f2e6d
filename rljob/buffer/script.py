"""The Lua scripts, which the server runs atomically."""

from importlib import resources


def source(name: str) -> str:
    """Source of the script `name`, with the prelude that all scripts share."""
    folder = resources.files("rljob.buffer") / "scripts"
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
