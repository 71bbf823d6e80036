"""What a comparison takes of the processor: measured on a sample where user code is called, else known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ddbverify.compare import sampled_cpu
from ddbverify.compare.inspection import ItemCheck
from ddbverify.config import Config
from ddbverify.errors import EngineError
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.table import Table
from ddbverify.tables.wire import TableReader

EQUAL_CPU_SECONDS: Final = 2.0e-6
"""For one item that is read and equal, no transform and no check: docs/benchmarks.md."""

READ_CPU_SECONDS: Final = 1.5e-6
"""Of these, for reading it alone, in threads."""

LOOK_CPU_SECONDS: Final = 0.2e-3
"""For one look at a key that differs."""

SECOND_LOOK_CPU_SECONDS: Final = 0.1e-3
"""For a key that differs in the way of others, of which a sample has been settled: judging and telling it."""

SAMPLE_ITEMS: Final = 2_000
SEGMENTS_TRIED: Final = 8  # the first ones of a small table may be empty


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time of one core, per item."""

    seconds_per_source_item: float = 0.0  # in transform and checks, and for joining what they make
    sampled_items: int = 0  # 0: nothing had to be measured
    read_units: float = 0.0  # that the sample has cost
    problem: str = ""  # why it could not be measured, in words

    def seconds(self, source_items: int, target_items: int) -> float:
        """Of a whole comparison in which nothing differs."""
        both = source_items + target_items
        if not self.sampled_items:
            return both * EQUAL_CPU_SECONDS
        return source_items * self.seconds_per_source_item + both * READ_CPU_SECONDS

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "seconds_per_source_item": self.seconds_per_source_item if self.sampled_items else None,
            "sampled_items": self.sampled_items,
            "sample_read_units": self.read_units,
            "problem": self.problem or None,
        }


def pass_seconds(
    cpu: Cpu, items: tuple[int, int], reading_seconds: tuple[float, float], processes: int, *, rekeys: bool
) -> float:
    """
    How long it takes until both tables are read and compared: as the tightest limit allows.

    Args:
        cpu: Per item.
        items: Of source and target.
        reading_seconds: What reading them takes, at the rate of each.
        processes: That compare.
        rekeys: Whether the whole target is read before the source (`ddbverify.compare.claim_scan`).
    """
    source, target = reading_seconds
    spent = cpu.seconds(*items) / processes
    if not rekeys:
        return max(source, target, spent)
    before = items[1] * READ_CPU_SECONDS
    return max(target, before) + max(source, spent - before)


def measure(
    config: Config, source: Table, target: Table, segments: int, checks: Sequence[ItemCheck] = ()
) -> Cpu:
    """
    Read a page of the source and run transform and *checks* over it; nothing is read where there are none.

    Args:
        config: With one pair.
        source: As described.
        target: Likewise.
        segments: Into which the table is cut.
        checks: On items.

    Raises:
        ConfigurationError: The transform does not load.
    """
    (pair,) = config.tables
    if pair.transform is None and not checks:
        return Cpu()
    transform = Transform.load(pair.transform, source.key_schema, target.key_schema, rekeys=pair.rekeys)
    rate = ReadRate.of(source, config.verification.read_units).ceiling
    reader, items = TableReader(config.source, source, units_per_second=rate), list[Any]()
    try:
        for segment in range(min(segments, SEGMENTS_TRIED)):
            items += map(msgspec.json.decode, reader.scan_page(segment, segments, None).items)
            if items:
                break
    except EngineError as error:
        return Cpu(read_units=reader.read_units, problem=error.message)
    if not items:
        return Cpu(read_units=reader.read_units, problem="no item was found")
    attributes = [name for name in (source.ttl_attribute, target.ttl_attribute) if name]
    some, form = items[:SAMPLE_ITEMS], Form.of(pair.ignore)
    spent = sampled_cpu.seconds_per_item(some, transform, form, attributes, checks)
    return Cpu(spent, len(some), reader.read_units)
