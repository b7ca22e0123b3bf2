"""Finding a stage by the name that a user types, and reading its parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from stagedml.errors import ConfigError, UnknownStageError
from stagedml.lens import mklens, suggest
from stagedml.stage import Edit, Stage, override

MENU = "stagedml.stages.all"


def find_stage(name: str) -> Stage:
    """A stage by its name on the menu, as `module:function`, or as `file.py:function`."""
    module_name, colon, function = name.rpartition(":")
    module = _module(module_name if colon else MENU)
    found = getattr(module, function, None)
    if not callable(found) or function.startswith("_"):
        known = menu(module) if colon else menu()
        raise UnknownStageError(
            f"no stage {function!r}", where=module_name or MENU, hint=suggest(function, known)
        )
    return found  # type: ignore[no-any-return]


def menu(module: Any = None) -> list[str]:
    """The names of the stages that a module (the menu, by default) offers."""
    module = module if module is not None else _module(MENU)
    return sorted(
        n
        for n, f in vars(module).items()
        if callable(f) and not isinstance(f, type) and not n.startswith("_") and _is_stage(f)
    )


def _is_stage(f: Any) -> bool:
    from stagedml.stagefunction import StageFunction

    if isinstance(f, StageFunction):
        return True
    code = getattr(f, "__code__", None)
    return bool(code and code.co_argcount and code.co_varnames[0] == "m" and f.__module__ != "stagedml.stage")


def _module(name: str) -> Any:
    import importlib
    import importlib.util
    import os
    import sys

    if name.endswith(".py"):
        path = os.path.abspath(name)
        spec = importlib.util.spec_from_file_location(os.path.basename(name)[:-3], path)
        if spec is None or spec.loader is None or not os.path.exists(path):
            raise UnknownStageError("no such file", where=name)
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, os.path.dirname(path))
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name and name.startswith(e.name):
            raise UnknownStageError(
                f"no module {name!r}", hint="write module:function or file.py:function"
            ) from e
        raise


def parse_value(text: str) -> Any:
    """A parameter's value: JSON where it is JSON (3, 2e-5, true, null, [1,2]), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_parameters(words: Iterable[str]) -> dict[str, Any]:
    """`name=value` words as keyword arguments. Raises `ConfigError`."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(
                f"not a parameter: {word!r}", hint="write name=value, for example task_name=MRPC"
            )
        found[name] = parse_value(value)
    return found


def with_settings(stage: Stage, settings: Iterable[str]) -> Stage:
    """The stage with `stage-name.path.to.field=value` settings applied inside its closure."""
    for setting in settings:
        place, equals, value = setting.partition("=")
        name, dot, path = place.partition(".")
        if not equals or not dot:
            raise ConfigError(f"not a setting: {setting!r}", hint="write stage-name.field=value")
        stage = override(stage, name, new_config=_setter(path, parse_value(value)))
    return stage


def _setter(path: str, value: Any) -> Edit:
    def edit(config: dict[str, Any]) -> None:
        lens = mklens(config)
        for step in path.split("."):
            lens = lens[int(step)] if isinstance(lens.val, list) and step.isdigit() else lens[step]
        lens.val = value

    return edit


def checked_call(stage: Stage, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters, when the stage takes them all; else `ConfigError` with the near misses."""
    f: Any = stage
    while hasattr(f, "func"):
        f = f.func
    code = getattr(f, "__code__", None)
    if code is not None and not code.co_flags & 0x08:
        known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        for name in parameters:
            if name not in known:
                raise ConfigError(f"no parameter {name!r}", where=f.__name__, hint=suggest(name, known))
    return parameters
