"""
``migration.toml`` -> frozen settings, or an error that names the table and key to change.

One file for both commands. Only ``[[tables]]`` is required; every default is safe on
production. The reference of all keys is ``docs/configuration.md``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from ddbverify.errors import ConfigurationError
from ddbverify.names import FILE_NAME as FILE_NAME
from ddbverify.names import MIGRATION_NAME, pair_id, table_name
from ddbverify.setting_names import FAMILIES, SETTINGS, is_known

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_TABLE_ARN = re.compile(r"arn:[a-z-]+:dynamodb:([a-z0-9-]+):(\d{12}):table/([A-Za-z0-9_.-]{3,255})")
PLUGIN_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+")
LEAST_WRITE_UNITS = 100
_TRANSFORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

# Every domain of AWS's partitions; an endpoint anywhere else is an emulator.
# https://docs.aws.amazon.com/general/latest/gr/rande.html
_AWS_DOMAINS = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "api.amazonwebservices.com.cn",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
)


class Duration(float):
    """Seconds, written ``"90s"``, ``"5m"``, ``"1.5h"`` or ``"1d"`` in the file."""


class Size(int):
    """Bytes, written ``"512MB"`` (powers of 1,000) in the file."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Side(_Section, frozen=True):
    """How to reach the account and region of one table; the defaults are the ordinary AWS chain."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


class Pair(_Section, frozen=True):
    """One source table and the target table that is to follow it."""

    source: str
    target: str
    transform: str | None = None
    rekeys: bool = False
    ignore: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Stable short name, used in stack names and in the state table."""
        return pair_id(self.source, self.target)

    def __str__(self) -> str:
        return f"{table_name(self.source)} -> {table_name(self.target)}"


class Replication(_Section, frozen=True):
    """How the target is filled and kept following."""

    backfill: Literal["backup", "pitr", "scan"] = "backup"
    groups: int = 32
    overlap: Duration = Duration(300)
    read_units: int | None = None
    write_units: int | None = None
    alarm_topic: str | None = None


class Verification(_Section, frozen=True):
    """How the tables are compared."""

    coverage: str = "full"
    settle: Duration = Duration(60)
    read_units: int | None = None
    max_read_units: int | None = None
    memory: Size = Size(512_000_000)
    plugins: tuple[str, ...] = ()
    time_limit: Duration = Duration(600)

    @property
    def sampled_fraction(self) -> float | None:
        """Fraction of segments to read, ``None`` for all of them."""
        return None if self.coverage == "full" else float(self.coverage.rstrip("%")) / 100


class Gate(_Section, frozen=True):
    """What has to hold before anyone switches."""

    required: tuple[str, ...] = ("*",)
    max_age: Duration = Duration(3600)
    clean_runs: int = 1
    churning: bool = False
    signing_key: str = "file:.ddbverify/key.pem"
    trusted_keys: tuple[str, ...] = ()
    emulator: bool = False


class Cutover(_Section, frozen=True):
    """How the application is moved over."""

    pointer: str | None = None
    fence: str = "resource-policy"
    fence_limit: Duration = Duration(900)
    quiet: Duration = Duration(60)


class Config(_Section, frozen=True, kw_only=True):
    """A whole ``migration.toml``."""

    name: str = "migration"
    tables: tuple[Pair, ...]
    source: Side = Side()
    target: Side = Side()
    replication: Replication | None = None
    verification: Verification = Verification()
    gate: Gate = Gate()
    cutover: Cutover = Cutover()
    folder: Path = Path()
    """Folder of the file: relative paths and the transform's module are looked up from here."""

    @property
    def replicated(self) -> Replication:
        """The settings of replication, the defaults where the section is not in the file."""
        return self.replication or Replication()


def load(path: Path | str | None = None) -> Config:
    """
    Read and check *path*, by default ``migration.toml`` in the current folder.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or a key is unknown, of the
            wrong type or out of range.
    """
    path = Path(path or FILE_NAME)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.",
            f"run in the folder of your {FILE_NAME}, or name the file with --config; "
            "`ddbverify init` writes a new one.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text.", "save it as UTF-8.") from error
    return parse(text, path.resolve().parent, shown_as=path.name)


def parse(text: str, folder: Path, *, shown_as: str = FILE_NAME) -> Config:
    """Like `load`, from the file's text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{shown_as} is not valid TOML: {error}.", "mend that line.") from error
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
            "the keys and their types are in docs/configuration.md.",
        ) from error
    config = msgspec.structs.replace(config, folder=folder)
    _check(config, shown_as)
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
    _check(changed, "--sample")
    return changed


def of_options(pair: Pair, *, source: Side, target: Side, verification: Verification, folder: Path) -> Config:
    """
    The settings of one pair that a command line names, without a file.

    Raises:
        ConfigurationError: In the words of the command line.
    """
    for role, table, side in (("source", pair.source, source), ("target", pair.target, target)):
        _check_table(role.upper(), table, f"--{role}-region", side, ConfigurationError)
    if pair.transform is not None and not _TRANSFORM.fullmatch(pair.transform):
        raise ConfigurationError(
            f"--transform: {pair.transform!r} is not of the form module:function.",
            'write it like "shop.migrations:orders_v2".',
        )
    if pair.rekeys and pair.transform is None:
        raise ConfigurationError("--rekeys needs a transform.", "name one with --transform, or leave it out.")
    _check_coverage("--sample", verification.coverage, ConfigurationError)
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


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint is AWS's own; anything outside its domains counts as an emulator."""
    host = urlsplit(endpoint_url).hostname or ""
    return any(host == domain or host.endswith("." + domain) for domain in _AWS_DOMAINS)


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
    sections: dict[str, type[_Section]] = {
        "": Config,
        "tables": Pair,
        "source": Side,
        "target": Side,
        "replication": Replication,
        "verification": Verification,
        "gate": Gate,
        "cutover": Cutover,
    }
    keys = {name: [field.name for field in msgspec.structs.fields(kind)] for name, kind in sections.items()}
    keys[""].remove("folder")
    close = difflib.get_close_matches(key, keys[section], n=1)
    if close:
        return f"; perhaps `{close[0]}` is meant"
    homes = [name for name, known in keys.items() if name and key in known]
    return f"; there is one in [{homes[0]}]".replace("[tables]", "[[tables]]") if homes else ""


def _check(config: Config, shown_as: str) -> None:
    """Everything that one file alone can show to be wrong. Tables are looked at later."""

    def refuse(what: str, hint: str) -> ConfigurationError:
        return ConfigurationError(f"{shown_as}: {what}", hint)

    if not MIGRATION_NAME.fullmatch(config.name):
        raise refuse(
            f"name = {config.name!r} cannot name a stack and a queue.",
            "use 1 to 30 of a-z, 0-9 and '-', a letter first.",
        )
    seen_targets: dict[tuple[str | None, str], int] = {}
    for number, pair in enumerate(config.tables, 1):
        place = f"[[tables]] number {number}"
        _check_table(f"{place}, source", pair.source, "[source] region", config.source, refuse)
        _check_table(f"{place}, target", pair.target, "[target] region", config.target, refuse)
        same_place = _place(pair.source, config.source) == _place(pair.target, config.target)
        if same_place:
            raise refuse(
                f"{place}: source and target are the same table, {table_name(pair.source)!r}.",
                "give the target another name, or [target] another region.",
            )
        first = seen_targets.setdefault(_place(pair.target, config.target)[:2], number)
        if first != number:
            raise refuse(
                f"{place}: the target is also the target of number {first}.",
                "give every pair a target of its own.",
            )
        if pair.transform is not None and not _TRANSFORM.fullmatch(pair.transform):
            raise refuse(
                f"{place}, transform: {pair.transform!r} is not of the form module:function.",
                'write it like "shop.migrations:orders_v2".',
            )
        if pair.rekeys and pair.transform is None:
            raise refuse(f"{place}: rekeys = true needs a transform.", "name one, or remove rekeys.")
        for name in pair.accept:
            if not is_known(name):
                known = ", ".join([*SETTINGS, *(f"{family}NAME" for family in FAMILIES)])
                raise refuse(
                    f"{place}, accept: {name!r} names no setting of a table.",
                    f"use one of {known}; behind the first letters * stands for any text.",
                )
    _check_numbers(config, refuse)


def _place(table: str, side: Side) -> tuple[str | None, str, str | None]:
    arn = _TABLE_ARN.fullmatch(table)
    return (arn[1] if arn else side.region, table_name(table), arn[2] if arn else side.profile)


def _check_table(place: str, value: str, region_key: str, side: Side, refuse: Any) -> None:
    arn = _TABLE_ARN.fullmatch(value)
    if arn is None and not _TABLE_NAME.fullmatch(value):
        raise refuse(
            f"{place}: {value!r} is neither a table name nor a table ARN.",
            "table names have 3 to 255 of a-z, A-Z, 0-9, '_', '-' and '.'.",
        )
    if arn is not None and side.region is not None and arn[1] != side.region:
        raise refuse(
            f"{place}: the ARN is of {arn[1]}, but {region_key} is {side.region}.",
            f"make them agree; with an ARN, {region_key} can be left out.",
        )


def _check_numbers(config: Config, refuse: Any) -> None:
    replication, verification, gate, cutover = (
        config.replicated,
        config.verification,
        config.gate,
        config.cutover,
    )
    # The canary and the consumer's progress are noted group by group, in one item of at most 400 KB.
    if not 1 <= replication.groups <= 1000:
        raise refuse(f"[replication] groups = {replication.groups} is out of range.", "use 1 to 1000.")
    if replication.write_units is not None and replication.write_units < LEAST_WRITE_UNITS:
        raise refuse(
            f"[replication] write_units = {replication.write_units} is too low: one full message would take "
            "longer than the consumer's time-out.",
            f"use {LEAST_WRITE_UNITS} or more.",
        )
    if replication.alarm_topic is not None and not _TOPIC.fullmatch(replication.alarm_topic):
        raise refuse(
            f"[replication] alarm_topic = {replication.alarm_topic!r} is not the ARN of an SNS topic.",
            'use "arn:aws:sns:REGION:ACCOUNT:NAME", of the source\'s region.',
        )
    for section, key, number in (
        ("replication", "read_units", replication.read_units),
        ("verification", "read_units", verification.read_units),
        ("verification", "max_read_units", verification.max_read_units),
        ("gate", "clean_runs", gate.clean_runs),
    ):
        if number is not None and number < 1:
            raise refuse(f"[{section}] {key} = {number} is out of range.", "use 1 or more.")
    if not gate.required:
        raise refuse("[gate] required = [] would open the gate for anything.", 'use ["*"], or name checks.')
    _check_coverage("[verification] coverage", verification.coverage, refuse)
    for plugin in verification.plugins:
        if not re.fullmatch(PLUGIN_NAME, plugin) or verification.plugins.count(plugin) > 1:
            raise refuse(
                f"[verification] plugins: {plugin!r} is not a name, or is there twice.",
                "list each plugin once, as `ddbverify plugins` names it.",
            )
    if not re.fullmatch(r"(file:.+|kms:.+)", gate.signing_key):
        raise refuse(
            f"[gate] signing_key = {gate.signing_key!r} names no key.", 'use "file:PATH" or "kms:ALIAS".'
        )
    if cutover.pointer is not None and not re.fullmatch(r"ssm:/[\w./-]+", cutover.pointer):
        raise refuse(
            f"[cutover] pointer = {cutover.pointer!r} names no parameter.",
            'use "ssm:/path/of/the/parameter".',
        )
    if not re.fullmatch(r"resource-policy|command:.*\S.*", cutover.fence):
        raise refuse(
            f"[cutover] fence = {cutover.fence!r} is not a fence.",
            'use "resource-policy" or "command:YOUR COMMAND".',
        )


def _check_coverage(place: str, value: str, refuse: Any) -> None:
    coverage = re.fullmatch(r"full|(\d+(?:\.\d+)?)%", value)
    if coverage is None or (coverage[1] is not None and not 0 < float(coverage[1]) <= 100):
        raise refuse(
            f'{place}: {value!r} is neither "full" nor a percentage above 0 and up to 100.',
            'write it like "0.5%".',
        )
