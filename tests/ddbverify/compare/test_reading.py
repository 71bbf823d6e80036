"""Reading segments: an end is believed when it was said twice, and nobody waits for a thread that hangs."""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ddbverify.compare import reading
from ddbverify.compare.reading import Reading
from ddbverify.compare.sides import Role
from ddbverify.diff.result import verdict_of
from ddbverify.errors import EngineError
from ddbverify.items.states import State
from ddbverify.tables.pace import CalledOff, Patience, ReadPace, until
from ddbverify.tables.pages import PageDecoder
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import SCHEMA, FakeTable, item, make_judge
from tests.ddbverify.prepared import run


def reading_of(source, target=None, *, segments=1, threads=1, stop=None):
    readers = {Role.SOURCE: source, Role.TARGET: target or source}
    return Reading(
        readers,
        dict.fromkeys(Role, SCHEMA),
        Plan(segments, tuple(range(segments))),
        clock=time.time,
        stop=stop or threading.Event(),
        report=lambda: None,
        threads=threads,
    )


def keys_of(pages):
    return [key for page, _ in pages for (key,) in page.keys]


# --- the end --------------------------------------------------------------------------------


class Forgetful(FakeTable):
    """It leaves out ``LastEvaluatedKey`` where *forgets* says so, and now and then every item, too."""

    def __init__(self, items, *, forgets, loses=(), **more):
        super().__init__(items, **more)
        self.forgets, self.loses, self.answers = list(forgets), set(loses), 0

    def scan_page(self, segment, total_segments, start):
        page = super().scan_page(segment, total_segments, start)
        number = self.answers
        self.answers += 1
        body = json.loads(page.body)
        if number in self.loses:
            body |= {"Items": [], "Count": 0}
            body.pop("LastEvaluatedKey", None)
        elif number < len(self.forgets) and self.forgets[number]:
            body.pop("LastEvaluatedKey", None)
        return PageDecoder(SCHEMA).decode(json.dumps(body).encode())


@given(st.integers(0, 9), st.lists(st.booleans(), max_size=12), st.integers(0, 12))
def test_a_page_that_is_not_the_last_is_never_taken_for_it(count, forgets, lost):
    """
    One lost end after the other, and one answer that lost everything: still the whole table.

    But for an answer that lost everything, asked for after one that lost its end.
    """
    assume(lost == 0 or not any(forgets[lost - 1 : lost]))
    table = Forgetful([item(f"{number}") for number in range(count)], forgets=forgets, loses=[lost])
    read = reading_of(table)
    assert sorted(keys_of(read.pages(Role.SOURCE, 0))) == [f"{number}" for number in range(count)]
    assert read.is_complete(Role.SOURCE)
    assert read.unexamined == []


@pytest.mark.parametrize(("count", "requests"), [(0, 2), (1, 2), (3, 2), (4, 3), (9, 4)])
def test_an_end_costs_one_request_more(count, requests):
    table = FakeTable([item(f"{number}") for number in range(count)])
    assert len(keys_of(reading_of(table).pages(Role.SOURCE, 0))) == count
    assert table.requests == requests


@pytest.mark.parametrize("rekeys", [False, True])
@pytest.mark.parametrize("side", Role)
def test_what_lies_behind_a_lost_end_is_compared(side, rekeys):
    """One item more on one side, far behind where that side's scan seems to end."""
    content = [item(f"{number}", v="x") for number in range(12)]
    more = [*content, item("more", v="x")]
    sides = {role: FakeTable(content) for role in Role}
    sides[side] = Forgetful(more, forgets=[False, True, True], order=lambda key: (len(key[0]), key))
    judge = make_judge(lambda one: [one], rekeys=True) if rekeys else None
    comparison = run(sides[Role.SOURCE], sides[Role.TARGET], judge=judge)
    (found,) = comparison.differences
    assert found.key == {"id": {"S": "more"}}
    assert found.state is (State.MISSING if side is Role.SOURCE else State.EXTRANEOUS)
    assert comparison.counts[State.MATCHED] == 12


def test_items_that_arrive_behind_the_end_are_read_too():
    """On a live table there may be more behind an end by the time that it is asked for again."""

    class Growing(FakeTable):
        def scan_page(self, segment, total_segments, start):
            page = super().scan_page(segment, total_segments, start)
            if page.last_key is None and len(self.items) < 5:
                self.put(item(f"{len(self.items)}"))
            return page

    table = Growing([item("0")], order=lambda key: key)
    assert keys_of(reading_of(table).pages(Role.SOURCE, 0)) == ["0", "1", "2", "3", "4"]


def test_a_page_that_begins_with_the_key_behind_which_it_was_to_begin():
    class Inclusive(FakeTable):
        def scan_page(self, segment, total_segments, start):
            page = super().scan_page(segment, total_segments, start)
            if start is None:
                return page
            body = json.loads(page.body)
            first = self.items[start["id"]["S"],]
            return PageDecoder(SCHEMA).decode(
                json.dumps(body | {"Items": [first, *body["Items"]], "Count": body["Count"] + 1}).encode()
            )

    read = reading_of(Inclusive([item(f"{number}") for number in range(9)]))
    keys_of(read.pages(Role.SOURCE, 0))
    (reason,) = read.unexamined
    assert "A scan gave a key twice" in reason
    assert not read.is_complete(Role.SOURCE)


@pytest.mark.parametrize("last_key", [{"other": {"S": "a"}}, {"id": {"N": "1"}}, {}])
def test_a_last_key_that_is_none(last_key):
    class Odd(FakeTable):
        def scan_page(self, segment, total_segments, start):
            body = {"Items": [item("a")], "Count": 1, "LastEvaluatedKey": last_key}
            return PageDecoder(SCHEMA).decode(json.dumps(body).encode())

    read = reading_of(Odd())
    keys_of(read.pages(Role.SOURCE, 0))
    assert "does not say where the next one starts" in read.unexamined[0]


# --- ending early ---------------------------------------------------------------------------


class Hanging(FakeTable):
    """It never answers for one segment."""

    def __init__(self, *args, hangs_in=0, **more):
        super().__init__(*args, **more)
        self.hangs_in, self.asked, self.released = hangs_in, threading.Event(), threading.Event()

    def scan_page(self, segment, total_segments, start):
        if segment == self.hangs_in:
            self.asked.set()
            assert self.released.wait(60)
        return super().scan_page(segment, total_segments, start)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(reading, "GRACE_SECONDS", 0.05)


def test_ctrl_c_does_not_wait_for_an_answer_and_what_comes_later_is_not_looked_at():
    table = Hanging([item("a")])
    read, seen = reading_of(table), []

    def interrupt():
        table.asked.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        read.for_each([0], lambda segment: seen.extend(read.pages(Role.SOURCE, segment)))
    (hanging,) = [one for one in threading.enumerate() if one.name.startswith("ddbverify-scan")]
    assert hanging.daemon, "it would keep the process alive"
    table.released.set()
    hanging.join(60)
    assert seen == []
    assert not read.is_complete(Role.SOURCE)


def test_an_error_ends_the_other_threads_and_is_not_kept_back_by_one_that_hangs():
    table = Hanging([item("a")], hangs_in=1)
    read = reading_of(table, segments=50, threads=2)
    worked = []

    def work(segment):
        if segment == 0:
            table.asked.wait()
            raise RuntimeError("a bug")
        worked.append(segment)
        keys_of(read.pages(Role.SOURCE, segment))

    with pytest.raises(RuntimeError, match="a bug"):
        read.for_each(range(50), work)
    table.released.set()
    assert worked == [1]


def test_every_segment_is_worked_on_once_whatever_the_number_of_threads():
    for threads in (1, 3, 8, 100):
        seen = []
        reading_of(FakeTable(), threads=threads).for_each(range(20), seen.append)
        assert sorted(seen) == list(range(20))
    reading_of(FakeTable()).for_each([], seen.append)
    assert len(seen) == 20


def test_who_waits_for_the_rate_or_for_a_throttled_table_is_called_off_at_once():
    stop = threading.Event()
    pace, patience, ended = ReadPace(1.0, sleep=until(stop)), Patience(sleep=until(stop)), []
    with pace.request() as bill:
        bill.units = 1_000_000.0
    for _ in range(20):
        patience._paused_until = 0.0
        patience.hold_back()
    patience._paused_until += 1_000.0

    def waits(for_what):
        try:
            for_what()
        except CalledOff:
            ended.append(for_what)

    def rate():
        with pace.request():
            raise AssertionError("a million units are not paid for in seconds")

    threads = [threading.Thread(target=waits, args=(one,), daemon=True) for one in (rate, patience.wait)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 2


def test_an_engine_error_of_one_segment_leaves_the_others(monkeypatch):
    table = FakeTable([item(f"{number}") for number in range(40)])
    table.fails_in[2, 1] = EngineError("the connection was reset", "try again.")
    read = reading_of(table, segments=4, threads=3)
    read.for_each(range(4), lambda segment: keys_of(read.pages(Role.SOURCE, segment)))
    assert read.finished[Role.SOURCE] == {0, 1, 3}
    assert read.unexamined == [
        "segment 3 of 4 of the source was not read to its end (the connection was reset)"
    ]


class WithoutAKey(FakeTable):
    """One item of its first page has no key."""

    def scan_page(self, segment, total_segments, start):
        page = super().scan_page(segment, total_segments, start)
        if start is not None or not page.items:
            return page
        items = [json.loads(bytes(raw)) for raw in page.items]
        # Of no two tables alike: of pages that are the same bytes no key is looked for.
        items[1] = {"other": {"S": f"SECRET {id(self)}"}}
        body = {"Items": items, "Count": len(items)}
        if page.last_key is not None:
            body["LastEvaluatedKey"] = page.last_key
        return PageDecoder(SCHEMA).decode(json.dumps(body).encode())


@pytest.mark.parametrize("function", [None, dict], ids=["as it is", "transform"])
@pytest.mark.parametrize(
    ("source", "target"), [(WithoutAKey, FakeTable), (FakeTable, WithoutAKey), (WithoutAKey, WithoutAKey)]
)
@pytest.mark.parametrize("other", ["the same", "others", "nothing"])
@pytest.mark.parametrize("hired", [0, 1])
def test_an_item_without_a_key_is_never_a_pass_that_ended(source, target, function, other, hired):
    items = [item(f"k{number}", v="1") for number in range(6)]
    beside = {"the same": items, "others": [item(f"o{number}", v="1") for number in range(6)], "nothing": []}
    first = source(items if source is WithoutAKey else beside[other])
    second = target(items if target is WithoutAKey else beside[other])

    comparison = run(first, second, judge=make_judge(function), hired=hired)

    assert verdict_of(comparison)[0] == "inconclusive"
    assert any("an item whose key cannot be read" in said for said in comparison.unexamined)
    assert not any("SECRET" in said for said in comparison.unexamined)
