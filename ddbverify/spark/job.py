"""What every task is given: which exports, which rules. It is pickled, and holds no client and no item."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ddbverify.code.digest import transform_files
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.judge import Judge
from ddbverify.compare.sides import Role
from ddbverify.config import Config, Pair, Side
from ddbverify.errors import ConfigurationError
from ddbverify.exports.export import Export, Increment
from ddbverify.exports.manifest import Part
from ddbverify.exports.store import Address, store_of
from ddbverify.items.form import Form
from ddbverify.items.paths import AttributePath
from ddbverify.items.quick import QuickState
from ddbverify.items.transform import Transform
from ddbverify.names import KeySchema
from ddbverify.spark import bound
from ddbverify.spark.bound import Bound
from ddbverify.spark.item_checks import TaskChecks
from ddbverify.spark.units import Units
from ddbverify.words import page

MOST_MEMORY: Final = 128_000_000
"""Bytes that may wait in one task, whatever `memory` says: several run side by side in one executor."""


@dataclass(frozen=True, slots=True)
class Travelling:
    """An export without its open stores."""

    export: Export  # its stores are None
    side: Side

    @classmethod
    def of(cls, export: Export, side: Side) -> Travelling:
        """*export* as it can be pickled."""
        changes = tuple(replace(one, store=None) for one in export.changes)  # type: ignore[arg-type]
        return cls(replace(export, store=None, live=None, changes=changes), side)  # type: ignore[arg-type]

    @property
    def address(self) -> Address:
        """Where it lies."""
        return self.export.address

    def part(self, number: int) -> Export:
        """One part of the full export, as an export of that alone. Raises as `store_of` does."""
        full = self.export.full
        part = full.parts[number]
        alone = replace(full, parts=(part,), items=part.items)
        return replace(self.export, store=store_of(self.address, self.side), full=alone, changes=())

    def change(self, number: int) -> tuple[Increment, Part]:
        """One part of what is on top of it; parts are counted on from those of the full export."""
        number -= len(self.export.full.parts)
        for one in self.export.changes:
            if number < len(one.manifest.parts):
                return one, one.manifest.parts[number]
            number -= len(one.manifest.parts)
        raise IndexError(number)

    @property
    def unread(self) -> Travelling:
        """The same with nothing to read in it."""
        full = replace(self.export.full, parts=(), items=0)
        return replace(self, export=replace(self.export, full=full, changes=()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One comparison."""

    exports: Mapping[Role, Travelling]
    transform: str | None
    rekeys: bool
    folder: str  # beside which the transform's module is looked for, where there is such a folder
    code: Mapping[str, str]  # files of the transform, by their place, and the SHA-256 of each
    ignore: tuple[AttributePath, ...]
    secret: bytes = field(repr=False)  # of the digests
    ttl_attributes: tuple[str, ...]
    bound: Bound | None
    at: float  # the moment that the sides are of
    memory: int
    checks: TaskChecks = field(
        default_factory=TaskChecks
    )  # those that see equal items, which are judged for them one and all

    @classmethod
    def of(
        cls,
        config: Config,
        pair: Pair,
        exports: Mapping[Role, Export],
        judge: Judge,
        at: float,
        item_checks: Iterable[ItemCheck] = (),
    ) -> Job:
        """Raises ConfigurationError where files of the transform, or a check, cannot be handed on."""
        sides = {Role.SOURCE: config.source, Role.TARGET: config.target}
        return cls(
            exports={role: Travelling.of(export, sides[role]) for role, export in exports.items()},
            transform=pair.transform,
            rekeys=pair.rekeys,
            folder=str(config.folder.resolve()),
            code=code_of(config, pair),
            ignore=judge.form.ignore,
            secret=judge.form.secret,
            ttl_attributes=judge.ttl_attributes,
            bound=bound.here(),
            at=at,
            memory=min(config.verification.memory, MOST_MEMORY),
            checks=TaskChecks.of(item_checks),
        )

    @property
    def units(self) -> Units:
        """The data files to read."""
        return Units.of({role: travelling.export for role, travelling in self.exports.items()})

    def part(self, unit: int) -> Export:
        """The export that holds one data file of a full export alone. Raises as `store_of` does."""
        role, number = self.units.place(unit)
        return self.exports[role].part(number)

    def without(self, roles: Iterable[Role]) -> Job:
        """The same, with nothing to read of some sides."""
        unread = {role: self.exports[role].unread for role in roles}
        return replace(self, exports={**self.exports, **unread})

    def seen(self) -> bytes:
        """What the code in this process has loaded and read, where evidence is about it."""
        return bound.seen(self.bound, self.code)

    @property
    def quick(self) -> QuickState:
        """What says "surely equal"."""
        return QuickState(self.secret, self.ignore)

    def judge(self) -> Judge:
        """
        The rules, in a task.

        Raises:
            ConfigurationError: The transform does not load here, or is another one than where the job began.
        """
        bound.begin(self.bound)
        source, target = (self.exports[role].export.table.key_schema for role in Role)
        transform = loaded(self.transform, self.folder, self.code, source, target, rekeys=self.rekeys)
        return Judge(transform, Form(self.ignore, self.secret), self.ttl_attributes)


def code_of(config: Config, pair: Pair) -> dict[str, str]:
    """The files of a pair's transform, by their place, and the SHA-256 of each."""
    if pair.transform is None:
        return {}
    files = transform_files(config, pair.transform)
    return {place: hashlib.sha256(file.read_bytes()).hexdigest() for place, file in files.items()}


def loaded(
    name: str | None,
    folder: str,
    code: Mapping[str, str],
    source: KeySchema,
    target: KeySchema,
    *,
    rekeys: bool,
) -> Transform:
    """
    The transform, in a task.

    Args:
        name: ``module:function``; ``None`` for none.
        folder: Beside which its module is looked for, where there is such a folder.
        code: As `code_of` has it where the job began.
        source: Keys of the source.
        target: Likewise.
        rekeys: Whether it makes keys of its own.

    Raises:
        ConfigurationError: It does not load here, or is another one than where the job began.
    """
    if name is not None and folder not in sys.path and Path(folder).is_dir():
        sys.path.insert(0, folder)
    transform = Transform.load(name, source, target, rekeys=rekeys)
    if name is not None:
        _require_same_code(name, code)
    return transform


def _require_same_code(name: str, code: Mapping[str, str]) -> None:
    """Another version of the transform, on one machine of many, would make differences of its own."""
    module = importlib.import_module(name.partition(":")[0])
    origin: str = getattr(module, "__file__", None) or ""
    loader: Any = getattr(module.__spec__, "loader", None)
    own = module.__name__.replace(".", "/")
    place = next((one for one in (f"{own}.py", f"{own}/__init__.py") if origin.endswith(one)), None)
    if place is not None and hasattr(loader, "get_data"):
        root = origin.removesuffix(place)
        try:
            here = {one: hashlib.sha256(loader.get_data(root + one)).hexdigest() for one in code}
        except OSError:
            here = {}
        if here == dict(code):
            return
    raise ConfigurationError(
        f"The transform {name} is not the same in a task as where the command runs.",
        f"hand its files to all tasks, as --py-files transforms.zip; see {page('spark.md')}.",
    )
