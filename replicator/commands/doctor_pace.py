"""How fast a pair is, as `replicator plan` estimates it, for what the doctor judges."""

from __future__ import annotations

from ddbverify.config import Pair
from replicator.commands.plan import Planned, planned
from replicator.context.context import Context
from replicator.doctor.looking import Known, Looked, Unknown, look
from replicator.doctor.pace import Pace
from replicator.estimate import costs


def look_at(context: Context, pair: Pair) -> Looked[Pace]:
    """The pace of a pair whose source is there."""
    found = look(f"describe the tables of {pair}", lambda: planned(context, pair))
    return found if isinstance(found, Unknown) else Known(pace_of(found.value))


def pace_of(found: Planned) -> Pace:
    """Of what was estimated."""
    moved = found.moved
    changes = moved.changes_per_second
    times = costs.times(moved, overlap_seconds=0.0, verification_seconds=None)
    return Pace(
        filling_seconds=costs.total(times),
        pass_seconds=found.verification.seconds,
        needed=None if changes is None else changes * moved.units_of_a_change,
        unknown=found.unknown,
        ceiling=moved.ceiling,
        capacity=moved.capacity if moved.target_exists else None,
        # A transaction takes twice the units of a plain write; indexes have a capacity of their own.
        capacity_needed=None if changes is None else 2 * changes * moved.units_of_an_item,
    )
