"""Checks on single items: what they see, when it counts, and what becomes of what they say."""

from __future__ import annotations

import pytest

from ddbverify import interrupts
from ddbverify.compare.inspection import BATCH, EXAMPLES_KEPT, ItemCheck
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.config import Duration, Verification
from ddbverify.items.states import State
from ddbverify.suite.each_item import item_check
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, item, make_judge, on


def test_other_arguments_are_refused_by_name():
    with pytest.raises(TypeError, match=r"check_it\(source, price\).*`pair`"):
        item_check(_function("check_it", "source, price"))
    with pytest.raises(TypeError):
        item_check(_function("check_it", ""))


def _function(name, arguments):
    scope = {}
    exec(f"def {name}({arguments}): pass", scope)
    scope[name].__code__ = scope[name].__code__.replace(co_filename=__file__)
    return scope[name]


def check_marked(source, target):
    assert source["v"] == target["v"]
    assert target["v"] != "bad"


def check_that_raises(target):
    assert target["absent"]


def check_that_leaves(target):
    raise SystemExit(target["v"])


def check_that_interrupts(target):
    raise KeyboardInterrupt(target["v"])


def check_that_closes(target):
    raise GeneratorExit


def run(source, target, *functions, judge=None, clock=None, **more):
    clock = clock or Clock()
    judge = judge or make_judge()
    checks = [one if isinstance(one, ItemCheck) else item_check(one) for one in functions]
    refuted = []
    comparison = Pass(
        "pair",
        source,
        target,
        judge,
        Plan(2, (0, 1)),
        Verification(settle=Duration(1.0), **more),
        running=on(clock),
        request=PassRequest(item_checks=checks),
        listeners=Listeners(refuted=refuted.append),
    ).run()
    return comparison, [comparison.inspected[check.id] for check in checks], refuted


def table(content, **more):
    return FakeTable([item(key, v=value) for key, value in content.items()], **more)


def test_every_item_on_both_sides_is_seen_once_and_a_refutation_is_found():
    source = {f"k{n}": "bad" if n == 3 else "x" for n in range(20)}
    target = {**source, "extra": "bad"}
    del target["k7"]
    _, (seen, raised, left), refuted = run(
        table(source),
        table(target, order=lambda key: key),
        check_marked,
        check_that_raises,
        check_that_leaves,
    )

    assert seen.examined == 19
    assert (seen.refuted, seen.raised) == (1, {})
    assert [one.key for one in refuted] == [{"id": {"S": "k3"}}]
    assert refuted[0].check == "test_inspection.py::check_marked"
    assert refuted[0].where.startswith("at test_inspection.py:")
    assert 'assert target["v"] != "bad"' in refuted[0].where
    (place,) = seen.places
    assert (seen.places[place], place.partition(":")[0]) == (1, "test_inspection.py")
    assert place == refuted[0].where.removeprefix("at ").partition(": ")[0]  # the line, not what stands in it
    assert raised.refuted == left.refuted == 0
    assert sum(raised.raised.values()) == sum(left.raised.values()) == 19
    assert next(iter(raised.raised)).startswith("KeyError at test_inspection.py:")
    assert next(iter(left.raised)).startswith("SystemExit")


def check_that_returns(source, target):
    return source["v"] == target["v"] == "nothing has it"


def check_that_yields(target):
    assert target["v"] == "nothing has it"
    yield


async def check_that_awaits(source, target, expected):
    assert target["v"] == expected["v"] == "nothing has it"


@pytest.mark.parametrize("check", [check_that_returns, check_that_yields])
def test_a_check_that_returns_something_decides_nothing(check):
    content = {f"k{n}": "x" for n in range(20)}

    # In batches as they were read, and one by one through a transform.
    for theirs, more in (
        (table(content), {}),
        (table(content, order=lambda key: key), {"judge": make_judge(lambda one: one)}),
    ):
        _, (seen,), refuted = run(table(content), theirs, check, **more)

        assert (seen.examined, refuted) == (20, [])
        assert sum(seen.raised.values()) == 20
        assert next(iter(seen.raised)).startswith("ReturnedInsteadOfAsserted")


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_check_that_would_have_to_be_awaited_decides_nothing():
    content = {f"k{n}": "x" for n in range(3)}

    _, (seen,), _ = run(table(content), table(content), check_that_awaits)

    assert sum(seen.raised.values()) == 3


@pytest.mark.parametrize("size", [1, BATCH - 1, BATCH, 2 * BATCH + 3])
def test_whatever_a_check_raises_the_others_see_every_item(size):
    content = {f"k{n:05}": "bad" if n % 7 == 0 else "x" for n in range(size)}
    with interrupts.noticed():
        _, (ended, closed, seen), refuted = run(
            table(content, order=lambda key: key),
            table(content, order=lambda key: key),
            check_that_interrupts,
            check_that_closes,
            check_marked,
        )

    assert sum(ended.raised.values()) == sum(closed.raised.values()) == size
    assert next(iter(ended.raised)).startswith("KeyboardInterrupt at test_inspection.py:")
    assert (seen.examined, seen.raised) == (size, {})
    assert sorted(one.key["id"]["S"] for one in refuted) == [key for key, v in content.items() if v == "bad"]


def test_a_check_of_what_differs_sees_nothing_else_and_has_nothing_decoded(monkeypatch):
    def check_it(source, target):
        assert source["v"] == "x"
        assert target["v"] == "y"

    source = {f"k{n}": "x" for n in range(20)}
    monkeypatch.setattr("ddbverify.items.lazy.LazyItem.of_raw", None)
    check = item_check(check_it, only_different=True)
    _, (seen,), refuted = run(table(source), table({**source, "k3": "y"}), check)

    assert (seen.calls, refuted) == (1, [])


def test_two_of_two_arguments_are_given_by_name_in_any_order():
    def check_it(expected, source):
        assert expected is not None
        assert expected["v"] == source["v"].upper()

    content = {f"k{n}": "x" for n in range(9)}
    loud = table({key: value.upper() for key, value in content.items()})
    judge = make_judge(lambda one: {**one, "v": one["v"].upper()})
    _, (seen,), refuted = run(table(content), loud, check_it, judge=judge)

    assert (seen.examined, refuted) == (9, [])


def test_all_are_counted_and_some_are_shown():
    content = {f"k{n}": "bad" for n in range(40)}
    _, (seen,), refuted = run(table(content), table(content), check_marked)
    assert (seen.refuted, len(seen.examples), len(refuted)) == (40, EXAMPLES_KEPT, 40)


@pytest.mark.parametrize("memory", [1_000, 10**9])
@pytest.mark.parametrize("rekeys", [False, True])
def test_through_a_transform_all_three_items_are_seen(rekeys, memory):
    def shout(one):
        made = {**one, "v": one["v"].upper()}
        return [made] if rekeys else made

    def check_it(source, target, expected):
        assert source["v"].upper() == target["v"] == expected["v"]
        assert source["v"] != "bad"

    content = {f"k{n}": "bad" if n == 3 else "x" for n in range(30)}
    judge = make_judge(shout, rekeys=rekeys)
    loud = table({key: value.upper() for key, value in content.items()})
    comparison, (seen,), refuted = run(table(content), loud, check_it, judge=judge, memory=memory)

    assert comparison.counts[State.MATCHED] == 30
    assert (seen.examined, seen.refuted) == (30, 1)
    assert [one.key for one in refuted] == [{"id": {"S": "k3"}}]


def test_what_is_in_flight_is_asked_again_when_it_has_settled():
    clock = Clock()
    source, target = table({"a": "new", "b": "x"}, clock=clock), table({"a": "old", "b": "x"}, clock=clock)
    clock.at(0.5, lambda: target.put(item("a", v="new")))
    comparison, (seen,), refuted = run(source, target, check_marked, clock=clock)

    assert comparison.converged == 1
    assert (seen.examined, seen.missed, refuted) == (2, 0, [])


def test_a_persistent_difference_is_shown_to_the_check_too():
    _, (seen,), refuted = run(table({"a": "x"}), table({"a": "y"}), check_marked)
    assert (seen.examined, seen.refuted) == (1, 1)
    assert len(refuted) == 1


def test_a_target_that_only_ever_held_older_states_is_counted_as_missed():
    clock = Clock()
    source, target = table({"a": "0"}, clock=clock), table({"a": "-"}, clock=clock)

    def move(number=1):
        target.put(item("a", v=str(number - 1)))
        source.put(item("a", v=str(number)))
        clock.at(0.05, lambda: move(number + 1))

    clock.at(0.05, move)
    comparison, (seen,), _ = run(source, target, check_marked, clock=clock)

    assert comparison.counts[State.DIFFERENT] == 0
    assert (seen.examined, seen.refuted) == (0, 0)
    assert seen.missed + comparison.counts[State.CHURNING] == 1


def test_with_a_checkpoint_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be resumed"):
        PassRequest(checkpoint=tmp_path / "c", item_checks=[item_check(check_marked)])


def test_without_checks_nothing_is_inspected():
    comparison, _, _ = run(table({"a": "x"}), table({"a": "x"}))
    assert comparison.inspected == {}
    assert SCHEMA == {"id": "S"}
