"""What is asked of a repair from findings before anything is read, and what speaks against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ddbverify.code.digest import transform_digest
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError, NotFoundError, Refused
from ddbverify.evidence import cutover, repaired
from ddbverify.evidence.plans import Plan
from ddbverify.evidence.record import TableRecord
from ddbverify.evidence.repairs import PairOf, Repairs
from ddbverify.names import SOURCE, Fact, table_name
from ddbverify.tables import table
from ddbverify.tables.table import Table
from ddbverify.words import number_of
from replicator.aws import pointer
from replicator.aws.switch import CUTOVER
from replicator.commands import ended, target_closing
from replicator.context import live
from replicator.context.context import Context
from replicator.repairs.cost import Cost, cost
from replicator.repairs.deciding import Choice

ANOTHER_RUN = "run `ddbverify run` (or `diff --out`) again, and repair from what that finds."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What the command line asks for.

    Args:
        plan: A plan, a ``repair.json``, or its folder.
        folder: Where the plan's ``repair.json`` is, if it is not found.
        causes: Causes that are meant, without a plan; none: all.
        deletes: Delete extraneous keys, too.
        dry_run: Read and decide only.
        pipeline: Whether one is to be there; else the target is written on condition.
    """

    plan: Path
    folder: Path | None = None
    causes: tuple[str, ...] = ()
    deletes: bool = False
    dry_run: bool = False
    pipeline: bool = True


@dataclass(frozen=True, slots=True)
class Work:
    """One pair of which keys are to be repaired."""

    pair: Pair
    about: PairOf
    source: Table
    target: Table
    keys: int


def choice_of(plan: Plan | None, asked: Asked, repairs: Repairs) -> Choice:
    offered = {(one.pair, one.finding, one.cause) for one in repairs.tail.causes}
    if plan is None and not asked.causes:
        return Choice(None, asked.deletes)
    if plan is not None and asked.causes:
        raise ConfigurationError(
            "--cause and a plan were given, and the plan names its causes itself.",
            "leave out one of the two.",
        )
    if plan is not None:
        wanted = {(one.pair, one.finding, one.cause) for one in plan.causes}
        unknown = sorted(cause for _, _, cause in wanted - offered)
    else:
        wanted = {one for one in offered if one[2] in asked.causes}
        unknown = sorted(set(asked.causes) - {cause for _, _, cause in wanted})
    if unknown:
        raise ConfigurationError(
            f"{repairs.path} has no such cause: {unknown[0]}.",
            "name one as the report or the summary shows it, or leave out --cause for all of them.",
        )
    return Choice(frozenset(wanted), asked.deletes)


def said(choice: Choice) -> list[str] | None:
    return None if choice.causes is None else ["\t".join(one) for one in sorted(choice.causes)]


def need_new(context: Context, evidence: Path) -> None:
    before = repaired.written(context.config, evidence)
    if before is not None:
        raise Refused(
            f"This plan was applied before, at {before.written}; its keys were "
            f"{'equal then' if before.equal else 'not all equal then'}, as {evidence} has it.",
            ANOTHER_RUN,
        )


def need_fitting(context: Context, asked: Asked, *, begun: bool) -> None:
    """With a pipeline, under its ledger; without one only where nobody has moved to the target."""
    name = context.config.name
    if begun and not asked.pipeline:
        raise Refused(
            f"--without-pipeline was given, and the migration {name} has one.",
            "leave it out: what runs beside the pipeline has to write under its ledger.",
        )
    if begun:
        context.need_no_restart()
        return
    if asked.pipeline:
        raise Refused(
            f"The migration {name} has no pipeline: it has not begun, or has ended.",
            "where there never was one, and no application writes to the target, add --without-pipeline.",
        )
    moved = (ended.noted(context.config) or {}).get("flipped_at")
    targets = {pair: found.arn for pair in context.config.tables if (found := context.target_table(pair))}
    points = pointer.of(context, targets) if len(targets) == len(context.config.tables) else None
    if moved or cutover.latest_outcome(context.config) == "flipped" or (points and points.is_begun()):
        raise Refused(
            "The application has been moved to the target: what it has written there is newer.",
            "mend the target itself; nothing is repaired from a source that was left.",
        )


def need_its_turn(context: Context, works: Sequence[Work]) -> None:
    """Under the lease: the source is the application's, no fence stands, and the target follows."""
    context.need_no_restart()  # one may have begun while the lease was waited for
    if live.read(context) != live.Live(SOURCE, 0):
        raise Refused(
            "The application has been moved to the target, or may have: nothing is repaired there from the "
            "source.",
            "see `replicator status`; behind a flip mend the target itself.",
        )
    if (context.whole.get(CUTOVER) or {}).get("fenced"):
        raise Refused(
            "A cutover is under way: its fence stands, and what it verifies must not be written to.",
            "run `replicator cutover` to its end, or let it be rolled back, then repair.",
        )
    for work in works:
        state = context.state(work.pair)
        if state.get(Fact.FOLLOWING) is None or "ledger_table" not in context.resources(work.pair):
            raise Refused(
                f"The target of {work.pair} does not follow yet.", "run `replicator restore` first."
            )
        need_same_transform(context.config, work.pair, state.get(Fact.BOUND) or {})
    target_closing.admit(context, [work.pair for work in works], "to repair it")


def works_of(context: Context, repairs: Repairs, choice: Choice) -> list[Work]:
    """The pairs that keys are to be repaired of, each held against the tables as they are."""
    wanted: Counter[str] = Counter()
    partly, unasked = 0, 0
    for entry in repairs.entries():
        if choice.takes(entry):
            wanted[entry.pair] += 1
        elif choice.is_chosen(entry):
            unasked += 1
        elif choice.causes and any((entry.pair, entry.finding, one) in choice.causes for one in entry.causes):
            partly += 1
    if partly:
        context.console.warn(
            f"{number_of(partly, 'key')} stay, which differ in a way that was not chosen, too: an item is "
            "written whole"
        )
    if unasked:
        context.console.warn(
            f"{number_of(unasked, 'extraneous key')} stay: --delete extraneous takes out what is in the "
            "target only"
        )
    if not wanted:
        raise Refused(
            "There is nothing to repair in it.",
            "choose other causes; what is in the target only is deleted with --delete extraneous.",
        )
    return [_work(context, repairs, pair_id, keys) for pair_id, keys in wanted.items()]


def _work(context: Context, repairs: Repairs, pair_id: str, keys: int) -> Work:
    about = repairs.pairs.get(pair_id)
    found = None if about is None else _pair_of(context, about)
    if about is None or found is None:
        raise Refused(
            f"{repairs.path} is about other tables than those of {context.config_path.name}: it was made for "
            "another migration, or a table was made anew since.",
            ANOTHER_RUN,
        )
    pair, source, target = found
    if about.rekeys:
        raise Refused(
            f"{pair} is re-keyed: what its keys are made of is not in a finding.",
            "mend the items in the source, so that the pipeline carries them, or run `replicator restart`.",
        )
    if (about.transform, about.transform_digest) != (pair.transform, transform_digest(context.config, pair)):
        raise Refused(f"The transform of {pair} has changed since the tables were verified.", ANOTHER_RUN)
    return Work(pair, about, source, target, keys)


def _pair_of(context: Context, about: PairOf) -> tuple[Pair, Table, Table] | None:
    """The pair of the settings whose tables these very ones are."""
    for pair in context.config.tables:
        names = table_name(pair.source), table_name(pair.target)
        if names != (table_name(about.source.arn), table_name(about.target.arn)):
            continue
        try:
            source = table.describe(context.source_side, pair.source)
            target = table.describe(context.target_side, pair.target)
        except NotFoundError:
            continue
        if (TableRecord.of(source), TableRecord.of(target)) == (about.source, about.target):
            return pair, source, target
    return None


def priced_of(context: Context, works: Sequence[Work], asked: Asked) -> Cost:
    settings = context.config.replicated
    priced = [
        cost(
            work.keys,
            source_bytes=_average(work.source),
            target_bytes=_average(work.target),
            pipeline=asked.pipeline,
            writes=not asked.dry_run,
            read_units=settings.read_units,
            write_units=settings.write_units,
        )
        for work in works
    ]
    return sum(priced[1:], priced[0])


def _average(one: Table) -> float:
    return one.size_bytes / one.item_count if one.item_count else 1024.0


def need_same_transform(config: Config, pair: Pair, bound: Mapping[str, object]) -> None:
    """A repair with another transform would write items that the migration never makes."""
    digest = transform_digest(config, pair)
    if (bound.get("transform", ""), bound.get("digest", "")) != (pair.transform or "", digest):
        raise Refused(
            f"The transform of {pair} has changed since the migration began, so nothing was repaired.",
            "put it back, or begin anew with `replicator restart`.",
        )
