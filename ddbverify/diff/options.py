"""What a command line says about two tables -> a `Config`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from ddbverify import config as configuration
from ddbverify.config import Config, Pair, Side, Verification
from ddbverify.errors import ConfigurationError
from ddbverify.exports.store import is_address
from ddbverify.items.paths import parse_path
from ddbverify.names import KeySchema

_T = TypeVar("_T")

LIVE: Final = "live"

HERE: Final = "here"
SPARK: Final = "spark"
ENGINES: Final = (HERE, SPARK)

_KEY_PARTS: Final = 2  # hash and range


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    Two sides, and how they are compared, as the command line has them.

    A side is a table's name or ARN, or the address of an export.
    """

    source: str
    target: str
    source_side: Side = field(default_factory=Side)
    target_side: Side = field(default_factory=Side)
    source_changes: tuple[str, ...] = ()  # incremental exports on top of the source's, in their order
    target_changes: tuple[str, ...] = ()
    key: str | None = None  # "pk:S,sk:N" of exported tables that cannot be asked
    target_key: str | None = None  # of the target, where it is not the source's
    transform: str | None = None
    rekeys: bool = False
    ignore: tuple[str, ...] = ()
    sample: str | None = None  # "0.5%"; None for everything
    seed: int | None = None
    strata: tuple[Path, ...] = ()  # files of keys that are compared beside a sample
    segments: int | None = None
    settle: str | None = None  # "60s"; of exports "live" or "live:60s": in the tables themselves
    memory: str | None = None  # "512MB"
    read_units: int | None = None  # ceiling per second and table
    max_read_units: int | None = None  # over both tables together
    processes: int | None = None  # that read and compare; None: as many as are worth it
    engine: str = HERE  # of `ENGINES`
    spark_staging: str | None = None  # "s3://bucket/prefix": where items of live tables wait on Spark

    @property
    def settles_live(self) -> bool:
        """Whether keys that differ in exports are looked at in the tables."""
        return self.settle is not None and self.settle.split(":")[0] == LIVE

    @property
    def settle_time(self) -> str | None:
        """For how long a key has to hold still."""
        return (self.settle or "").partition(":")[2] or None if self.settles_live else self.settle

    @property
    def exports(self) -> tuple[str, ...]:
        """Those of the two sides that are exports."""
        return tuple(one for one in (self.source, self.target) if is_address(one))


def config_of(options: Options, folder: Path) -> Config:
    """
    The settings that *options* stand for; those not given are the file's defaults.

    Args:
        options: As given.
        folder: Where a transform's module is looked for.

    Raises:
        ConfigurationError: Names the option to change.
    """
    for path in options.ignore:
        try:
            parse_path(path)
        except ConfigurationError as error:
            raise ConfigurationError(f"--ignore: {path!r} is not an attribute path.", error.hint) from error
    _check_exports(options)
    given: dict[str, Any] = {
        "coverage": options.sample,
        "settle": _measured("--settle", options.settle_time, configuration.duration),
        "memory": _measured("--memory", options.memory, configuration.size),
        "read_units": options.read_units,
        "max_read_units": options.max_read_units,
        "processes": options.processes,
    }
    config = configuration.of_options(
        Pair(
            source=options.source,
            target=options.target,
            transform=options.transform,
            rekeys=options.rekeys,
            ignore=options.ignore,
        ),
        source=options.source_side,
        target=options.target_side,
        verification=Verification(**{name: value for name, value in given.items() if value is not None}),
        folder=folder,
        exports=options.exports,
    )
    if options.strata and (config.verification.sampled_fraction or 1) == 1:
        raise ConfigurationError(
            "--stratum: everything is read, so there is nothing to look at beside it.",
            "leave it out, or read a --sample.",
        )
    if options.rekeys and (config.verification.sampled_fraction or 1) < 1:
        raise ConfigurationError(
            "--sample: a re-keyed pair cannot be sampled, its keys move between segments.",
            "leave out --sample.",
        )
    return config


def key_of(text: str, option: str) -> KeySchema:
    """
    ``pk:S,sk:N`` -> a key schema.

    Raises:
        ConfigurationError: It is none.
    """
    parts = [one.rpartition(":") for one in text.split(",")]
    names = {name for name, _, kind in parts if name and kind in ("S", "N", "B")}
    if len(names) < len(parts) or len(parts) > _KEY_PARTS:
        raise ConfigurationError(
            f"{option}: {text!r} is no key.",
            "write the hash key, and the range key if there is one: pk:S,sk:N.",
        )
    return {name: kind for name, _, kind in parts}


def _check_exports(options: Options) -> None:
    """Refuse what cannot be done with an export, and what is said of one where there is none."""
    for side, text, changes in (
        ("source", options.source, options.source_changes),
        ("target", options.target, options.target_changes),
    ):
        if changes and not is_address(text):
            raise ConfigurationError(
                f"--{side}-changes: the {side} is no export.", "leave it out, or name an export."
            )
    if options.engine == SPARK:
        _check_spark(options)
    if options.spark_staging and (options.engine != SPARK or options.exports or options.sample):
        raise ConfigurationError(
            "--spark-staging is for whole live tables on Spark.",
            "add --engine spark and leave out --sample, or leave it out.",
        )
    if not options.exports:
        if options.settles_live:
            raise ConfigurationError(
                "--settle live is for exports: tables are looked at anyway.", "give a time, or leave it out."
            )
        if options.key or options.target_key:
            raise ConfigurationError(
                "--key: both sides are tables, which say what their keys are.", "leave it out."
            )
        return
    if options.settle is not None and not options.settles_live:
        raise ConfigurationError(
            f"--settle {options.settle}: an export does not move, so nothing in it settles.",
            "leave it out."
            if options.rekeys
            else f"leave it out; --settle {LIVE}:{options.settle} looks at what differs in the tables.",
        )
    if options.rekeys and options.settles_live:
        raise ConfigurationError(
            "--settle live: of a re-keyed pair an export does not tell which items to look at in the tables.",
            "leave out --settle live, or compare the tables themselves.",
        )
    for option, given in (
        ("--sample", options.sample is not None),
        ("--segments", options.segments is not None),
        ("--processes", options.processes is not None),
    ):
        if given:
            raise ConfigurationError(
                f"{option}: an export has no keys to look at one by one, and no segments.",
                f"leave out {option}, or compare the tables themselves.",
            )


def _check_spark(options: Options) -> None:
    """Refuse what is not compared on Spark."""
    if len(options.exports) == 1:
        raise ConfigurationError(
            "--engine spark: one side is a live table, and the other an export.",
            "name two exports or two tables, or leave out --engine.",
        )
    if options.rekeys and not options.exports:
        raise ConfigurationError(
            "--engine spark: live tables of a re-keyed pair are compared on one machine only.",
            "compare exports of the tables, or leave out --engine.",
        )
    if options.rekeys and (options.source_changes or options.target_changes):
        raise ConfigurationError(
            "--engine spark: incremental exports of a re-keyed pair are read on one machine only.",
            "make a full export of the later time, or leave out --engine.",
        )


def _measured(option: str, text: str | None, measure: Callable[[str], _T]) -> _T | None:
    if text is None:
        return None
    try:
        return measure(text)
    except ValueError as error:
        examples = str(error).partition(", got")[0].removeprefix("Expected ")
        raise ConfigurationError(f"{option}: {text!r} is not understood.", f"write {examples}.") from error
