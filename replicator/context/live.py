"""
Which table the application writes, and which direction follows it: one fact, asked by whatever would let a
consumer write, or delete a table.

`BETWEEN` stands from before a flip is asked for until it is known what became of it. What is not known is
`BETWEEN`, too: then nothing follows, and nothing is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ddbverify.errors import Refused
from ddbverify.names import BETWEEN, SOURCE, TARGET, Fact
from ddbverify.tables.aws import translated
from replicator.context.context import Context
from replicator.handlers.state import now_text

_KNOWN: Final = (SOURCE, TARGET, BETWEEN)


@dataclass(frozen=True, slots=True)
class Live:
    """
    What is known.

    Args:
        table: `SOURCE`, `TARGET` or `BETWEEN`.
        cycle: Of the direction that follows, or that was the last to do so: see `Config.turned`.
    """

    table: str
    cycle: int


def leading(cycle: int) -> str:
    """The table that is live while the direction of this number follows it."""
    return TARGET if cycle % 2 else SOURCE


def read(context: Context) -> Live:
    """What is noted of the migration; a word that this version does not know is `BETWEEN`."""
    whole = context.root.whole
    with translated("read which table is live"):
        noted = whole.get(Fact.LIVE)
        if noted is not None:
            table = str(noted.get("table"))
            return Live(table if table in _KNOWN else BETWEEN, int(noted.get("cycle", 0)))
        cut = whole.get(Fact.CUTOVER) or {}
    # An earlier build noted its cutover only.
    if cut.get("flipped"):
        return Live(TARGET, 0)
    return Live(BETWEEN if cut.get("flipping") else SOURCE, 0)


def note(context: Context, table: str, cycle: int) -> None:
    """Note which table is live from now on, and which direction follows it."""
    with translated("note which table is live"):
        context.root.whole.put(Fact.LIVE, table=table, cycle=cycle, at=now_text())


def direction(context: Context) -> Context:
    """The direction that follows, or that was the last to do so: the migration itself, or one turned."""
    return context.root.turned(read(context).cycle)


def around(context: Context) -> list[Context]:
    """The migration itself, and the directions before, behind and after a flip, as far as they are there."""
    cycle = read(context).cycle
    numbers = sorted({0, *(one for one in (cycle - 1, cycle, cycle + 1) if one > 0)})
    return [turned for turned in map(context.turned, numbers) if not turned.cycle or turned.begun()]


def is_followed(context: Context) -> bool:
    """Whether the table that *context*'s direction follows is the application's, and the direction's turn."""
    return read(context) == Live(leading(context.cycle), context.cycle)


def need_followed(context: Context) -> None:
    """
    Refuse what would let something follow a table that is not the application's any more, or wait for it.

    Raises:
        Refused: The application has been moved, or may have been.
    """
    if not is_followed(context):
        raise Refused(
            "The application has been moved, or may have been: nothing may follow "
            f"the {leading(context.cycle)} any more.",
            "see `replicator status`; the command that was interrupted at a flip, run again, decides it.",
        )
