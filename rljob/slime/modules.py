"""Modules of slime's names for hooks that import from them, whether slime is installed or not."""

import asyncio
import importlib
import sys
import threading
from collections.abc import Coroutine, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from rljob.slime.sample import Sample

_PACKAGE = "slime"
_TYPES = "slime.utils.types"


def install(contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Makes modules importable; before the hook's own module is imported.

    Args:
        contents: what each module holds, by its full name. If slime is installed, its other
            modules stay as they are, but these are replaced: its own would ask engines that do
            not record what they make.
    """
    if _TYPES not in sys.modules and not _import_real():
        sys.meta_path.insert(0, _Missing())
        _add(_TYPES, {"Sample": Sample})
    for name, values in {"slime.utils.async_utils": {"run": run}, **contents}.items():
        _add(name, values)


def add_missing(contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Makes modules importable that slime itself does not have here; after `install`.

    Args:
        contents: what each module holds, by its full name.
    """
    for name, values in contents.items():
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - slime may lack any of its own dependencies
            _add(name, values)


def sample_class() -> Any:
    """The class that hooks know as `slime.utils.types.Sample`, once modules are installed."""
    return sys.modules[_TYPES].Sample


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine from code that is not async; returns its result."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


def _import_real() -> bool:
    """Imports the types of slime, if it is installed and has what it needs itself."""
    try:
        importlib.import_module(_TYPES)
    except Exception:  # noqa: BLE001 - it may lack any of its own dependencies
        for name in [each for each in sys.modules if each.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]
        return False
    return True


class _Module(ModuleType):
    """A module in slime's place; the error for a missing name says what there is."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"{self.__name__} has no {name} here; allowed: {_allowed()}")


class _Missing:
    """Finds what was not installed under slime's name: nothing, and says what there is."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """
        Raises:
            ModuleNotFoundError: the module is one of slime's that is not here.
        """
        del path, target
        if name.partition(".")[0] != _PACKAGE:
            return None
        raise ModuleNotFoundError(f"no module {name} here; allowed: {_allowed()}", name=name)


def _allowed() -> str:
    modules = sorted(
        (name, module) for name, module in sys.modules.items() if isinstance(module, _Module)
    )
    return ", ".join(
        f"{name}.{each}"
        for name, module in modules
        for each, value in vars(module).items()
        if not each.startswith("_") and not isinstance(value, ModuleType)
    )


def _add(name: str, values: Mapping[str, Any]) -> None:
    """Adds a module, and the packages above it unless they are there."""
    package, _, last = name.rpartition(".")
    if package and package not in sys.modules:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            _add(package, {})
    module = _Module(name)
    module.__path__ = []  # so that modules below it can be imported
    vars(module).update(values)
    sys.modules[name] = module
    if package:
        setattr(sys.modules[package], last, module)


_running: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """A loop in a thread of its own, one for the process."""
    global _running  # noqa: PLW0603 - one loop, one process
    with _starting:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, daemon=True, name="slime").start()
    return _running
