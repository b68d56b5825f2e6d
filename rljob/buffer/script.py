"""The Lua scripts: what must happen in the server at once, or not at all."""

from importlib import resources


def source(name: str) -> str:
    """Text of the script `name`, after the prelude that all scripts share."""
    folder = resources.files("rljob.buffer") / "scripts"
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
