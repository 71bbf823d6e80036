"""Attribute paths, as `ignore` and findings write them: text and steps. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from ddbverify.errors import ConfigurationError

AttributePath = tuple[str | int, ...]
"""``("a", "b", 0)`` for ``a.b[0]``."""

# `name`, `[0]`, and the dot between names; a backslash takes the next character literally.
_STEP = re.compile(r"\[(\d+)\]|\.?((?:\\.|[^.\[\]\\])+)", re.ASCII)


def parse_path(text: str) -> AttributePath:
    """
    ``a.b[0]`` -> ``("a", "b", 0)``; a backslash before ``.``, ``[`` or ``]`` takes it literally.

    Raises:
        ConfigurationError: It is no attribute path.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        first_is_wrong = not steps and (found is None or found[1] is not None or text[0] == ".")
        # Between two names there is a dot, and nothing between a name and an index.
        unseparated = found is not None and found[2] is not None and steps and text[position] != "."
        if found is None or first_is_wrong or unseparated:
            steps.clear()
            break
        steps.append(int(found[1]) if found[1] else re.sub(r"\\(.)", r"\1", found[2]))
        position = found.end()
    if not steps:
        raise ConfigurationError(
            f"[[tables]] ignore: {text!r} is not an attribute path.",
            'write it like "updated_at", "address.city" or "lines[0].price".',
        )
    return tuple(steps)


@lru_cache(maxsize=4_096)  # items mostly differ in the same few places
def show_path(path: AttributePath) -> str:
    """The inverse of `parse_path`."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        else:
            shown += ("." if shown else "") + re.sub(r"([.\[\]\\])", r"\\\1", step)
    return shown
