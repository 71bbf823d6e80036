"""How every benchmark ends: its figures, a line per budget, and a status that a pipeline can act on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from benchmarks.budgets import Budget


def end(figures: str, budgets: Sequence[Budget]) -> NoReturn:
    """Print both; status 0 if every budget is met, else 1."""
    click.echo(f"\n{figures}\n")
    for budget in budgets:
        click.echo(verdict(budget))
    sys.exit(not all(budget.met for budget in budgets))


def verdict(budget: Budget) -> str:
    """A budget in one line."""
    return f"{'met' if budget.met else 'NOT met':8}{budget.name}: {budget.found} [{budget.limit}]"
