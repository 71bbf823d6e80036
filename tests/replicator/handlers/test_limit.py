"""A transform that hangs costs its own key, and nobody's alarm but ours is touched."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from replicator.handlers.limit import Allowance, TookTooLong, limited


def hangs(item):
    while True:
        time.sleep(0.001)


def hangs_and_swallows(item):
    while True:
        try:
            hangs(item)
        except Exception:
            continue


@pytest.mark.parametrize("function", [hangs, hangs_and_swallows])
def test_a_call_that_takes_too_long_raises(function):
    with pytest.raises(TookTooLong):
        limited(function, 0.05)({})


def test_a_call_in_time_returns_what_it_returns_and_raises_what_it_raises():
    assert limited(lambda item: item * 2, 60)(21) == 42
    with pytest.raises(ZeroDivisionError):
        limited(lambda item: item / 0, 60)(1)


def test_an_alarm_that_somebody_else_has_set_goes_on(monkeypatch):
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    before = signal.setitimer(signal.ITIMER_REAL, 3600)
    try:
        limited(lambda item: item, 60)({})
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 3600
        assert signal.getsignal(signal.SIGALRM) is not handler
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not rung:
            time.sleep(0.001)
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_in_another_thread_there_is_no_limit():
    got = []
    thread = threading.Thread(target=lambda: got.append(limited(lambda item: item, 0.01)(7)))
    thread.start()
    thread.join()
    assert got == [7]


def test_what_hangs_takes_a_share_of_the_call_and_then_little():
    allowance = Allowance(each=0.05, together=0.12, least=0.01)
    given = []
    for _ in range(5):
        given.append(round(allowance.seconds, 6))
        with pytest.raises(TookTooLong):
            limited(hangs, allowance)({})
    assert given == [0.05, 0.05, 0.02, 0.01, 0.01]
    assert limited(lambda item: item, allowance)(7) == 7
    allowance.begin()
    assert allowance.seconds == 0.05


def test_by_default_a_hundred_that_hang_do_not_take_what_one_batch_may_before_it_has_to_write():
    allowance = Allowance()
    hung, lost = 100, 0.0
    for _ in range(hung):
        lost += allowance.seconds
        allowance.hung(allowance.seconds)
    assert lost < 0.6 * 60  # of a call, see `ceiling.WAITING_SHARE`
