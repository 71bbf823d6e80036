"""Proof that a bundle loads by itself, before anything is deployed from it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddbverify.code.imports import find
from ddbverify.code.reach import awaited
from ddbverify.errors import ConfigurationError
from ddbverify.words import page
from replicator.stack import proof_child

SECONDS = 120.0  # an import that takes longer would not do for a function's cold start either


def prove(content: bytes, names: Sequence[str], runtime: Sequence[str]) -> None:
    """
    Import everything that is deployed, with the bundle alone and the runtime's packages on the path.

    Args:
        content: The bundle, a zip file.
        names: ``module:function`` of each handler and transform.
        runtime: Top-level packages that Lambda brings along; taken from this environment.

    Raises:
        ConfigurationError: One does not load; the message says which, and the import's own error.
    """
    with tempfile.TemporaryDirectory(prefix="ddbverify-bundle-") as folder:
        bundle, packages = Path(folder, "task"), Path(folder, "runtime")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(bundle)
        packages.mkdir()
        for top in (*runtime, "jmespath"):
            _link(top, packages)
        answer = _ask(bundle, packages, names)
    if "failed" in answer:
        raise ConfigurationError(
            f"{answer['failed']} does not load from the bundle: {answer['error']}",
            "import only what is installed here and is found by an import statement; "
            f"see {page('transforms.md')} for what travels with a transform.",
        )


def _ask(bundle: Path, packages: Path, names: Sequence[str]) -> dict[str, Any]:
    child = [sys.executable, "-I", "-S", "-B", proof_child.__file__, str(bundle), str(packages), *names]
    # Of the variables that Lambda sets, the one without which clients cannot be made.
    environment = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "HOME": str(bundle)}
    with subprocess.Popen(
        child,
        env=environment,
        cwd=bundle,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as importing:
        try:
            said = awaited(importing, None, "what is to be deployed", SECONDS)
        except subprocess.TimeoutExpired:
            return {"failed": " or ".join(names), "error": f"the imports took more than {SECONDS:.0f} s"}
    last = (said.strip().splitlines() or [""])[-1]
    try:
        answer = json.loads(last)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and ("failed" in answer or answer.get("loaded") == len(names)):
        return answer
    return {
        "failed": " or ".join(names),
        "error": f"the import ended Python with status {importing.returncode}",
    }


def _link(top: str, folder: Path) -> None:
    """Make one package of this environment, and none of its neighbours, importable from *folder*."""
    spec = find(top)
    if spec is None or spec.origin is None:
        return  # then the import that needs it says so
    file = Path(spec.origin)
    wanted = file.parent if spec.submodule_search_locations else file
    (folder / wanted.name).symlink_to(wanted)
