"""
Repair from findings: what a run or a diff has found, written again as the source has it now, and verified.

Everything that speaks against it is asked before anything is read. Killed at any point, the same command
goes on; whatever it has met, ddbverify looks at exactly these keys at the end, and its word counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddbverify.diff import recheck
from ddbverify.errors import Refused
from ddbverify.evidence import plans, repaired
from ddbverify.evidence.repairs import Entry, Repairs
from ddbverify.items.form import Form
from ddbverify.items.states import State
from ddbverify.tables import aws
from ddbverify.words import number_of
from replicator.commands import repair_asked as asking
from replicator.commands.repair_asked import Asked, Work
from replicator.context.ceiling import ceiling_of
from replicator.context.context import Context
from replicator.handlers.ceiling import WriteCeiling
from replicator.handlers.ledger import Ledger
from replicator.handlers.limit import TRANSFORM_SECONDS, limited
from replicator.handlers.state import now_text
from replicator.repairs.deciding import Choice, Rules
from replicator.repairs.progress import Progress
from replicator.repairs.reading import PacedReads
from replicator.repairs.writing import BATCH, Looking, OnCondition, OwnSlots, Reads, UnderTheLedger, Writer


def repair_from(context: Context, asked: Asked) -> dict[str, Any]:
    """
    Repair what a plan names, and verify exactly these keys.

    Raises:
        ConfigurationError: The plan cannot be used.
        Refused: Now is not the time, it was applied before, or keys are not as they should be at its end.
    """
    plan = plans.read(asked.plan)
    place = plans.place_of(plan, asked.plan, context.config, asked.folder)
    begun = context.begun()
    asking.need_fitting(context, asked, begun=begun)
    with Repairs(place) as repairs:
        choice = asking.choice_of(plan, asked, repairs)
        repair_id = repaired.id_of(repairs.tail.digest, asking.said(choice), deletes=asked.deletes)
        evidence = repaired.path(place.parent, repair_id)
        asking.need_new(context, evidence)
        works = asking.works_of(context, repairs, choice)
        with context.locked("replicator repair --from") if begun else nullcontext():
            if begun:
                asking.need_its_turn(context, works)
            priced = asking.priced_of(context, works, asked)
            context.console.line(f"this takes {priced.in_words()}")
            progress = Progress(None, repair_id) if asked.dry_run else Progress.of(place.parent, repair_id)
            _apply(context, works, repairs, choice, progress, asked)
            answer: dict[str, Any] = {
                "repair": repairs.tail.digest,
                "dry_run": asked.dry_run,
                "pipeline": begun,
                "cost": {"read_units": priced.read_units, "write_units": priced.write_units},
                "pairs": {
                    str(work.pair): {"keys": work.keys, "fates": dict(progress.fates.get(work.about.id, {}))}
                    for work in works
                },
            }
            if asked.dry_run:
                return answer
            return answer | _verified(context, works, repairs, choice, progress, evidence, asked, begun=begun)


# --- applying it ----------------------------------------------------------------------------


def _apply(
    context: Context,
    works: Sequence[Work],
    repairs: Repairs,
    choice: Choice,
    progress: Progress,
    asked: Asked,
) -> None:
    writers = {work.about.id: _writer(context, work, repairs.secret, asked) for work in works}
    total = sum(work.keys for work in works)
    met = 0
    if progress.done:
        context.console.already(f"the first {number_of(progress.done, 'finding')} of it")
    title = "read and decide, nothing is written" if asked.dry_run else "read again, and write"
    with context.console.step(title) as step:
        for done, batch in _batches(repairs.entries(), choice, progress.done):
            fates = writers[batch[0].pair].repair(batch)
            progress.add(done, batch[0].pair, Counter(map(str, fates.values())))
            met += len(batch)
            step.at(f"{met:,} of {total:,}")
        step.result = number_of(met, "key")
    for work in works:
        met_here = sorted(progress.fates.get(work.about.id, {}).items(), key=lambda one: -one[1])
        context.console.line(f"{work.pair}: " + ", ".join(f"{count:,} {fate}" for fate, count in met_here))


def _batches(entries: Iterator[Entry], choice: Choice, done: int) -> Iterator[tuple[int, list[Entry]]]:
    """Findings to repair, of one pair each time, and behind how many of the file that is."""
    batch: list[Entry] = []
    number = 0
    for number, entry in enumerate(entries):
        if number < done or not choice.takes(entry):
            continue
        if batch and (len(batch) == BATCH or batch[0].pair != entry.pair):
            yield number, batch
            batch = []
        batch.append(entry)
    if batch:
        yield number + 1, batch


def _writer(context: Context, work: Work, secret: bytes, asked: Asked) -> Writer:
    pair, settings = work.pair, context.config.replicated
    transform = context.transform(pair, work.source.key_schema, work.target.key_schema)
    if transform.function is not None:
        transform = replace(transform, function=limited(transform.function, TRANSFORM_SECONDS))
    rules = Rules(Form.of(work.about.ignore, secret), transform)
    reads = Reads(
        PacedReads(context.source, work.source.name, work.source.key_schema, settings.read_units),
        PacedReads(context.target, work.target.name, work.target.key_schema, settings.read_units),
    )
    if asked.dry_run:
        return Looking(rules, reads)
    if not asked.pipeline:
        ceiling = WriteCeiling(settings.write_units, OwnSlots()) if settings.write_units else None
        return OnCondition(rules, reads, ceiling)
    state = context.state(pair)
    ledger = Ledger(
        client=context.target,
        table=context.resources(pair)["ledger_table"],
        target=work.target.name,
        target_keys=work.target.key_schema,
        contest=state.contest,
        ceiling=ceiling_of(settings.write_units, state),
    )
    return UnderTheLedger(rules, reads, ledger)


# --- what it came to ------------------------------------------------------------------------


def _verified(
    context: Context,
    works: Sequence[Work],
    repairs: Repairs,
    choice: Choice,
    progress: Progress,
    evidence: Path,
    asked: Asked,
    *,
    begun: bool,
) -> dict[str, Any]:
    """Let ddbverify look at exactly these keys, and leave what it finds, signed."""
    found: dict[str, recheck.Rechecked] = {}
    for work in works:
        with context.console.step(f"ddbverify looks at {number_of(work.keys, 'key')} of {work.pair}") as step:
            keys = (one.key for one in repairs.entries() if one.pair == work.about.id and choice.takes(one))
            seen = recheck.recheck(
                context.config,
                work.pair,
                work.about,
                keys,
                lambda done: step.at(f"{done:,}"),
            )
            found[work.about.id] = seen
            step.result = ", ".join(f"{count:,} {state}" for state, count in sorted(seen.counts.items()))
    equal = all(one.equal for one in found.values())
    repaired.write(
        context.config,
        evidence,
        repair=repairs.tail.digest,
        causes=None if choice.causes is None else tuple(sorted({one[2] for one in choice.causes})),
        deletes=asked.deletes,
        pipeline=begun,
        pairs=tuple(_in_evidence(work, progress.fates, found[work.about.id]) for work in works),
        equal=equal,
        operator=aws.caller(context.source_side),
        emulator=context.emulator,
        written=now_text(),
    )
    progress.forget()
    context.console.line(f"the evidence is in {evidence}")
    if not equal:
        open_keys = sum(
            count
            for one in found.values()
            for state, count in one.counts.items()
            if state not in (State.MATCHED, State.EXCLUDED)
        )
        why = next((line for one in found.values() for line in one.unexamined), "")
        raise Refused(
            f"{number_of(open_keys, 'key')} of {sum(work.keys for work in works):,} "
            f"are not as they should be{f' ({why})' if why else ''}; what became of each stands above and in "
            f"{evidence}.",
            asking.ANOTHER_RUN,
        )
    return {
        "equal": True,
        "evidence": str(evidence),
        "verified": {
            str(work.pair): {str(state): count for state, count in found[work.about.id].counts.items()}
            for work in works
        },
    }


def _in_evidence(
    work: Work, fates: Mapping[str, Mapping[str, int]], seen: recheck.Rechecked
) -> repaired.RepairedPair:
    return repaired.RepairedPair(
        id=work.about.id,
        source=work.about.source,
        target=work.about.target,
        keys=work.keys,
        fates=dict(sorted(fates.get(work.about.id, {}).items())),
        verified={str(state): count for state, count in sorted(seen.counts.items())},
        unexamined=tuple(seen.unexamined),
        read_units=seen.read_units,
    )
