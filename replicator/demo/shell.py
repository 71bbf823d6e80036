"""The commands of the story: child processes, since what is shown is what is shipped."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicator.context.console import Console


class StepFailed(Exception):
    """A step of the story did not hold; the message says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Shell:
    """
    Runs our commands, and shows them.

    Args:
        environments: Program -> environment of a child that runs it.
        folder: The migration's, which they run in.
        deadline: Monotonic seconds behind which none goes on.
    """

    console: Console
    environments: Mapping[str, Mapping[str, str]]
    folder: Path
    deadline: float | None = None

    def run(self, *command: str, fails: bool = False) -> None:
        """Run a command and show what it says. Raises StepFailed unless it ends as expected."""
        done = self._child(*command)
        for line in (done.stdout + done.stderr).splitlines():
            self.console.line(f"      {line}")
        if (done.returncode != 0) != fails:
            raise StepFailed(f"`{shlex.join(command)}` ended with {done.returncode}")

    def json(self, *command: str, fails: bool | None, more: tuple[str, ...] = ("--json",)) -> dict[str, Any]:
        """Run a command for its JSON, which *more* asks it for; *fails* None takes any exit status."""
        done = self._child(*command, more=more)
        if fails is not None and (done.returncode != 0) != fails:
            for line in done.stderr.splitlines():
                self.console.line(f"      {line}")
            raise StepFailed(f"`{shlex.join(command)}` ended with {done.returncode}")
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise StepFailed(f"`{shlex.join(command)}` said: {done.stderr.strip()[-500:]}") from None
        return answer

    def _child(self, *command: str, more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        self.console.line(f"    $ {shlex.join(command)}")
        program, *arguments = command
        environment = dict(self.environments[program])
        # Absolute, since the child runs in the migration's folder and not in the user's.
        given = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        paths = [Path.cwd(), *(Path(one).resolve() for one in given)]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        try:
            return subprocess.run(
                [sys.executable, "-m", program, *arguments, *more],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=left,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"the time was over in `{shlex.join(command)}`") from None
