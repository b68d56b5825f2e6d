"""Built-in rewards by name, and custom ones by `module:function`."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any, get_args

from rljob.api.reward import BuiltIn
from rljob.errors import UsageError

# A function of a RewardInput, or of a group's list, plain or async; the package docstring says what
# it may return. Built-in ones may have options: `strict`, `buffer_tokens`.
Reward = Callable[..., Any | Awaitable[Any]]

# Each in the module of its name, so that a job does not import what it does not use.
NAMES: tuple[str, ...] = get_args(BuiltIn)


def load_reward(type_: str, field: str) -> Reward:
    """Loads the reward that a job names.

    Args:
        type_: the name of a built-in reward, or "module:function".
        field: where the job names it, for errors.

    Raises:
            UsageError: there is none of this name, or the module can't be imported.
    """
    if type_ in NAMES:
        module, name = f"rljob_rollout.rewards.{type_}", type_
    elif ":" in type_:
        module, _, name = type_.partition(":")
    else:
        raise UsageError(
            f'{field}: found {type_!r}, allowed {", ".join(NAMES)} or "module:function"'
        )
    try:
        imported = importlib.import_module(module)
    except UsageError as error:  # a built-in reward that this machine can't run
        raise UsageError(f"{field}: found {type_!r}, but {error}") from error
    # The module is the user's code, which may raise anything, or be a script that ends with
    # sys.exit(0): the worker would seem to have finished.
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{field}: found {type_!r}, but the module {module!r} does not import: "
            f"{type(error).__name__}: {error}; allowed: a module on PYTHONPATH or in "
            "spec.code.directory"
        ) from error
    reward = getattr(imported, name, None)
    if not callable(reward):
        found = "nothing" if reward is None else f"a {type(reward).__name__}"
        raise UsageError(
            f"{field}: found {type_!r}, but {name!r} in {imported.__file__} is {found}; "
            "allowed: a function of one sample"
        )
    return reward  # type: ignore[no-any-return]  # `callable` says nothing about the arguments
