"""What a session says of a pair: what its pass was to cost, and why its findings differ."""

from __future__ import annotations

from dataclasses import replace

from ddbverify.compare.causes import Causes
from ddbverify.evidence import pair_facts
from ddbverify.items.states import State
from tests.ddbverify import projects


def facts(read, causes=None):
    tables = tuple(
        replace(projects.table(name, "eu-west-1"), size_bytes=size)
        for name, size in (("orders", 8192), ("orders-v2", 4097))
    )
    return {fact.name: fact.value for fact in pair_facts.of("orders-1", tables, read, causes or Causes())}


def test_a_whole_pass_was_to_cost_what_both_tables_hold_and_two_units_a_segment():
    read = replace(projects.comparison("orders-1"), segments_total=4, segments_planned=4)
    assert facts(read) == {"planned-units": (2 + 8) + (2 + 8)}


def test_a_sample_was_to_cost_its_share():
    read = replace(projects.comparison("orders-1"), segments_total=4, segments_planned=1)
    assert facts(read) == {"planned-units": (1 + 2) + (1 + 2)}


def test_where_no_segment_was_to_be_read_nothing_was_planned():
    read = replace(projects.comparison("orders-1"), segments_total=0, segments_planned=0)
    assert facts(read) == {}


def test_causes_are_told_in_words():
    causes = Causes()
    causes.add(State.DIFFERENT, ("price: N -> S",))
    read = replace(projects.comparison("orders-1"), segments_total=0, segments_planned=0)
    assert facts(read, causes) == {"causes": ("`price` is S instead of N (1 finding)",)}
