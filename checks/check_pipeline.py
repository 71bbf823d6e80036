"""Whether the replication into the target is alive, and has lost nothing it knows of."""

from __future__ import annotations

from ddbverify import Finding, Pair, Verdict, require


def check_the_pipeline_is_healthy(pair: Pair) -> None:
    """
    The live stream is the bound one, mappings read it and are enabled, queue not backlogged, no dead letter,
    no quarantine, no gap, canary arrived, and the consumer's transform is the one of `migration.toml`.

    Under a cutover's fence the consumer is off, and has to be.

    Where no state table exists and `migration.toml` has no [replication] section there is no
    pipeline to look at, and the claim holds.

    Refuted by: any of these. The message names each.
    Silent about: changes that were lost without a trace, which `replicator audit` looks for; how long
    ago the last canary arrived, which `replicator status` says: a cutover flies one of its own.
    Cost: a query of the state table, two calls to DynamoDB, four to SQS and Lambda, per pair and run.
    """
    health = pair.pipeline
    findings = tuple(map(Finding, health.problems))
    hint = "`replicator status` shows how it stands; mend what is named, then run the checks again."
    require(Verdict(examined=health.facts_examined, findings=findings, hint=hint))
