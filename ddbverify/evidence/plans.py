"""
A plan: which causes of a ``repair.json`` are to be repaired, as the report lets a reader choose them.

It names the file by its digest, and holds no key and no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders, repairs
from ddbverify.evidence.strict import Strict
from ddbverify.items.states import State

VERSION: Final = 1

_MOST_BYTES: Final = 16 * 2**20
_ANOTHER: Final = "make a plan anew in the report, or name the repair.json itself: then all causes are meant."


class Chosen(Strict, frozen=True):
    """One cause, as `repairs.CauseOf` has it."""

    pair: str
    finding: State
    cause: str


class Plan(Strict, frozen=True):
    """What was chosen, of which ``repair.json``."""

    version: int
    repair: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    causes: tuple[Chosen, ...]
    sum: Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]  # of all of it, see `sum_of`


def of(repair: str, causes: Sequence[Chosen]) -> Plan:
    """A plan over these causes."""
    return Plan(version=VERSION, repair=repair, causes=tuple(causes), sum=sum_of(repair, causes))


def sum_of(repair: str, causes: Iterable[Chosen]) -> str:
    """
    FNV-1a over what a plan says, as the report's own script makes it, too.

    No secret is in it: it tells an edited plan from one that a reader has made, and nothing more.
    """
    said = "\n".join([repair, *(f"{one.pair}\t{one.finding}\t{one.cause}" for one in causes)])
    found = 0x811C9DC5
    for byte in said.encode("utf-8", "replace"):
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{found:08x}"


def read(path: Path) -> Plan | None:
    """
    A plan; ``None`` where *path* is a folder or a ``repair.json``, which stands for all of its causes.

    Raises:
        ConfigurationError: It cannot be read, is no plan, of another version, or was edited.
    """
    if path.is_dir():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"The plan {path} cannot be read: {error.strerror}.",
            "name a plan that was downloaded from a report, or the repair.json of a run.",
        ) from error
    if path.name == folders.REPAIR or content.startswith(b'{"version":1,"findings":'):
        return None
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no plan of a repair, or is cut.", _ANOTHER) from error
    if version != VERSION:
        raise ConfigurationError(
            f"The plan {path} is of version {version}, and this one is {VERSION}.", _ANOTHER
        )
    try:
        plan = msgspec.json.decode(content, type=Plan)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigurationError(f"The plan {path} was edited, or is cut.", _ANOTHER) from error
    if plan.sum != sum_of(plan.repair, plan.causes):
        raise ConfigurationError(f"The plan {path} was edited, or is cut.", _ANOTHER)
    if not plan.causes:
        raise ConfigurationError(f"The plan {path} names no cause.", _ANOTHER)
    return plan


class _Versioned(msgspec.Struct):
    version: int


def place_of(plan: Plan | None, path: Path, config: Config, folder: Path | None) -> Path:
    """
    Where the ``repair.json`` of a plan is.

    Args:
        plan: As `read`.
        path: Of the plan, or what is named in its place.
        config: Of the migration, whose runs are looked through.
        folder: Where it is said to be, if that was said.

    Raises:
        ConfigurationError: It is nowhere.
    """
    if plan is None:
        return path / folders.REPAIR if path.is_dir() else path
    runs = folders.runs(config)
    newest = sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []
    for one in [folder] if folder is not None else [path.parent, *newest]:
        place = one / folders.REPAIR
        tail = repairs.tail_of(place)
        if tail is not None and tail.digest == plan.repair:
            return place
    raise ConfigurationError(
        f"The plan {path} is about a repair.json that is not {f'in {folder}' if folder else 'here'}: another "
        "run or migration left it, or it was changed.",
        "name its folder with --folder, on the machine that made the run.",
    )
