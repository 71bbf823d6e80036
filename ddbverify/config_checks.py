"""
Which values of ``migration.toml`` are refused, in words that name the key to change.

Only what one file alone can show to be wrong; tables are looked at later. A section of its own has its
check here, called from `check`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from urllib.parse import urlsplit

from ddbverify.config_sections import (
    WAY_BACK,
    Config,
    Cutover,
    Metrics,
    Notify,
    Pair,
    Side,
    Stack,
    Verification,
)
from ddbverify.errors import ConfigurationError
from ddbverify.names import LONGEST_NAME_WITH_WAY_BACK, MIGRATION_NAME, OF_DIRECTION, pair_id, table_name
from ddbverify.setting_names import FAMILIES, SETTINGS, Pattern

Refuse = Callable[[str, str], ConfigurationError]
"""Makes the error of what is wrong and what to do, in the words of a file or of a command line."""

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_TABLE_ARN = re.compile(r"arn:[a-z-]+:dynamodb:([a-z0-9-]+):(\d{12}):table/([A-Za-z0-9_.-]{3,255})")
PLUGIN_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+")
_POINTER = re.compile(r"ssm:(arn:[a-z-]+:ssm:[a-z0-9-]+:\d{12}:parameter)?/([\w./-]|\{source\}|\{target\})+")
LEAST_WRITE_UNITS = 100
_POLICY = (r"arn:[a-z-]+:iam::(\d{12}|aws):policy/.+", "the ARN of a policy")
_KMS_KEY = (r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+", "the ARN of a KMS key")
_KMS_KEYS = ("table_key", "ledger_key", "queue_key", "log_key", "bucket_key")
LOG_RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
_MOST_TAGS = 49  # of the 50 that AWS allows, one is ours
_LONGEST_ROLE = 64 - len("--forwarder") - len("-back-99")  # IAM's limit, less what stands around the names
_TRANSFORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check(config: Config, shown_as: str) -> None:
    """
    Refuse what one file alone can show to be wrong.

    Args:
        config: As it was read.
        shown_as: The file's name, which every message begins with.

    Raises:
        ConfigurationError: For the first value that is refused.
    """

    def refuse(what: str, hint: str) -> ConfigurationError:
        return ConfigurationError(f"{shown_as}: {what}", hint)

    if not MIGRATION_NAME.fullmatch(config.name):
        raise refuse(
            f"name = {config.name!r} cannot name a stack and a queue.",
            "use 1 to 30 of a-z, 0-9 and '-', a letter first.",
        )
    if OF_DIRECTION.fullmatch(config.name):
        raise refuse(
            f"name = {config.name!r} is what the way back of a migration is called in AWS.",
            'let it end in something else than "-back-" or "-over-" and a number.',
        )
    seen_targets: dict[tuple[str | None, str], int] = {}
    for number, pair in enumerate(config.tables, 1):
        place = f"[[tables]] number {number}"
        check_table(f"{place}, source", pair.source, "[source] region", config.source, refuse)
        check_table(f"{place}, target", pair.target, "[target] region", config.target, refuse)
        same_place = _place(pair.source, config.source) == _place(pair.target, config.target)
        if same_place:
            raise refuse(
                f"{place}: source and target are the same table, {table_name(pair.source)!r}.",
                "give the target another name, or [target] another region. Where it is only to have another "
                "logical id or stack, CloudFormation's stack refactoring does that, and moves no item.",
            )
        first = seen_targets.setdefault(_place(pair.target, config.target)[:2], number)
        if first != number:
            raise refuse(
                f"{place}: the target is also the target of number {first}.",
                "give every pair a target of its own.",
            )
        check_transform(f"{place}, transform", pair.transform, refuse)
        if pair.rekeys and pair.transform is None:
            raise refuse(f"{place}: rekeys = true needs a transform.", "name one, or remove rekeys.")
        check_inverse(place, pair, refuse)
        for name in pair.accept:
            if Pattern.parse(name) is None:
                known = ", ".join([*SETTINGS, *(f"{family}NAME" for family in FAMILIES)])
                raise refuse(
                    f"{place}, accept: {name!r} names no setting of a table.",
                    f"use one of {known}; behind the first letters * stands for any text, and a name that "
                    """holds a dot can stand in quotation marks: 'index."order.status".keys'.""",
                )
    _check_numbers(config, refuse)
    _check_verification(config.verification, refuse)
    check_metrics("[metrics] {}", config.metrics, refuse)
    _check_notify(config.notify, refuse)
    _check_stack(config, refuse)


def _place(table: str, side: Side) -> tuple[str | None, str, str | None]:
    arn = _TABLE_ARN.fullmatch(table)
    return (arn[1] if arn else side.region, table_name(table), arn[2] if arn else side.profile)


def check_transform(place: str, value: str | None, refuse: Refuse) -> None:
    """Refuse what names no function of a module."""
    if value is not None and not _TRANSFORM.fullmatch(value):
        raise refuse(
            f"{place}: {value!r} is not of the form module:function.",
            'write it like "shop.migrations:orders_v2".',
        )


def check_inverse(place: str, pair: Pair, refuse: Refuse) -> None:
    """Refuse an inverse of no transform, or of one that has none."""
    if pair.inverse is None:
        return
    check_transform(f"{place}, inverse", pair.inverse, refuse)
    if pair.transform is None:
        raise refuse(
            f"{place}: inverse needs a transform.", "remove inverse: without a transform an item is its own."
        )
    if pair.rekeys:
        raise refuse(
            f"{place}: a transform with rekeys = true has no inverse.",
            "remove inverse: the way back is for pairs that keep their keys.",
        )


def check_table(place: str, value: str, region_key: str, side: Side, refuse: Refuse) -> None:
    """Refuse what is no table, or an ARN of another region than *region_key* says."""
    arn = _TABLE_ARN.fullmatch(value)
    if arn is None and not _TABLE_NAME.fullmatch(value):
        raise refuse(
            f"{place}: {value!r} is neither a table name nor a table ARN.",
            "table names have 3 to 255 of a-z, A-Z, 0-9, '_', '-' and '.'"
            + ("; a copy of an export is named as file:///FOLDER/AWSDynamoDB/ID." if "/" in value else "."),
        )
    if arn is not None and side.region is not None and arn[1] != side.region:
        raise refuse(
            f"{place}: the ARN is of {arn[1]}, but {region_key} is {side.region}.",
            f"make them agree; with an ARN, {region_key} can be left out.",
        )


def _check_numbers(config: Config, refuse: Refuse) -> None:
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
    if replication.worker and replication.scheduled_audit:
        raise refuse(
            "[replication] scheduled_audit is for functions; with worker = true one of the workers audits.",
            "leave scheduled_audit out.",
        )
    for section, key, number in (
        ("replication", "read_units", replication.read_units),
        ("verification", "read_units", verification.read_units),
        ("verification", "max_read_units", verification.max_read_units),
        ("verification", "processes", verification.processes),
        ("gate", "clean_runs", gate.clean_runs),
    ):
        if number is not None and number < 1:
            raise refuse(f"[{section}] {key} = {number} is out of range.", "use 1 or more.")
    if not gate.required:
        raise refuse("[gate] required = [] would open the gate for anything.", 'use ["*"], or name checks.')
    if not re.fullmatch(r"(file:.+|kms:.+)", gate.signing_key):
        raise refuse(
            f"[gate] signing_key = {gate.signing_key!r} names no key.", 'use "file:PATH" or "kms:ALIAS".'
        )
    if cutover.pointer is not None:
        _check_pointer(cutover, refuse)
    if not re.fullmatch(r"resource-policy|command:.*\S.*", cutover.fence):
        raise refuse(
            f"[cutover] fence = {cutover.fence!r} is not a fence.",
            'use "resource-policy" or "command:YOUR COMMAND".',
        )
    if cutover.before_flip is not None and not cutover.before_flip.strip():
        raise refuse("[cutover] before_flip names no command.", "name one, or leave it out.")
    _check_way_back(config, refuse)


def _check_way_back(config: Config, refuse: Refuse) -> None:
    cutover = config.cutover
    if cutover.way_back is None or cutover.way_back == "off":
        return  # by default there is one where there can be
    if not WAY_BACK.fullmatch(cutover.way_back):
        raise refuse(
            f'[cutover] way_back = {cutover.way_back!r} is neither "off" nor a time.',
            'write it like "7d" or "12h".',
        )
    if len(config.name) > LONGEST_NAME_WITH_WAY_BACK:
        raise refuse(
            f"name = {config.name!r} is too long for [cutover] way_back.",
            f'use {LONGEST_NAME_WITH_WAY_BACK} characters at most, or way_back = "off".',
        )
    if cutover.fence.startswith("command:") and "{side}" not in cutover.fence:
        raise refuse(
            "[cutover] way_back: your fence command cannot tell which table to fence.",
            'write {side} where it is to get `source` or `target`, or set way_back = "off".',
        )


def _check_pointer(cutover: Cutover, refuse: Refuse) -> None:
    if not _POINTER.fullmatch(cutover.pointer or ""):
        raise refuse(
            f"[cutover] pointer = {cutover.pointer!r} names no parameter.",
            'use "ssm:/path/of/the/parameter", or "ssm:" and its ARN; {source} and {target} in it stand for '
            "the names of a pair.",
        )
    if "{" in (cutover.pointer or "") and cutover.pointer_form != "source":
        raise refuse(
            f"[cutover] pointer_form = {cutover.pointer_form!r} is the form of one parameter, and "
            f"{cutover.pointer!r} is one for each pair.",
            "leave pointer_form out, or name one parameter.",
        )


def _check_verification(verification: Verification, refuse: Refuse) -> None:
    check_coverage("[verification] coverage", verification.coverage, refuse)
    every = verification.every  # an alarm looks back twice as long, and CloudWatch's look back seven days
    if every is not None and (every % 3600 or not 2 <= every / 3600 <= 84):
        raise refuse(
            f"[verification] every is {every / 3600:g} hours.", 'use whole hours from 2 to 84, such as "12h".'
        )
    for plugin in verification.plugins:
        if not re.fullmatch(PLUGIN_NAME, plugin) or verification.plugins.count(plugin) > 1:
            raise refuse(
                f"[verification] plugins: {plugin!r} is not a name, or is there twice.",
                "list each plugin once, as `ddbverify plugins` names it.",
            )
    findings_key = verification.findings_key
    if findings_key is not None and not re.fullmatch(r"x25519:[A-Za-z0-9+/]{43}=|kms:.+", findings_key):
        raise refuse(
            f"[verification] findings_key = {findings_key[:80]!r} is no key to seal findings for.",
            'use the "x25519:..." that `ddbverify keygen --findings FILE` prints, or "kms:ALIAS OR ARN".',
        )


def check_coverage(place: str, value: str, refuse: Refuse) -> None:
    """Refuse what is neither ``full`` nor a percentage."""
    coverage = re.fullmatch(r"full|(\d+(?:\.\d+)?)%", value)
    if coverage is None or (coverage[1] is not None and not 0 < float(coverage[1]) <= 100):
        raise refuse(
            f'{place}: {value!r} is neither "full" nor a percentage above 0 and up to 100.',
            'write it like "0.5%".',
        )


def check_metrics(place: str, metrics: Metrics, refuse: Refuse) -> None:
    """
    Refuse what names no place for numbers.

    Args:
        place: What messages call it, with ``{}`` for the way.
    """
    if metrics.textfile is not None and not metrics.textfile.strip():
        raise refuse(f"{place.format('textfile')} names no folder.", "name the collector's, or leave it out.")
    if metrics.otlp is not None and not _is_address(metrics.otlp):
        raise refuse(
            f"{place.format('otlp')} is no address of a collector.",
            'use "http://HOST:4318", without a user and a question mark: secrets belong in '
            "OTEL_EXPORTER_OTLP_HEADERS.",
        )
    if metrics.statsd is not None:
        try:
            split_host(metrics.statsd)
        except ValueError as error:
            raise refuse(
                f"{place.format('statsd')} = {metrics.statsd!r} is no host and port.", 'use "localhost:8125".'
            ) from error


def _check_notify(notify: Notify, refuse: Refuse) -> None:
    if notify.command is not None:
        try:
            words = shlex.split(notify.command)
        except ValueError:
            words = []
        if not words:
            raise refuse("[notify] command names no command.", "name one, or leave it out.")
    if notify.topic is not None and not _TOPIC.fullmatch(notify.topic):
        raise refuse(
            f"[notify] topic = {notify.topic!r} is not the ARN of an SNS topic.",
            'use "arn:aws:sns:REGION:ACCOUNT:NAME"; one that ends in .fifo is not for notices.',
        )


def _check_stack(config: Config, refuse: Refuse) -> None:
    stack = config.stack
    forms = {
        **dict.fromkeys(("permissions_boundary", "writer_boundary"), _POLICY),
        "role_path": (r"/([!-~]+/)?", 'a path such as "/migrations/"'),
        "role_prefix": (r"[A-Za-z0-9+=,.@_-]+", "the beginning of a role's name"),
        **dict.fromkeys(_KMS_KEYS, _KMS_KEY),
    }
    for key, (form, what) in forms.items():
        value = getattr(stack, key)
        if value is not None and not re.fullmatch(form, value):
            raise refuse(f"[stack] {key} = {value!r} is not {what}.", f"write {what}, or leave it out.")
    for key, begins in (("subnets", "subnet-"), ("security_groups", "sg-")):
        for one in getattr(stack, key):
            if not re.fullmatch(rf"{begins}[0-9a-f]+", one):
                hint = f"write ids such as {begins}0123456789abcdef0."
                raise refuse(f"[stack] {key}: {one!r} is no id.", hint)
    if bool(stack.subnets) != bool(stack.security_groups):
        raise refuse(
            "[stack] has one of subnets and security_groups, and not the other.",
            "set both, or none: then there is no VPC.",
        )
    _check_stack_numbers(stack, refuse)
    reserved = [key for key in stack.tags if key.startswith(("aws:", "replicator:"))]
    if reserved or len(stack.tags) > _MOST_TAGS:
        raise refuse(
            f"[stack.tags]: {reserved[0]!r} is reserved." if reserved else "[stack.tags] has too many tags.",
            f"use up to {_MOST_TAGS} tags, whose keys begin with neither aws: nor replicator:.",
        )
    for pair in config.tables if stack.role_prefix is not None else ():
        longest = max(len(pair.id), len(pair_id(pair.target, pair.source)))
        if len(stack.role_prefix or "") + len(config.name) + longest > _LONGEST_ROLE:
            raise refuse(
                f"[stack] role_prefix = {stack.role_prefix!r} makes names that are too long for roles.",
                f"prefix, name and the pair's id ({pair.id}) may have {_LONGEST_ROLE} characters together.",
            )


def _check_stack_numbers(stack: Stack, refuse: Refuse) -> None:
    if stack.log_retention not in LOG_RETENTIONS:
        raise refuse(
            f"[stack] log_retention = {stack.log_retention} is none that CloudWatch has.",
            f"use one of {', '.join(map(str, LOG_RETENTIONS))} days.",
        )
    for key, least, most in (
        ("forwarder_memory", 128, 10_240),
        ("consumer_memory", 128, 10_240),
        ("concurrency", 2, 1000),
    ):
        if not least <= getattr(stack, key) <= most:
            raise refuse(f"[stack] {key} = {getattr(stack, key)} is out of range.", f"use {least} to {most}.")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def split_host(text: str) -> tuple[str, int]:
    """
    ``"localhost:8125"`` -> host and port; an IPv6 address stands in brackets.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(f"//{text}")
    if not parts.hostname or not parts.port or f"//{parts.netloc}" != f"//{text}" or parts.username:
        raise ValueError(text)
    return parts.hostname, parts.port
