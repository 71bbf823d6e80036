"""Histories that go over, back and over again on the embedded AWS."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.history.over_and_back import Watch, lines, turns
from tests.history.run import Options


@pytest.mark.engine("ministack")
@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("seed", "shape", "killed"), [(1, "", False), (2, "renamed", False), (3, "renamed", True), (4, "", True)]
)
def test_over_back_and_over_again(tmp_path, seed, shape, killed):
    found = turns(tmp_path, Options(seed=seed, seconds=10, rate=15, shape=shape), killed=killed)
    said = "\n".join(lines(found))

    assert found.judgement.holds, said
    assert (found.verified, found.kept) == (0, []), said
    assert found.both_open == 0, said
    assert found.in_turn[-1] == "target", said
    assert "source" in found.in_turn, said


@pytest.mark.parametrize(
    ("looks", "times"),
    [
        ([("source", True), ("target", False), ("source", True)], 0),
        ([("source", True), ("target", True), ("source", False)], 0),
        ([("source", False), ("target", True), ("source", True), ("target", False)], 0),
        ([("source", True), ("target", True), ("source", True), ("target", False)], 1),
        ([("target", True), ("source", True), ("target", True), ("source", True)], 2),
    ],
)
def test_what_a_watch_calls_open_at_once(looks, times):
    watch = Watch(SimpleNamespace())
    watch.seen += looks
    assert watch.both_open() == times
