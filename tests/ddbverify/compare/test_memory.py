"""What a pass changes of the process it runs in, it puts back."""

from __future__ import annotations

import gc

import pytest

from ddbverify.compare.memory import ALLOCATIONS_BETWEEN_COLLECTIONS, rare_collections
from tests.ddbverify.fakes import FakeTable, item
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
