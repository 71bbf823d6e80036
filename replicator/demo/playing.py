"""The story, told on an embedded AWS that is gone behind it."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddbverify.errors import ConfigurationError
from ddbverify.items.transform import load_function
from replicator.context.console import Console
from replicator.demo import accounts, reports, shapes
from replicator.demo.scene import Scene
from replicator.demo.story import Options, Story
from replicator.demo.story_words import key_words
from replicator.embedded.aws import EmbeddedAws, embedded_aws


def demo(options: Options, console: Console) -> dict[str, Any]:
    """
    Run the demonstration.

    Returns:
        ``held``: whether every step and the proof held.

    Raises:
        ConfigurationError: The items or the transform cannot be used.
        EngineError: The embedded AWS cannot be set up or started.
    """
    if options.traffic <= 0:
        raise ConfigurationError("--traffic has to be above 0.", "use for example --traffic 100.")
    if options.deployed and options.two_accounts:
        raise ConfigurationError(
            "--deployed and --two-accounts are two demonstrations.", "run one, then the other."
        )
    items = (
        shapes.load_items(options.items)
        if options.items
        else shapes.generated_items(options.count, options.seed)
    )
    if len(items) < 50:
        raise ConfigurationError(f"{len(items)} items are too few for a demonstration.", "use at least 50.")
    schema = shapes.find_key(items)
    function, target_schema, rekeys = None, schema, False
    if options.transform:
        sys.path.insert(0, str(Path.cwd()))
        function = load_function(options.transform)
        target_schema, rekeys = shapes.find_target_key(items, schema, function)
    reports.prepare(options.report)
    console.line(f"{len(items)} items, key {key_words(schema)}; target key {key_words(target_schema)}")
    folder = Path(tempfile.mkdtemp(prefix="replicator-demo-"))
    try:
        with embedded_aws(
            # Roles are held against the policy that wants TLS, where the root of an account is not.
            log=folder / "embedded-aws.log",
            progress=console.line,
            tls=options.two_accounts or options.deployed,
        ) as aws:
            scene = _scene(options)(aws, folder)
            story = Story(options, console, scene, folder, items, schema, target_schema, rekeys, function)
            outcome = story.tell()
            if options.keep:
                _keep(console, aws, folder, scene)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _scene(options: Options) -> Callable[[EmbeddedAws, Path], Scene]:
    if options.deployed:
        return accounts.deployed
    return accounts.two if options.two_accounts else accounts.one


def _keep(console: Console, aws: EmbeddedAws, folder: Path, scene: Scene) -> None:
    console.line(f"\nKept: {folder} (migration.toml, journal, runs). The embedded AWS answers until Ctrl-C:")
    for name, value in aws.variables(scene.source.region).items():
        console.line(f"  export {name}={shlex.quote(value)}")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.line("ended")
