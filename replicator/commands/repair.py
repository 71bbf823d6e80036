"""
Repair: re-read a quarantined key from the source and write it under the number it was put aside with.

A dead letter is repaired the same way, never replayed: its image may be old by now. Its keys go to
the quarantine first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from ddbverify.config import Pair
from ddbverify.errors import Refused, TransformError
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import Fact, KeySchema
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.audits import dead_letters
from replicator.commands import invocation, repair_from, target_closing, through
from replicator.commands.repair_asked import Asked, need_same_transform
from replicator.context import live
from replicator.context.ceiling import ceiling_of
from replicator.context.context import Context
from replicator.handlers.applier import Guard
from replicator.handlers.inverse_ledger import InverseLedger
from replicator.handlers.ledger import Applied, Ledger, Write
from replicator.handlers.limit import TRANSFORM_SECONDS, limited
from replicator.handlers.state import Quarantined


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did: keys taken out of the quarantine, and why others stayed in it."""

    repaired: int
    left: tuple[str, ...]  # one reason per key, without the key


def repair(context: Context) -> dict[str, Any]:
    """
    Repair every pair, and tell what is left.

    Raises:
        Refused: Keys are left in the quarantine, a pair has no ledger yet, or the application was moved.
    """
    context.need_begun()
    context.need_no_restart()
    answer: dict[str, Any] = {}
    stuck = 0
    with context.locked("replicator repair"):
        context = live.direction(context)
        live.need_followed(context)  # what it writes to is the application's otherwise, and newer
        context.need_no_restart()  # one may have begun while the lease was waited for
        target_closing.admit(context, context.config.tables, "to repair it")
        for pair in context.config.tables:
            if "ledger_table" not in context.resources(pair):
                raise Refused(f"{pair} has no ledger yet.", "run `replicator restore` first.")
            done = run(context, pair)
            stuck += len(done.left)
            answer[str(pair)] = {"repaired": done.repaired, "left": list(done.left)}
            context.console.line(f"{pair}: {number_of(done.repaired, 'key')} repaired, {len(done.left)} left")
            for reason in sorted(set(done.left)):
                context.console.warn(reason)
    if stuck:
        raise Refused(
            f"{number_of(stuck, 'key')} left in the quarantine.",
            "see `replicator quarantine`, mend the items in the source, run `replicator repair` again; "
            "another transform needs `replicator restart`.",
        )
    return {"pairs": answer}


def run(context: Context, pair: Pair) -> Repaired:
    """
    Repair every quarantined key of a pair, until a round frees none.

    The changes in dead letters are quarantined before. Several rounds, because a key may wait
    for a target key that another quarantined key gives up.

    Raises:
        Refused: The transform is not the one that the migration began with.
    """
    state, resources = context.state(pair), context.resources(pair)
    need_same_transform(context.config, pair, state.get(Fact.BOUND) or {})
    source = context.source_table(pair)
    unreadable = file_dead_letters(context, pair, source.keys)
    target = context.target_table(pair)
    keys = target.keys if target else source.keys
    transform = context.transform(pair, source.keys, keys)
    if transform.function is not None:
        transform = replace(transform, function=limited(transform.function, TRANSFORM_SECONDS))
    ledger = Ledger(
        client=context.target,
        table=resources["ledger_table"],
        target=target.name if target else pair.target,
        target_keys=keys,
        contest=state.contest,
        ceiling=ceiling_of(context.config.replicated.write_units, state),
    )
    guard = _guard(context, pair, ledger, source.keys)
    repaired = 0
    while True:
        left = ["a dead letter is not ours, or not whole"] * unreadable
        freed = 0
        for hashed, entry in state.quarantined().items():
            with translated(f"repair an item of {source.name}"):
                answer = context.source.get_item(
                    TableName=source.name, Key=with_bytes(entry.key), ConsistentRead=True
                )
                image = with_base64(answer["Item"]) if "Item" in answer else None
                try:
                    results = transform(image) if image is not None else []
                except TransformError as error:
                    left.append(error.message)
                    continue
                target_key = None if transform.rekeys else transform.target_key_of(entry.key)
                outcome = guard.apply([_write(hashed, entry, results, target_key)])[hashed]
                # Superseded: a later change of the key was applied, which is as good.
                if outcome in (Applied.WRITTEN, Applied.SUPERSEDED):
                    state.release(hashed, entry.number)
                    freed += 1
                else:
                    left.append(outcome if isinstance(outcome, str) else f"still {outcome.name.lower()}")
        repaired += freed
        if not freed or not left:
            return Repaired(repaired, tuple(left))


def _guard(context: Context, pair: Pair, ledger: Ledger, leading: KeySchema) -> Guard:
    """What a repair writes through: the ledger, or on a way back the inverse over it."""
    found = through.of(context, pair, leading, ledger.target_keys)
    noted = (context.state(pair).get(Fact.BOUND) or {}).get("through") or {}
    if found is None and not noted:
        return ledger
    if found is None or (noted.get("InverseDigest"), noted.get("TransformDigest")) != (
        found.inverse_digest,
        found.transform_digest,
    ):
        raise Refused(
            f"The inverse or the transform of {pair} has changed since the way back was armed.",
            "put it back: nothing was repaired.",
        )
    assert found.transform.function is not None  # noqa: S101  # it is no identity
    return InverseLedger(
        ledger,
        replace(found.transform, function=limited(found.transform.function, TRANSFORM_SECONDS)),
        replace(found.inverse, function=limited(found.inverse.function, TRANSFORM_SECONDS)),
    )


def file_dead_letters(context: Context, pair: Pair, schema: KeySchema) -> int:
    """Quarantine the changes in the pair's dead letters: see `replicator.audits.dead_letters`."""
    state, resources = context.state(pair), context.resources(pair)
    with translated(f"read the dead letters of {pair}"):
        return dead_letters.file(
            context.source_client("sqs"),
            resources["dead_letter_url"],
            state,
            stream_arn=resources["stream_arn"],
            restart=context.restart_number(pair),
            schema=schema,
        )


def _write(hashed: str, entry: Quarantined, results: object, target_key: object) -> Write:
    return Write(hashed, entry.key, entry.number, results, target_key, repair=True)  # type: ignore[arg-type]


@click.command(name="repair")
@invocation.config_option
@invocation.json_option
@click.option(
    "--from",
    "plan",
    type=click.Path(path_type=Path),
    metavar="PLAN",
    help="Repair what a run or a diff has found: a plan from its report, its repair.json, or its folder.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Of the run or diff that the plan is about, if elsewhere.",
)
@click.option("--cause", "causes", multiple=True, help="Only this cause, as the report has it; repeatable.")
@click.option(
    "--delete",
    "deletes",
    type=click.Choice(["extraneous"]),
    help="Delete what is in the target only; nothing else is ever deleted.",
)
@click.option("--dry-run", is_flag=True, help="Read and decide, write nothing.")
@click.option(
    "--without-pipeline",
    is_flag=True,
    help="There never was a pipeline: write on condition that the target is as it was read.",
)
def command(
    path: Path,
    plan: Path | None,
    folder: Path | None,
    causes: tuple[str, ...],
    deletes: str | None,
    *,
    as_json: bool,
    dry_run: bool,
    without_pipeline: bool,
) -> None:
    """
    Write quarantined items again, as the source has them now.

    With --from, items that a run or a diff has found missing or different, and verify exactly these keys
    afterwards.

    Exit status: 0 done, 1 refused or keys are left, 2 usage or configuration, 6 AWS refused.
    """
    if plan is None:
        if folder or causes or deletes or dry_run or without_pipeline:
            raise click.UsageError(
                "--folder, --cause, --delete, --dry-run and --without-pipeline go with --from."
            )
        invocation.execute(path, as_json=as_json, run=repair)
        return
    asked = Asked(
        plan=plan,
        folder=folder,
        causes=causes,
        deletes=deletes is not None,
        dry_run=dry_run,
        pipeline=not without_pipeline,
    )
    invocation.execute(path, as_json=as_json, run=lambda context: repair_from.repair_from(context, asked))
