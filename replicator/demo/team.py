"""The other team, which deploys what `replicator synth` writes: with rights that the operator has not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError, WaiterError

from replicator.demo.scene import Scene
from replicator.demo.shell import StepFailed

FOLDER: Final = "stacks"

_PATIENCE: Final = {"Delay": 1, "MaxAttempts": 600}


@dataclass(slots=True)
class Team:
    """
    Deploys with plain boto3, as the root of the accounts.

    Args:
        folder: The migration's, in which `synth` has left the files.
        made: The stacks that it has made, in their order.
    """

    scene: Scene
    folder: Path
    made: list[str] = field(default_factory=list)

    def deploy(self) -> str:
        """Make every stack that is written and not there yet; says which."""
        written = {
            path.stem: path.read_text(encoding="utf-8") for path in (self.folder / FOLDER).glob("*.yaml")
        }
        new = sorted(written.keys() - set(self.made))
        if not new:
            raise StepFailed("`synth` has written no stack that is not deployed already")
        for name in new:
            values = json.loads(
                (self.folder / FOLDER / f"{name}.parameters.json").read_text(encoding="utf-8")
            )
            client = self._cloudformation(name)
            try:
                client.create_stack(
                    StackName=name,
                    TemplateBody=written[name],
                    Parameters=values,
                    Capabilities=["CAPABILITY_NAMED_IAM"],
                )
                client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=_PATIENCE)
            except (ClientError, WaiterError) as error:
                raise StepFailed(f"the other team could not deploy {name}: {error}") from error
            self.made.append(name)
        return ", ".join(new)

    def remove(self, *, base: bool) -> str:
        """Remove the stack *base*, or all others, the newest first; says which."""
        gone = [name for name in reversed(self.made) if name.endswith("-base") == base]
        for name in gone:
            client = self._cloudformation(name)
            client.delete_stack(StackName=name)
            client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=_PATIENCE)
            self.made.remove(name)
        return ", ".join(gone)

    def _cloudformation(self, name: str) -> Any:
        spot = self.scene.target if name.endswith("-target") else self.scene.source
        return spot.client("cloudformation")
