"""The oldest call of a transform is known, whatever other threads do meanwhile."""

from __future__ import annotations

import threading

import pytest

from ddbverify.code.under_way import UnderWay


def test_a_call_is_under_way_until_it_comes_back_or_raises():
    calls, seen = UnderWay(), []

    def function(item):
        seen.append(calls.oldest)
        if item == "bad":
            raise KeyError(item)
        return item * 2

    noted = calls.noting(function)

    assert calls.oldest is None
    assert noted("a") == "aa"
    with pytest.raises(KeyError):
        noted("bad")
    assert (calls.oldest, seen) == (None, [1, 2])


def test_one_that_does_not_come_back_stays_the_oldest_while_others_come_and_go():
    calls, hangs, end = UnderWay(), threading.Event(), threading.Event()

    def function(item):
        if item == "hangs":
            hangs.set()
            end.wait()

    noted = calls.noting(function)
    thread = threading.Thread(target=noted, args=("hangs",))
    thread.start()
    hangs.wait()
    for _ in range(3):
        noted("quick")
        assert calls.oldest == 1
    end.set()
    thread.join()

    assert calls.oldest is None
