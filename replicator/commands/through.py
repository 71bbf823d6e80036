"""What a way back is replicated through: the inverse that the pair names, and the transform whose it is."""

from __future__ import annotations

from collections.abc import Sequence

from ddbverify.code.digest import digest_of, transform_files
from ddbverify.config import Pair
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform
from ddbverify.names import KeySchema
from replicator.backfill import preflight
from replicator.backfill.plan import Plan, Through
from replicator.context.context import Context


def of(context: Context, pair: Pair, leading: KeySchema, following: KeySchema) -> Through | None:
    """
    Of a direction in which the source follows; ``None`` where items are replicated as they are.

    Args:
        context: Of that direction.
        pair: One of its pairs.
        leading: Key schema of the table that it follows.
        following: Key schema of the table that follows.

    Raises:
        ConfigurationError: One of the two functions does not load.
    """
    if context.cycle % 2 == 0:
        return None
    root = context.root.config
    named = root.tables[context.config.tables.index(pair)]
    if named.transform is None or named.inverse is None:  # without an inverse no way back is armed
        return None
    return Through(
        Transform.load(named.transform, following, leading, rekeys=False),
        Inverse.load(named.inverse, following, leading),
        digest_of(transform_files(root, named.transform)),
        digest_of(transform_files(root, named.inverse)),
    )


def parameters(plan: Plan) -> dict[str, str]:
    """Which functions the consumer of a pair is deployed with."""
    if plan.through is None:
        return {"Transform": plan.pair.transform or "", "TransformDigest": plan.digest}
    return {
        "Transform": plan.through.transform.name,
        "TransformDigest": plan.through.transform_digest,
        "Inverse": plan.through.inverse.name,
        "InverseDigest": plan.through.inverse_digest,
    }


def need_laws(context: Context, plans: Sequence[Plan]) -> None:
    """
    Show the laws of each inverse on a few real items, before a way back is armed.

    Args:
        context: Of the way back.
        plans: Its pairs.

    Raises:
        ConfigurationError: One of them does not hold.
    """
    for plan in plans:
        if plan.through is not None and plan.target is not None:
            items = preflight.sample(context.root, plan.target)
            preflight.check_inverse(context.root, plan.through.inverse, plan.through.transform, items)
