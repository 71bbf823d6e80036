"""Plugins made of functions, without anything being installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ddbverify.compare.judge import Judge
from ddbverify.config import parse
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.plugins.loading import Plugins
from ddbverify.plugins.rulings import Rulings
from tests.ddbverify.fakes import SCHEMA, Clock

TOML = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'


def plugin(name: str = "shop", **hooks: Callable[..., Any]) -> ModuleType:
    """A module with ``normalise_item=...`` and the like."""
    module = ModuleType(name)
    module.__file__ = str(Path(__file__).with_name(name))
    for hook, function in hooks.items():
        setattr(module, f"ddbverify_{hook}", function)
    return module


def plugins_of(*modules: ModuleType, answer_seconds: float = 60.0) -> Plugins:
    """Asked in this order."""
    made = Plugins(parse(TOML, Path(__file__).parent), answer_seconds=answer_seconds)
    for module in reversed(modules):
        made.add_conftest(module)
    return made


def rulings_of(*modules: ModuleType, answer_seconds: float = 60.0, clock: Any = None) -> Rulings:
    plugins = plugins_of(*modules, answer_seconds=answer_seconds)
    return Rulings(plugins, "orders", SCHEMA, clock=clock or Clock())


def judge_of(
    *modules: ModuleType,
    function: Any = None,
    rekeys: bool = False,
    ignore: Any = (),
    ttl: Any = (),
    answer_seconds: float = 60.0,
) -> Judge:
    """The rules of a pair with plugins."""
    transform = Transform("tests:function" if function else "", function, SCHEMA, SCHEMA, rekeys)
    return Judge(transform, Form.of(ignore), tuple(ttl), rulings_of(*modules, answer_seconds=answer_seconds))
