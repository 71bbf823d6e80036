"""
Search the order model's histories for one that breaks a promise.

``python -m tests.model.search`` searches the product (``make model``); ``--rule NAME`` searches the
variant without that rule, says how many histories that took, and prints the moves of the smallest
counter-example; ``--record`` writes those of all rules into the two ``counterexamples.py``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import counterexamples
from tests.model.flips import counterexamples as counterexamples_of_flips
from tests.model.flips import rules as flips
from tests.model.flips.machine import FlipModel
from tests.model.order_model import Move, OrderModel, Tally
from tests.model.rules import NOT_NEEDED, RULES, Rule

EXAMPLES_PER_RULE = 5_000
EXAMPLES_OF_FLIPS = 1_000
"""A history with flips costs as much as some dozens of the others."""

OF_FLIPS = 0.02
"""So many histories with flips are searched, for each of the others."""

EVERY = {**RULES, **NOT_NEEDED, **flips.RULES, **flips.NOT_NEEDED}

ROUND = 2_500
"""Examples that one Hypothesis run tries; more of them in one run only remember more."""


class PromiseBroken(AssertionError):
    """What a search has found, *after* so many histories that end well."""

    def __init__(self, after: int) -> None:
        super().__init__(f"a promise is broken, after {after:,} histories that end well")
        self.after = after


@dataclass(frozen=True, slots=True)
class Counterexample:
    """The *moves* of a history that breaks a promise, found *after* so many that end well."""

    after: int
    moves: list[Move]


def search(machine: type[Any], examples: int, *, seed: int, shrink: bool = True) -> None:
    """
    Try so many histories.

    Raises:
        PromiseBroken: By one of them; `latest` of the machine made the smallest such.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=machine.steps,
        database=None,
        deadline=None,
        phases=phases,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    tally = Tally()
    seeded = hypothesis.seed(seed)(type(machine.__name__, (machine,), {"tally": tally}))
    try:
        run_state_machine_as_test(seeded, settings=chosen)
    except AssertionError as error:
        raise PromiseBroken(tally.well) from error


def counterexample(rule: Rule, examples: int, *, seed: int, shrink: bool = True) -> Counterexample | None:
    """The smallest history that was found in which the product without *rule* breaks a promise."""
    with pytest.MonkeyPatch.context() as patch:
        rule.machine.install(patch)
        rule.first(patch)
        rule.without(patch)
        try:
            search(rule.machine, examples, seed=seed, shrink=shrink)
        except PromiseBroken as broken:
            return Counterexample(broken.after, rule.machine.latest.moves)
    return None


def one_round(round_: tuple[type[Any], int]) -> tuple[str, int, float]:
    """One run of a machine with the product's own: its machine, its seed, and how long it took."""
    began = time.monotonic()
    machine, seed = round_
    with pytest.MonkeyPatch.context() as patch:
        machine.install(patch)
        search(machine, _examples(machine), seed=seed)
    return machine.__name__, seed, time.monotonic() - began


def _examples(machine: type[Any]) -> int:
    return ROUND if machine is OrderModel else int(ROUND * OF_FLIPS)


def main() -> None:
    """What the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.search")
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each round adds one")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--rule", choices=list(EVERY))
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.record:
        record(options.seed, [options.rule] if options.rule else [*RULES, *flips.RULES])
    elif options.rule:
        show(options.rule, options.examples, options.seed)
    else:
        seeds = range(options.seed, options.seed + -(-options.examples // ROUND))
        rounds = [(machine, seed) for seed in seeds for machine in (OrderModel, FlipModel)]
        began, examples = time.monotonic(), sum(_examples(machine) for machine, _ in rounds)
        print(f"{examples:,} examples, seeds {seeds[0]} to {seeds[-1]}", flush=True)
        with multiprocessing.Pool(options.processes) as pool:
            for name, seed, seconds in pool.imap_unordered(one_round, rounds):
                print(f"{name}, seed {seed}: nothing found, {seconds:.0f} s", flush=True)
        print(f"no promise is broken in {examples:,} examples, {time.monotonic() - began:.0f} s")


def show(name: str, examples: int, seed: int) -> None:
    """Search one rule's variant, and print what was found."""
    found = told(name, EVERY[name], examples, seed)
    for move, arguments in found.moves if found else ():
        print(f"    {move}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
    sys.exit(found is None)


def record(seed: int, names: list[str]) -> None:
    """Search the variants without these rules, and keep the counter-examples."""
    for name in names:
        examples = EXAMPLES_PER_RULE if name in RULES else EXAMPLES_OF_FLIPS
        found = told(name, EVERY[name], examples, seed)
        if found:
            keep(name, found.moves)


def told(name: str, rule: Rule, examples: int, seed: int) -> Counterexample | None:
    """The rule's counter-example; what it took to find it is printed."""
    began = time.monotonic()
    found = counterexample(rule, examples, seed=seed)
    result = f"{len(found.moves)} moves, after {found.after:,} histories" if found else "NOTHING"
    print(f"{name}: {result}, {time.monotonic() - began:.0f} s", flush=True)
    return found


def keep(name: str, moves: list[Move]) -> None:
    """Write a counter-example into the ``counterexamples.py`` of its rule."""
    book, rules = (counterexamples, RULES) if name in RULES else (counterexamples_of_flips, flips.RULES)
    book.FOUND[name] = moves
    lines = []
    for rule in filter(book.FOUND.get, rules):
        lines += [
            f"    {rule!r}: [",
            *(f"        {move!r}," for move in book.FOUND[rule]),
            "    ],",
        ]
    path = Path(book.__file__)
    head, opening, _ = path.read_text(encoding="utf-8").partition("FOUND: dict[str, list[Move]] = {\n")
    path.write_text(head + opening + "\n".join([*lines, "}", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
