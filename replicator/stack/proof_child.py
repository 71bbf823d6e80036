"""
The child of `replicator.stack.proof`: run as a file, isolated, with nothing of ours on the path.

Its last line on standard output is its answer, so an import that prints or exits is no proof.
"""

from __future__ import annotations

import importlib
import json
import sys


def main(bundle: str, packages: str, *names: str) -> int:
    """Import each ``module:function`` from *bundle*, in Lambda's order of folders."""
    sys.path[:0] = [bundle, packages]
    for name in names:
        module, _, function = name.partition(":")
        try:
            getattr(importlib.import_module(module), function)
        # An import runs whatever code there is; all that it raises, exits included, is the answer.
        except BaseException as error:  # noqa: BLE001
            _say({"failed": name, "error": f"{type(error).__name__}: {error}"})
            return 1
    _say({"loaded": len(names)})
    return 0


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
