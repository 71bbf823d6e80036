"""``replicator doctor``: what would go wrong, looked at before `up`; nothing is changed."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from ddbverify.code.digest import transforms_of
from ddbverify.config import Cutover, Pair
from ddbverify.errors import EngineError, Refused
from ddbverify.names import table_name
from replicator.aws import fence, pointer, target_fence
from replicator.aws.target_notes import InMemory
from replicator.commands import (
    cutover_preflight,
    cutover_rehearsal,
    doctor_pace,
    doctor_permissions,
    protection,
    quiet,
    target_closing,
    way_back,
    way_back_possible,
)
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context import tables
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.doctor import accounts, ahead, examination, pace, working
from replicator.doctor.ahead import Budget
from replicator.doctor.examination import Examined, tried
from replicator.doctor.findings import (
    MARKS,
    Finding,
    as_json,
    exit_code,
    in_order,
    not_checked,
    ok,
    problem,
    summary,
    warning,
)
from replicator.doctor.looking import Known, Looked
from replicator.doctor.pace import Pace
from replicator.stack import bundle

_WIDTH = 80
"""Characters of a sentence, where a line of the table is broken."""


def doctor(context: Context) -> dict[str, Any]:
    """
    Look at everything that `up` to `down` will want, and say what stands in the way.

    Returns:
        For machines: each finding.

    Raises:
        ConfigurationError: The settings name a table by ARN that is somebody else's.
        AccessError: There are no credentials: nothing could be looked at.
    """
    name, console = context.config.name, context.console
    console.line(f"Migration {name}: what would stand in its way. Nothing is changed.")
    examined = examination.examine(context)
    size, unbuilt = _bundle(context)
    back = way_back_possible.wanted(context) and context.config.cutover.pointer is not None
    of_accounts = accounts.examine(context, examined, bundle_bytes=size, way_back=back)
    paces = {pair: doctor_pace.look_at(context, pair) for pair in examined.source_of}
    findings = [*examined.findings, *unbuilt, *of_accounts]
    for pair, found in paces.items():
        findings += pace.pace(str(pair), found, looks_at_changes=_looks_at_changes(context, pair))
    findings += working.examine(context)
    findings += _protected(context)
    findings += _cutover(context, examined, paces)
    findings += doctor_permissions.examine(context, examined)
    show(console, findings)
    return as_json(name, findings)


def show(console: Console, findings: list[Finding]) -> None:
    """The findings as a table, what matters most last."""
    rows = []
    for one in in_order(findings):
        hint = f"\nTry: {one.hint}" if one.hint else ""
        rows.append((f" {MARKS[one.state]} {one.check}", one.about, f"{one.what}{hint}"))
    console.line(tabulate(rows, tablefmt="plain", maxcolwidths=[None, 32, _WIDTH], disable_numparse=True))
    console.line(summary(findings))
    if exit_code(findings) == 0:
        console.line("Nothing stands in the way. Next: replicator up")


def _bundle(context: Context) -> tuple[int | None, Iterator[Finding]]:
    """Size of the code that the functions get; without one, why it cannot be built."""
    built: list[int] = []

    def build() -> None:
        built.append(len(bundle.build(transforms_of(context.config)).content))

    found = list(tried("code", context.config.name, "", build))
    return (built[0], iter(())) if built else (None, iter(found))


def _protected(context: Context) -> Iterator[Finding]:
    """Whether a table that `down` has to delete is protected; there is none before `up`."""
    name = context.config.name

    def ask() -> bool:
        if tables.find(context.source, context.state_table) is None:
            return False
        made = [(context.source, context.state_table)]
        for pair in context.config.tables:
            made += protection.deleted_with(context, pair, keep_target=False)
        protection.need_unprotected("down", made)
        return True

    try:
        if ask():
            yield ok("protection", name, "no table that `down` deletes is protected against deletion")
    except Refused as error:
        yield warning("protection", name, f"`down` would refuse. {error.message}", error.hint)
    except EngineError as error:
        yield not_checked("protection", name, error.message, error.hint)


def _cutover(context: Context, examined: Examined, paces: Mapping[Pair, Looked[Pace]]) -> Iterator[Finding]:
    """What would stop a cutover hours later."""
    config = context.config
    why = way_back_possible.why_not(context)
    said = config.cutover.way_back
    asked = None if said is None else said != "off"
    ttl = {one.name: examined.ttl[one.arn] for one in examined.sources.values()}
    yield from ahead.way_back(config.name, asked=asked, why_not=why, ttl=ttl)
    if config.cutover.pointer is None:
        yield warning(
            "pointer",
            config.name,
            "no cutover is planned: [cutover] pointer is not set",
            "name the parameter that your application reads, before `up`: it looks whether it can be set.",
        )
        return
    yield from tried(
        "cutover",
        config.name,
        "[cutover] can be kept",
        lambda: cutover_preflight.need_settings(context),
    )
    yield from _pointer(context, examined)
    yield from _fence(context, examined)
    yield from ahead.fence_budget(config.name, budget(context, paces))


def _pointer(context: Context, examined: Examined) -> Iterator[Finding]:
    config = context.config
    left = [str(pair) for pair in config.tables if pair not in examined.plans]
    if left:
        yield not_checked(
            "pointer",
            config.name,
            f"what it would hold is not known while {', '.join(left)} cannot begin",
            "see to the pair first, then look again.",
        )
        return
    missing: list[str] = []

    def ask() -> None:
        made = pointer.of(context, {pair: plan.target_arn for pair, plan in examined.plans.items()})
        if made is not None:
            made.check()
            missing.extend(made.missing())

    found = list(tried("pointer", config.name, f"{config.cutover.pointer} can hold the targets", ask))
    if missing:
        found = [
            warning(
                "pointer",
                config.name,
                f"there is no parameter {', '.join(missing)} yet: no application can be reading it",
                "let the application read it, and set it to the source's ARN, before the cutover.",
            )
        ]
    yield from found


def _fence(context: Context, examined: Examined) -> Iterator[Finding]:
    name, setting = context.config.name, context.config.cutover.fence
    if setting.startswith("command:"):
        yield from _command(name, setting.removeprefix("command:"), context.config.folder)
        return
    if len(examined.source_of) < len(context.config.tables):
        yield not_checked(
            "fence",
            name,
            "whether the sources' policies have room for it: not every source is there",
            "see to the pair first, then look again.",
        )
        return
    yield from _of_targets(context, examined)
    yield from tried(
        "fence",
        ", ".join(sorted({table_name(pair.source) for pair in context.config.tables})),
        "the fence has room in its policy, and no other stands there",
        lambda: fence.of(context).check(),
    )


def _of_targets(context: Context, examined: Examined) -> Iterator[Finding]:
    """Whether the policies of targets that are there have room for their fence."""
    if not examined.targets or not target_closing.is_wanted(context):
        return
    made = target_fence.made(context, tuple(examined.targets.values()))
    yield from tried(
        "fence",
        ", ".join(sorted(one.name for one in made.tables)),
        "the target's fence has room in its policy",
        replace(made, notes=InMemory()).check,  # what is noted makes it no larger than a first one
    )


def _command(name: str, setting: str, folder: Path) -> Iterator[Finding]:
    """Whether there is such a program. What it does is known when a cutover runs it."""
    try:
        program = shlex.split(setting)[0]
    except (ValueError, IndexError):
        program = ""
    if program and (shutil.which(program) or shutil.which(str(folder / program))):
        yield ok("fence", name, f"there is a program {program}; it is run by a cutover only")
    else:
        yield problem(
            "fence",
            name,
            f"the fence's command names no program that this machine has: {program or setting!r}",
            "install it, or give its path as seen from the folder of migration.toml.",
        )


def budget(context: Context, paces: Mapping[Pair, Looked[Pace]]) -> Budget:
    """What is known of the time in which nobody may write, before anything is made."""
    settings: Cutover = context.config.cutover
    poll, policy = context.pace.poll_seconds, not settings.fence.startswith("command:")
    parts = {"quiet": quiet.forecast_seconds(context)}
    unknown = ["the drain of what waits in the queue"]
    if not context.emulator:
        parts["consumer off"] = cutover_rehearsal.CONSUMER_OFF_SECONDS
    if way_back_possible.wanted(context):
        parts["boundary"] = 2.0 * way_back.APART_SECONDS + poll
    whole = [pair for pair in context.config.tables if not _looks_at_changes(context, pair)]
    if len(whole) < len(context.config.tables):
        parts["streams read to their ends"] = float(settings.stream_lag)
        unknown.append("the verification of what was written since the last")
    for pair in whole:
        found = paces.get(pair)
        if isinstance(found, Known):
            parts[f"verification of {pair}"] = found.value.pass_seconds
        else:
            unknown.append(f"the verification of {pair}, whose tables are not known")
    if policy and not context.emulator:
        parts["fasten"] = cutover_rehearsal.FASTEN_SECONDS
    if settings.before_flip:
        unknown.append("your command before_flip")
    margin = context.pace.fence_margin if policy else 0.0
    return Budget(settings.fence_limit, parts, tuple(unknown), margin)


def _looks_at_changes(context: Context, pair: Pair) -> bool:
    """Whether the last verification reads what was written since another one, and not the whole tables."""
    return context.config.verification.last == "changes" and not pair.rekeys


@click.command("doctor")
@config_option
@json_option
def command(path: Path, as_json: bool) -> None:
    """
    What would go wrong, before `up`: tables, streams, fence, limits.

    Reads only. Each finding says what to do.

    Exit status: 0 nothing stands in the way, 1 a problem does, 2 usage or configuration, 3 no problem, but
    something could not be looked at, 6 AWS refused before anything was looked at.
    """
    answer = execute(path, as_json=as_json, run=doctor)
    sys.exit(answer["exit_code"])
