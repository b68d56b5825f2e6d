"""Runs inside an image: imports what a pod imports first, and prints what it found, as JSON.

Arguments: the modules. A module of SGLang needs what the engine's process does before: see `main`.
"""

import importlib
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

ENVIRONMENT = "/opt/rljob/"
TOOLS = ("cc", "gcc", "g++", "c++", "clang", "ld", "make", "cmake", "nvcc", "uv")


def main() -> None:
    for name in sys.argv[1:]:
        if name.startswith("sglang."):
            importlib.import_module("rljob_rollout.engine_server")._prepare_cpu()
        importlib.import_module(name)
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    sources = [
        spec
        for spec in specs
        if spec and (spec.origin or "").startswith(ENVIRONMENT) and spec.origin.endswith(".py")
    ]
    found = {
        "user": [os.getuid(), os.getgid()],
        "modules": len(sources),
        "without bytecode": [
            spec.origin
            for spec in sources
            if not Path(importlib.util.cache_from_source(spec.origin)).exists()
        ],
        "tools": [name for name in TOOLS if shutil.which(name)],
        "pip": Path(ENVIRONMENT, "bin", "pip").exists() or _has_pip(),
        "writable": [path for path in ("/", "/opt/rljob", "/usr") if os.access(path, os.W_OK)],
    }
    print(json.dumps(found))


def _has_pip() -> bool:
    spec = importlib.util.find_spec("pip")
    return spec is not None and (spec.origin or "").startswith(ENVIRONMENT)


main()
