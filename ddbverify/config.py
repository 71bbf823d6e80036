"""
``migration.toml`` -> frozen settings, or an error that names the table and key to change.

One file for both commands. Only ``[[tables]]`` is required. The sections stand in
`ddbverify.config_sections`, what is refused of them in `ddbverify.config_checks`.
"""

from __future__ import annotations

import difflib
import gzip
import re
import tomllib
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.config_checks import check, check_coverage, check_table, check_transform
from ddbverify.config_sections import Checks as Checks
from ddbverify.config_sections import Config as Config
from ddbverify.config_sections import Cutover as Cutover
from ddbverify.config_sections import Duration as Duration
from ddbverify.config_sections import Gate as Gate
from ddbverify.config_sections import Metrics as Metrics
from ddbverify.config_sections import Notify as Notify
from ddbverify.config_sections import Pair as Pair
from ddbverify.config_sections import Replication as Replication
from ddbverify.config_sections import Side as Side
from ddbverify.config_sections import Size as Size
from ddbverify.config_sections import Stack as Stack
from ddbverify.config_sections import Verification as Verification
from ddbverify.errors import ConfigurationError
from ddbverify.names import FILE_NAME as FILE_NAME
from ddbverify.words import page

_GZIP = b"\x1f\x8b"  # what a gzip file begins with


def load(path: Path | str | None = None) -> Config:
    """
    Read and check *path*, by default ``migration.toml`` in the current folder.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or a key is unknown, of the
            wrong type or out of range.
    """
    path = Path(path or FILE_NAME)
    text = read_text(
        path,
        f"run in the folder of your {FILE_NAME}, or name the file with --config; "
        "`ddbverify init` writes a new one.",
    )
    return parse(text, path.resolve().parent, shown_as=path.name)


def read_text(path: Path, hint: str, *, shown_as: str = "") -> str:
    """
    What a user has written into a file: UTF-8, with or without a byte order mark, gzipped or not.

    Args:
        path: The file.
        hint: What to do where there is none.
        shown_as: What messages call it; its path by default.

    Raises:
        ConfigurationError: It cannot be read, is no UTF-8, or a gzip file that is cut off or damaged.
    """
    name = shown_as or str(path)
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode("utf-8-sig")
    except EOFError as error:
        raise ConfigurationError(f"{name} is a truncated gzip file.", "copy or make it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ConfigurationError(f"{name} is a damaged gzip file.", "copy or make it again.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name} is not UTF-8 text.", "save it as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}.", hint) from error


def parse(text: str, folder: Path, *, shown_as: str = FILE_NAME) -> Config:
    """Like `load`, from the file's text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{shown_as} is not valid TOML: {error}.", "fix that line.") from error
    if "folder" in document:
        raise ConfigurationError(f"{shown_as}: unknown key `folder`.", "remove it.")
    if not document.get("tables"):
        raise ConfigurationError(
            f"{shown_as}: there is no [[tables]] section, so there is nothing to do.",
            'add one: [[tables]], source = "orders", target = "orders-v2".',
        )
    try:
        config = msgspec.convert(document, Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{shown_as}: {_in_toml_terms(str(error))}.",
            f"the keys and their types are in {page('configuration.md')}.",
        ) from error
    config = msgspec.structs.replace(config, folder=folder)
    check(config, shown_as)
    return config


def with_coverage(config: Config, coverage: str) -> Config:
    """
    The same settings with another coverage, for one run.

    Raises:
        ConfigurationError: It is neither ``full`` nor a percentage.
    """
    changed = msgspec.structs.replace(
        config, verification=msgspec.structs.replace(config.verification, coverage=coverage)
    )
    check(changed, "--sample")
    return changed


def of_options(
    pair: Pair,
    *,
    source: Side,
    target: Side,
    verification: Verification,
    folder: Path,
    exports: Collection[str] = (),
) -> Config:
    """
    The settings of one pair that a command line names, without a file.

    Args:
        pair: As named.
        source: How the source is reached.
        target: How the target is.
        verification: How they are compared.
        folder: Where a transform's module is looked for.
        exports: Those of the two that are addresses of exports, and no tables.

    Raises:
        ConfigurationError: In the words of the command line.
    """
    for role, table, side in (("source", pair.source, source), ("target", pair.target, target)):
        if table not in exports:
            check_table(role.upper(), table, f"--{role}-region", side, ConfigurationError)
    check_transform("--transform", pair.transform, ConfigurationError)
    if pair.rekeys and pair.transform is None:
        raise ConfigurationError("--rekeys needs a transform.", "name one with --transform, or leave it out.")
    check_coverage("--sample", verification.coverage, ConfigurationError)
    return Config(tables=(pair,), source=source, target=target, verification=verification, folder=folder)


def duration(text: str) -> Duration:
    """
    ``"90s"`` -> 90 seconds.

    Raises:
        ValueError: It is none; the text says what one looks like.
    """
    return Duration(_measure(text, {"s": 1, "m": 60, "h": 3600, "d": 86400}, '"90s", "5m", "1h" or "1d"'))


def size(text: str) -> Size:
    """``"512MB"`` -> 512,000,000 bytes, as `duration`."""
    return Size(_measure(text, {"KB": 10**3, "MB": 10**6, "GB": 10**9}, '"512MB" or "2GB"'))


def _decode(kind: type, value: Any) -> Any:
    if kind is Duration:
        return duration(value)
    if kind is Size:
        return size(value)
    if kind is Path:  # `folder` is not a key of the file; parse() refuses it before this is reached
        return Path(value)
    raise NotImplementedError(kind)


def _measure(value: Any, units: dict[str, int], examples: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", value) if isinstance(value, str) else None
    if found is None or found[2] not in units:
        raise ValueError(f"Expected something like {examples}, got `{value}`")
    return float(found[1]) * units[found[2]]


def _in_toml_terms(text: str) -> str:
    """What msgspec says (``... - at `$.tables[0].rekeys` ``), the place first and in the words of TOML."""
    message, _, place = text.partition(" - at `$")
    unknown = re.search(r"unknown field `(.+)`", message)
    if unknown:
        message = f"unknown key `{unknown[1]}`{_meant(unknown[1], place)}"
    missing = re.search(r"missing required field `(.+)`", message)
    if missing:
        message = f"the key `{missing[1]}` is missing"
    message = message[:1].lower() + message[1:]
    where = place.rstrip("`").lstrip(".")
    if not where:
        return message
    number = re.match(r"tables\[(\d+)\]", where)
    if number:
        where = f"[[tables]] number {int(number[1]) + 1}{where[number.end() :].replace('.', ', ', 1)}"
    return f"{where}: {message}"


def _meant(key: str, place: str) -> str:
    """What an unknown key at *place* (of msgspec, such as ``.gate``) may have been meant to be."""
    section = re.sub(r"\W|\d", "", place)
    sections: dict[str, type[msgspec.Struct]] = {
        "": Config,
        "tables": Pair,
        "source": Side,
        "target": Side,
        "replication": Replication,
        "stack": Stack,
        "verification": Verification,
        "gate": Gate,
        "checks": Checks,
        "cutover": Cutover,
        "metrics": Metrics,
        "notify": Notify,
    }
    keys = {name: [field.name for field in msgspec.structs.fields(kind)] for name, kind in sections.items()}
    keys[""].remove("folder")
    close = difflib.get_close_matches(key, keys[section], n=1)
    if close:
        return f"; perhaps `{close[0]}` is meant"
    homes = [name for name, known in keys.items() if name and key in known]
    return f"; there is one in [{homes[0]}]".replace("[tables]", "[[tables]]") if homes else ""
