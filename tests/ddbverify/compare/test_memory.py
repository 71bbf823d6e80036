"""What a pass changes of the process it runs in, it puts back."""

from __future__ import annotations

import gc
import sys

import pytest

from ddbverify.compare.memory import (
    ALLOCATIONS_BETWEEN_COLLECTIONS,
    SECONDS_OF_A_TURN,
    long_turns,
    rare_collections,
)
from tests.ddbverify.fakes import FakeTable, item, make_judge
from tests.ddbverify.prepared import run


@pytest.fixture(params=[(700, 10, 10), (0, 10, 10), (10**6, 5, 5)])
def threshold(request):
    before = gc.get_threshold()
    gc.set_threshold(*request.param)
    yield request.param
    gc.set_threshold(*before)


def fail():
    raise KeyError


def test_collections_are_rare_for_a_while_and_never_switched_on(threshold):
    with rare_collections():
        during = gc.get_threshold()[0]
    assert during == (max(threshold[0], ALLOCATIONS_BETWEEN_COLLECTIONS) if threshold[0] else 0)
    assert gc.get_threshold() == threshold


def test_they_are_as_before_after_an_error(threshold):
    with pytest.raises(KeyError), rare_collections():
        fail()
    assert gc.get_threshold() == threshold


def test_a_pass_leaves_the_collector_as_it_was(threshold):
    run(FakeTable([item("a")]), FakeTable([item("a")]))
    assert gc.get_threshold() == threshold


def test_threads_take_turns_as_before_once_a_pass_is_over():
    before = sys.getswitchinterval()
    with long_turns():
        assert sys.getswitchinterval() == pytest.approx(SECONDS_OF_A_TURN)
    assert sys.getswitchinterval() == before

    with pytest.raises(KeyError), long_turns():
        raise KeyError
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("rekeys", [False, True])
def test_they_do_so_in_a_rekeyed_pass_only(rekeys):
    seen, before = set(), sys.getswitchinterval()

    def function(one):
        seen.add(round(sys.getswitchinterval(), 6))
        return one

    tables = [FakeTable([item(f"k{number}", v="x") for number in range(5)]) for _ in range(2)]
    run(*tables, judge=make_judge(function, rekeys=rekeys))

    assert seen == {round(SECONDS_OF_A_TURN if rekeys else before, 6)}
    assert sys.getswitchinterval() == before
