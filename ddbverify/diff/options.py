"""What a command line says about two tables -> a `Config`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ddbverify import config as configuration
from ddbverify.config import Config, Pair, Side, Verification
from ddbverify.errors import ConfigurationError
from ddbverify.items.paths import parse_path

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    Two sides, and how they are compared, as the command line has them.

    A side is a table's name or ARN today. Another kind of side (an export) is told by its
    form, and is recognised in `config_of`, before anything else looks at the text.
    """

    source: str
    target: str
    source_side: Side = field(default_factory=Side)
    target_side: Side = field(default_factory=Side)
    transform: str | None = None
    rekeys: bool = False
    ignore: tuple[str, ...] = ()
    sample: str | None = None  # "0.5%"; None for everything
    seed: int | None = None
    strata: tuple[Path, ...] = ()  # files of keys that are compared beside a sample
    segments: int | None = None
    settle: str | None = None  # "60s"
    memory: str | None = None  # "512MB"
    read_units: int | None = None  # ceiling per second and table
    max_read_units: int | None = None  # over both tables together
    processes: int | None = None  # that read and compare; None: as many as are worth it


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
    given: dict[str, Any] = {
        "coverage": options.sample,
        "settle": _measured("--settle", options.settle, configuration.duration),
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


def _measured(option: str, text: str | None, measure: Callable[[str], _T]) -> _T | None:
    if text is None:
        return None
    try:
        return measure(text)
    except ValueError as error:
        examples = str(error).partition(", got")[0].removeprefix("Expected ")
        raise ConfigurationError(f"{option}: {text!r} is not understood.", f"write {examples}.") from error
