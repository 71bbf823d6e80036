"""
The plan of the house: every room, its subject, which rooms it may import, and its face.

`docs/design.md` prints this table, and `tests/test_house.py` holds the code against it. A room is a package;
the modules beside the rooms belong to `ROOTS`. Lowest first: a room imports only what stands above it here.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_AT_A_ROOT = 12


@dataclass(frozen=True)
class Room:
    """
    One package.

    Args:
        name: Dotted.
        subject: What belongs in it, in one line.
        may_import: Rooms whose faces it may use. Words and settings of `BASE` are everybody's.
        face: The modules that others may import; all other modules are the room's own.
    """

    name: str
    subject: str
    may_import: tuple[str, ...] = ()
    face: tuple[str, ...] = ()


BASE = tuple(
    f"ddbverify.{name}"
    for name in (
        *("errors", "names", "words", "setting_names", "interrupts"),
        *("config_sections", "config_checks", "config"),
    )
)
"""Modules at the root that every room may import; each may import those before it."""

TOPS = (
    "ddbverify",
    "ddbverify.__main__",
    "ddbverify.cli",
    "ddbverify.pytest_plugin",
    "replicator",
    "replicator.__main__",
    "replicator.auditor",
    "replicator.cli",
    "replicator.consumer",
    "replicator.forwarder",
)
"""Modules at the root that nobody imports; they may use the face of every room."""

FRONTS = ("ddbverify", "ddbverify.testing")
"""Packages whose ``__init__`` offers names to users, each loaded when it is first used."""


def _room(package: str, name: str, subject: str, may_import: str, face: str) -> Room:
    def full(word: str) -> str:
        return word if word.startswith(("ddbverify.", "replicator.")) else f"{package}.{word}"

    return Room(
        f"{package}.{name}", subject, tuple(full(one) for one in may_import.split()), tuple(face.split())
    )


ROOMS = (
    _room(
        "ddbverify",
        "items",
        "one item: typed and Python form, canonical form, why two differ, transforms",
        "",
        "differences form inverse keys laws lazy limits paths quick raw states transform values",
    ),
    _room(
        "ddbverify",
        "code",
        "the user's code: which files of it decide, their digests, what is compiled and read",
        "items",
        "below bound digest imports places purity reach reads second_process shadows source under_way",
    ),
    _room(
        "ddbverify",
        "tables",
        "DynamoDB from outside: clients, raw pages, pace, segments, settings, prices",
        "items",
        "answers aws capacity credentials hosts indexes pace pages parity prices references sampling "
        "segments services settings table translation unknown wire",
    ),
    _room(
        "ddbverify",
        "changes",
        "what has changed in a table since a moment: its stream, places in it, keys of its records",
        "items tables",
        "following places shards wire",
    ),
    _room(
        "ddbverify",
        "exports",
        "tables as exports in S3 or in a folder: manifests, what is proven of them, their items as pages",
        "items tables",
        "export manifest parts reader store",
    ),
    _room(
        "ddbverify",
        "pipeline",
        "the replication into a target, seen from outside",
        "items code tables",
        "health newest_run",
    ),
    _room(
        "ddbverify",
        "plugins",
        "hook specifications, loading, asking",
        "items code pipeline",
        "asking finding fitting hookspecs loading of_pytest rulings",
    ),
    _room(
        "ddbverify",
        "compare",
        "two tables become a `Comparison`: reading, joining, judging, settling, negative controls",
        "items code tables exports plugins",
        "alterations causes comparison entries exported groups inspection judge looks open_claims open_keys "
        "part point_values processes reading request reserved runner sampled_cpu second_look segment settle "
        "sides strata suspects work",
    ),
    _room(
        "ddbverify",
        "spark",
        "a comparison on Spark: what each task does, and what proves that nothing was lost",
        "items code tables exports compare",
        "bundle cluster engine lines live scan",
    ),
    _room(
        "ddbverify",
        "suite",
        "the words that a check is written in: pair, marks, verdicts",
        "items code tables pipeline plugins compare spark",
        "blindness definitions drift each_item inverses marks pair vanishing verdicts",
    ),
    _room(
        "ddbverify",
        "evidence",
        "what is signed: records, envelope, folders, the row of runs",
        "items code tables changes plugins compare suite",
        "consistency cutover digests envelope events evidence findings folders following links "
        "pair_facts plans record repaired repairs row sealing signing tail",
    ),
    _room(
        "ddbverify",
        "gate",
        "requirements, reasons, decision",
        "items tables changes pipeline plugins compare suite evidence",
        "gate links reasons superseded unclaimed",
    ),
    _room(
        "ddbverify",
        "reports",
        "what people see: summary, progress, CI, what a pass costs",
        "items tables compare evidence gate",
        "ci plan plan_text progress summary",
    ),
    _room(
        "ddbverify",
        "session",
        "one session of checks, without pytest",
        "items code plugins compare suite evidence",
        "checking loading processes reached told unlooked watchdog",
    ),
    _room(
        "ddbverify",
        "session.pytest",
        "checks under pytest: hooks, items, outcomes, terminal",
        "code tables plugins compare suite evidence reports session",
        "bridge collecting endings hiding hooks options running silence stand_ins",
    ),
    _room(
        "ddbverify",
        "runs",
        "a gated run: a child process, judged and signed",
        "items code tables changes exports pipeline plugins suite evidence gate reports session",
        "result run word",
    ),
    _room(
        "ddbverify",
        "diff",
        "two tables compared from the command line, without a suite",
        "items code tables exports plugins compare spark suite evidence reports",
        "diff exports_plan folder options recheck request text",
    ),
    _room(
        "ddbverify",
        "page",
        "report.html: one page on a run or a diff, and whether it is unaltered",
        "items tables compare evidence reports diff",
        "live live_view making origin proof",
    ),
    _room(
        "ddbverify",
        "live",
        "an event log as it grows: told on a terminal, and on a page of this machine",
        "evidence page",
        "opening terminal watching web",
    ),
    _room(
        "ddbverify",
        "metrics",
        "numbers of a run, the gate, a migration and a cutover, for other people's collectors",
        "evidence gate",
        "measures sending",
    ),
    _room(
        "ddbverify",
        "commands",
        "one module per command, with its options",
        "tables plugins spark evidence gate reports runs diff page live metrics",
        "gathered",
    ),
    _room("ddbverify", "testing", "for the test suites of users", "items code tables", ""),
    _room(
        "replicator",
        "handlers",
        "what runs in Lambda: forwarder, consumer, and what they need",
        "ddbverify.items ddbverify.tables",  # of the tables `answers` only, which decodes nothing
        "applier ceiling consumer control credentials envelope forwarder inverse_ledger inverting late "
        "ledger limit metrics records state transact wire",
    ),
    _room(
        "replicator",
        "context",
        "what every command of an operator works with: settings, clients, lease, console",
        "ddbverify.items ddbverify.code ddbverify.tables handlers",
        "ceiling clock console context live lock references tables",
    ),
    _room(
        "replicator",
        "aws",
        "the pieces of AWS that a migration moves: queues, mappings, streams, fence, canary",
        "ddbverify.items ddbverify.tables handlers context",
        "canary fence fence_seen markers operators_command pointer policies policy_deny prices queue "
        "queue_counts readers sight stream stream_switch stream_tail switch target_fence target_notes "
        "target_seen workers",
    ),
    _room(
        "replicator",
        "audits",
        "the audit of one pair: of its stream before the flip, of its fenced source behind it",
        "ddbverify.items ddbverify.tables handlers context aws",
        "auditing behind_flip dead_letters function place",
    ),
    _room(
        "replicator",
        "worker",
        "forwarder and consumer as long-running processes: leases, shards, batches",
        "ddbverify.code handlers context aws",
        "running",
    ),
    _room(
        "replicator",
        "backfill",
        "the target's first filling: preflight, boundary, backup, load",
        "ddbverify.items ddbverify.code ddbverify.tables ddbverify.exports handlers context",
        "boundary filling importing imports ownership plan preflight",
    ),
    _room(
        "replicator",
        "repairs",
        "a repair of what a verification has found: deciding, reading, writing, its cost",
        "ddbverify.items ddbverify.tables ddbverify.evidence handlers aws",
        "cost deciding progress reading writing",
    ),
    _room(
        "replicator",
        "stack",
        "CloudFormation stacks and the code that they deploy",
        "ddbverify.items ddbverify.code ddbverify.tables",
        "bundle dashboard deployed grafana panels settings stacks storage",
    ),
    _room(
        "replicator",
        "doctor",
        "what would go wrong in a migration: facts become findings, before anything is made",
        "ddbverify.tables context aws backfill stack",
        "accounts ahead examination findings looking pace policies simulating working",
    ),
    _room(
        "replicator",
        "estimate",
        "what a migration will take: time, money, resources, and whether another way is cheaper",
        "aws stack",
        "costs moved resources ways",
    ),
    _room(
        "replicator",
        "embedded",
        "an AWS in a process of ours, for demonstrations and tests",
        "ddbverify.tables",
        "aws",
    ),
    _room(
        "replicator",
        "demo",
        "a whole migration under traffic, and its proof",
        "ddbverify.items ddbverify.tables ddbverify.evidence context aws stack doctor embedded",
        "own_account playing story",
    ),
    _room(
        "replicator",
        "adoption",
        "a table that no stack owns, as the documents by which a stack takes it over",
        "ddbverify.tables",
        "cdk cloudformation collecting owner terraform",
    ),
    _room(
        "replicator",
        "synthesis",
        "the stacks of a migration as files, for the tool that a team deploys with",
        "",
        "cdk cloudformation deployable sam terraform",
    ),
    _room(
        "replicator",
        "commands",
        "one module per command, with its options: what it does, step by step",
        "ddbverify.items ddbverify.code ddbverify.tables ddbverify.pipeline ddbverify.evidence "
        "ddbverify.gate ddbverify.live ddbverify.metrics ddbverify.reports ddbverify.diff handlers context "
        "aws audits worker backfill repairs stack doctor estimate adoption synthesis demo",
        "",
    ),
)
