"""Rate, budget and patience hold whatever the threads and the network do, on simulated time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddbverify.errors import EngineError, ThrottledError
from ddbverify.tables.pace import PATIENCE_SECONDS, Budget, Patience, ReadPace
from tests.ddbverify.simulated import Schedule

SECONDS = st.floats(0, 3)
INTERLEAVINGS = st.lists(st.floats(0, 1), min_size=1, max_size=7)
# What one thread does, again and again: idle so long, then a request of such latency and cost.
STEPS = st.tuples(st.floats(0, 20) | st.just(0.0), SECONDS, st.floats(0.5, 300))


def sent(threads, ties, rate, *, cost=None):
    """The (moment, units) of every request that the *threads* send under a pace, in order."""
    schedule, log = Schedule(ties), []
    pace = ReadPace(rate, clock=schedule.clock, sleep=schedule.sleep)

    def works(steps):
        def work():
            for idle, latency, units in steps:
                schedule.sleep(idle)
                with pace.request() as bill:
                    log.append((schedule.now, cost or units))
                    schedule.sleep(latency)
                    bill.units = cost or units

        return work

    schedule.run(*map(works, threads))
    return log, schedule.now


def stretches(log):
    """(seconds, units, the last one's units) of every stretch from one request to another."""
    for first in range(len(log)):
        total = 0.0
        for moment, units in log[first:]:
            total += units
            yield moment - log[first][0], total, units


THREADS = st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=8)


class TestReadPace:
    @settings(deadline=None, max_examples=40)
    @given(THREADS, INTERLEAVINGS, st.integers(50, 5000), st.floats(0.5, 256))
    def test_pages_of_one_size_stay_under_the_rate_in_every_stretch(self, threads, ties, rate, cost):
        log, _ = sent(threads, ties, rate, cost=cost)

        assert len(log) == sum(map(len, threads))
        for seconds, units, last in stretches(log):
            assert units - last <= rate * seconds * 1.0001 + 0.001

    @settings(deadline=None, max_examples=40)
    @given(THREADS, INTERLEAVINGS, st.integers(50, 5000))
    def test_whatever_they_cost_they_owe_no_more_than_what_was_under_way(self, threads, ties, rate):
        log, _ = sent(threads, ties, rate)

        dearest = max(units for _, units in log)
        for seconds, units, _ in stretches(log):
            assert units <= rate * seconds * 1.0001 + len(threads) * dearest + 0.001

    @settings(deadline=None, max_examples=40)
    @given(st.integers(1, 8), INTERLEAVINGS, st.floats(0.5, 256), SECONDS)
    def test_a_rate_that_is_there_is_used(self, count, ties, cost, latency):
        rate, requests = 500, 10
        threads = [[(0.0, latency, cost)] * requests] * count
        _, ended = sent(threads, ties, rate)

        by_rate, by_latency = cost * requests * count / rate, latency * requests
        naps = 32 * 0.512 + requests * 0.25  # until its cost is known, a request holds 256 units
        assert ended <= max(by_rate, by_latency) + by_latency / count + naps + latency

    def test_the_first_requests_of_eight_threads_do_not_go_out_at_once(self):
        log, _ = sent([[(0.0, 1.0, 256.0)]] * 8, [0.0], 512)
        assert [moment for moment, _ in log] == [0.5 * n for n in range(8)]

    def test_an_idle_time_saves_nothing_up(self):
        log, _ = sent([[(0.0, 0.0, 100.0), (100.0, 0.0, 100.0), (0.0, 0.0, 100.0)]], [0.0], 10)
        assert [moment for moment, _ in log] == [0.0, 100.0, 110.0]

    def test_a_late_cheap_answer_does_not_lend_to_those_sent_meanwhile(self):
        # The first holds 256 units until it is answered at 60 s; what it did not use has lapsed.
        log, _ = sent(
            [[(0.0, 60.0, 1.0)], [(25.6, 0.0, 256.0), (34.4, 0.0, 256.0), (0.0, 0.0, 256.0)]], [0.0], 10
        )
        assert [round(moment, 6) for moment, _ in log] == [0.0, 25.6, 60.0, 85.6]

    def test_a_request_that_failed_costs_nothing(self):
        pace = ReadPace(1, clock=lambda: 0.0, sleep=lambda _: pytest.fail("slept"))
        for _ in range(3):
            with pytest.raises(EngineError), pace.request():
                raise EngineError("no", "no")

    def test_without_a_rate_nobody_waits(self):
        pace = ReadPace(None, sleep=lambda _: pytest.fail("slept"))
        for _ in range(3):
            with pace.request() as bill:
                bill.units = 1e9


class TestBudget:
    @settings(deadline=None, max_examples=40)
    @given(THREADS, INTERLEAVINGS, st.integers(1, 3000))
    def test_no_request_is_sent_once_it_is_spent(self, threads, ties, limit):
        schedule, budget, log = Schedule(ties), Budget(limit), []

        def works(steps):
            def work():
                for idle, latency, units in steps:
                    schedule.sleep(idle)
                    spent = budget.spent
                    try:
                        with budget.request() as bill:
                            log.append((spent, units))
                            schedule.sleep(latency)
                            bill.units = units
                    except EngineError:
                        assert spent or log
                        return

            return work

        schedule.run(*map(works, threads))

        assert all(spent < limit for spent, _ in log)
        assert budget.spent == pytest.approx(sum(units for _, units in log))
        in_flight = sorted((units for _, units in log), reverse=True)[: len(threads)]
        assert budget.spent < limit + sum(in_flight)

    def test_pages_under_way_count_as_what_pages_cost(self):
        schedule, budget = Schedule(), Budget(1000)
        refused = []

        def work():
            for _ in range(10):
                try:
                    with budget.request() as bill:
                        schedule.sleep(1)
                        bill.units = 100
                except EngineError as error:
                    refused.append(error.message)
                    return

        with budget.request() as bill:
            bill.units = 100
        schedule.run(*[work] * 8)

        assert budget.spent == 1000
        assert len(refused) == 8
        assert "read budget of 1,000 units is spent" in refused[0]

    def test_it_says_what_was_consumed_and_what_to_do(self):
        budget = Budget(10)
        with budget.request() as bill:
            bill.units = 12.5
        with pytest.raises(EngineError) as caught, budget.request():
            pytest.fail("admitted")
        assert caught.value.message == "The read budget of 10 units is spent: 12.5 were consumed."
        assert "max_read_units" in caught.value.hint

    def test_a_request_that_failed_gives_its_place_back(self):
        budget = Budget(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), budget.request():
                raise ZeroDivisionError
        assert budget.spent == 0


REFUSED = ThrottledError("AWS refused to scan: Throttling", "wait")


class TestPatience:
    def test_the_pause_grows_and_the_end_says_how_long_it_took(self):
        schedule = Schedule()
        patience = Patience(clock=schedule.clock, sleep=schedule.sleep, jitter=lambda: 0.0)
        moments = []

        def work():
            while True:
                patience.wait()
                moments.append(schedule.now)
                patience.throttled(REFUSED)

        with pytest.raises(ThrottledError, match=r"Throttling; nothing was answered for \d{3} s"):
            schedule.run(work)

        pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert pauses[:8] == [0.5, 1, 2, 4, 8, 16, 30, 30]
        assert PATIENCE_SECONDS <= moments[-1] < PATIENCE_SECONDS + 30

    @settings(deadline=None, max_examples=40)
    @example([0.0], [0.0, 0.5552833989765306])  # some are asked before the end and answered behind it
    @given(INTERLEAVINGS, st.lists(st.floats(0, 1), min_size=1, max_size=7))
    def test_all_threads_of_a_table_pause_together_and_come_back_one_by_one(self, ties, jitters):
        schedule, jitter = Schedule(ties), itertools.cycle(jitters)
        patience = Patience(clock=schedule.clock, sleep=schedule.sleep, jitter=lambda: next(jitter))
        refused, answered, refused_until = [], [], 20.0

        def work():
            for _ in range(3):
                while True:
                    patience.wait()
                    schedule.sleep(0.01)
                    if schedule.now > refused_until:
                        answered.append(schedule.now)
                        patience.answered()
                        break
                    refused.append(schedule.now)
                    patience.throttled(REFUSED)

        schedule.run(*[work] * 8)

        # Pauses of 0.5, 1, 2 ... 8 s: six rounds, not eight times as many.
        assert len(refused) <= 8 * 7
        assert len(answered) == 8 * 3

    def test_an_answer_starts_the_count_anew_and_halves_the_pause(self):
        now, slept = [0.0], []

        def sleep(seconds):
            slept.append(seconds)
            now[0] += seconds

        patience = Patience(10, clock=lambda: now[0], sleep=sleep, jitter=lambda: 0.0)
        for _ in range(3):
            patience.throttled(REFUSED)
            patience.wait()
        patience.answered()
        now[0] += 9
        for _ in range(2):
            patience.throttled(REFUSED)
            patience.wait()

        assert slept == [0.5, 1, 2, 2, 4]

    def test_who_was_never_refused_never_waits(self):
        patience = Patience(sleep=lambda _: pytest.fail("slept"))
        for _ in range(3):
            patience.wait()
            patience.answered()
