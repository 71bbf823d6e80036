"""What nobody can write for: that each budget can be missed, and that both builds are timed."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import click
import msgspec
import pytest

from benchmarks import links, refusal, refused, under_fence
from benchmarks.child import ROOT
from benchmarks.refusal import Demo, Refusals
from benchmarks.under_fence import CEILING, COMMIT, SIZES, Row, UnderFence
from ddbverify.config import load
from replicator.demo import stage
from replicator.demo.story import Story

ROWS = [
    Row(items=SIZES[0], ceiling=None, from_word=1.0, whole=3.0),
    Row(items=SIZES[1], ceiling=None, from_word=1.3, whole=3.0, before=3.0),
    Row(items=SIZES[1], ceiling=CEILING, from_word=2.5, whole=4.0, before=25.0),
]


def changed(number, **more):
    return [msgspec.structs.replace(row, **(more if at == number else {})) for at, row in enumerate(ROWS)]


def met(rows):
    return [one.met for one in UnderFence(rows).budgets]


def test_what_is_fast_enough_is_met():
    assert met(ROWS) == [True, True]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (changed(2, from_word=2.51), [False, True]),
        (changed(2, before=None), [False, True]),
        (changed(1, from_word=1.31), [True, False]),
        (changed(2, wrong="another count"), [False, False]),
        (ROWS[1:], [True, False]),
        (ROWS[:2], [False, True]),
        ([], [False, False]),
    ],
)
def test_each_budget_can_be_missed(rows, expected):
    assert met(rows) == expected


@pytest.mark.full
def test_both_builds_are_timed_on_the_same_tables(monkeypatch):
    sizes = {"SIZES": (300, 600), "CHANGED": 150, "CEILING": 5_000}
    for module in (links, under_fence):
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(under_fence, "worktree", here)

    made = under_fence.run(quick=True, say=lambda _: None)

    assert [row.wrong for row in made.rows] == [""] * 3
    assert [row.before is not None for row in made.rows] == [False, True, True]
    assert all(0 < row.from_word < row.whole for row in made.rows)
    assert made.shown().count("exact") == 3


@contextmanager
def here(commit):
    yield ROOT


def test_a_commit_that_is_not_here_leaves_nothing_to_hold_against(monkeypatch):
    @contextmanager
    def gone(commit):
        raise click.ClickException(f"The commit {commit} is not in this clone")
        yield

    told = []
    monkeypatch.setattr(refusal, "worktree", gone)
    monkeypatch.setattr(refusal, "_demo", lambda build, *_: demo(build))
    found = refusal.run(quick=True, say=told.append)

    assert (found.budgets[0].met, found.budgets[0].found) == (False, "not measured")
    assert any("is not in this clone" in line for line in told)


def demo(build, seconds=1.0, wrong=""):
    return Demo(build=build, items=20_000, longest_seconds=seconds, parts=[f"parts of {build}"], wrong=wrong)


@pytest.mark.parametrize(
    ("ours", "theirs", "is_met"),
    [
        (demo("now"), demo(COMMIT, 3.0), True),
        (demo("now", 1.01), demo(COMMIT, 3.0), False),
        (demo("now", wrong="it failed"), demo(COMMIT, 3.0), False),
        (demo("now"), demo(COMMIT, 3.0, wrong="it failed"), False),
    ],
)
def test_a_refusal_is_held_against_that_of_the_other_build(ours, theirs, is_met):
    found = Refusals([ours, theirs])

    assert [one.met for one in found.budgets] == [is_met]
    assert "parts of now" in found.shown()


def test_it_is_measured_without_a_way_back_too(monkeypatch):
    """That is what the other build does, and its budget is not."""
    asked = []
    monkeypatch.setattr(refusal, "worktree", here)
    monkeypatch.setattr(refusal, "_demo", lambda build, *given: asked.append(given[2:]) or demo(build))
    found = refusal.run(quick=True, say=lambda _: None)

    assert [one.build for one in found.demos] == [refusal.OURS, refusal.ONE_WAY, COMMIT]
    assert asked == [(), (refused.ONE_WAY,), ()]
    assert refusal.ONE_WAY in found.shown()
    assert len(found.budgets) == 1


def test_a_demonstration_that_goes_over_only_leaves_no_way_back(tmp_path, monkeypatch):
    text = (
        'name = "demo"\n[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[cutover]\npointer = "ssm:/a"\n'
    )
    flips, told = [], SimpleNamespace(function=None)
    monkeypatch.setattr(
        stage, "write_settings", lambda folder: (folder / "migration.toml").write_text(text, encoding="utf-8")
    )
    monkeypatch.setattr(Story, "_flip", lambda self, command: flips.append(command))
    refused._go_over_only()
    stage.write_settings(tmp_path)
    Story._flip(told, "cutover")

    assert load(tmp_path / "migration.toml").cutover.way_back == "off"
    assert flips == ["cutover"]
    assert told.function({"id": 1}) == {"id": 1}, "which ends it there, and changes no item"


def test_refusals_that_were_not_measured_meet_nothing():
    assert not Refusals([]).budgets[0].met


def test_a_demonstration_that_fails_says_why(tmp_path):
    found = refusal._demo("nothing", tmp_path, 10)

    assert found.wrong
    assert found.longest_seconds == 0.0
