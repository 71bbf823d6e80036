"""A pass that was interrupted goes on, and ends as if it had not been."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.compare.checkpoint import Checkpoint, SegmentDone
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners
from ddbverify.config import Duration, Verification
from ddbverify.errors import ConfigurationError, EngineError, Inconclusive
from ddbverify.items.states import State
from ddbverify.names import canary_key
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, item, make_judge, on
from tests.ddbverify.hired import InThreads

SEGMENTS = 5
DONE = SegmentDone(
    segment=3,
    matched=7,
    excluded=1,
    canary=True,
    scanned={"source": 8, "target": 9},
    read_units={"source": 1.5, "target": 2.0},
    requests={"source": 1, "target": 2},
    open_keys=[{"id": {"S": "ü"}}],
)


class Killed(BaseException):
    """The process ends here."""


def run(source, target, checkpoint=None, *, kill_after=None, memory=10**9, judge=None, hired=0):
    clock, calls = Clock(), []

    def progress(one):
        calls.append(one)
        if len(calls) == kill_after:
            raise Killed

    judge = judge or make_judge()
    plan, running = Plan(SEGMENTS, tuple(range(SEGMENTS))), on(clock)
    crew = InThreads(source, target, judge, plan, running=running, memory=memory) if hired else None
    return Pass(
        "pair",
        source,
        target,
        judge,
        plan,
        Verification(settle=Duration(1.0), memory=memory),
        running=running,
        listeners=Listeners(progress=progress),
        checkpoint=checkpoint,
        crew=crew,
    ).run()


def tables(source, target):
    def made(content):
        return FakeTable([*(item(k, v=v) for k, v in content.items()), canary_key(SCHEMA)], page_size=2)

    return made(source), made(target)


contents = st.dictionaries(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.sampled_from("xy"))


@settings(max_examples=60, deadline=None)
@given(
    contents,
    contents,
    st.lists(st.integers(1, 25), max_size=3),
    st.sampled_from([10**9, 1_000]),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_an_interrupted_pass_ends_as_if_it_had_not_been(
    tmp_path_factory, source, target, kills, memory, hired
):
    """Each run by one process or by several, as it comes."""
    path = tmp_path_factory.mktemp("run") / "checkpoint.jsonl"
    whole = run(*tables(source, target), memory=memory)
    for kill_after, more in zip(kills, hired, strict=False):
        try:
            kept = Checkpoint.open(path, [])
            run(*tables(source, target), kept, kill_after=kill_after, memory=memory, hired=more)
        except Killed:
            continue
        break
    again = run(*tables(source, target), Checkpoint.open(path, []), memory=memory, hired=hired[-1])

    assert again.counts == whole.counts
    assert sorted(map(str, again.differences)) == sorted(map(str, whole.differences))
    assert (again.source.items, again.target.items) == (whole.source.items, whole.target.items)
    assert (again.source.scanned, again.target.scanned) == (whole.source.scanned, whole.target.scanned)
    assert again.segments_finished == SEGMENTS


def spread(one):
    """None to three items, under keys that other items may want too; some cannot be transformed."""
    if one["v"] == "!":
        raise ValueError(one["v"])
    return [{"id": key, "of": one["v"]} for key in one["v"]]


spreading = st.dictionaries(
    st.sampled_from("stuvwxyz"), st.sampled_from(["", "a", "ab", "b", "cde", "fg", "h", "!"])
)


@settings(max_examples=60, deadline=None)
@given(
    spreading,
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["a", "ab", "cde", "fg", "h"])),
    st.lists(st.integers(1, 25), max_size=3),
    st.sampled_from([10**9, 1_000]),
)
def test_an_interrupted_pass_over_a_rekeyed_pair_too(tmp_path_factory, source, target, kills, memory):
    path = tmp_path_factory.mktemp("run") / "checkpoint.jsonl"
    judge = make_judge(spread, rekeys=True)

    def made():
        here, _ = tables(source, {})
        return here, FakeTable([*(item(k, of=v) for k, v in target.items()), canary_key(SCHEMA)], page_size=2)

    whole = run(*made(), memory=memory, judge=judge)
    for kill_after in kills:
        try:
            kept = Checkpoint.open(path, [])
            run(*made(), kept, kill_after=kill_after, memory=memory, judge=judge)
        except Killed:
            continue
        break
    again = run(*made(), Checkpoint.open(path, []), memory=memory, judge=judge)

    assert again.counts == whole.counts
    assert sorted(map(str, again.differences)) == sorted(map(str, whole.differences))
    assert (again.source.items, again.target.items) == (whole.source.items, whole.target.items)
    assert (again.source.scanned, again.target.scanned) == (whole.source.scanned, whole.target.scanned)
    assert again.segments_finished == SEGMENTS
    assert again.unexamined == whole.unexamined


@pytest.mark.parametrize("rekeys", [False, True])
def test_a_target_that_stopped_before_the_kill_is_not_excused_by_what_was_read_then(tmp_path, rekeys):
    judge = make_judge((lambda one: {**one, "id": f"t-{one['id']}"}) if rekeys else None, rekeys=rekeys)
    keys, path, clock = [f"k{number}" for number in range(40)], tmp_path / "checkpoint", Clock()
    source = FakeTable([item(key, v="1") for key in keys])
    target = FakeTable([item(f"t-{key}" if rekeys else key, v="0") for key in keys])

    def kill(progress):
        if progress.phase == "settle":
            raise Killed

    def compared(told=None):
        return Pass(
            "pair",
            source,
            target,
            judge,
            Plan(SEGMENTS, tuple(range(SEGMENTS))),
            Verification(settle=Duration(1.0), memory=10**9),
            running=on(clock),
            listeners=Listeners(progress=told),
            checkpoint=Checkpoint.open(path, []),
        ).run()

    with pytest.raises(Killed):
        compared(kill)
    clock.now += 86_400  # a day later the source is at 2, and the target where the source was
    for key in keys:
        source.put(item(key, v="2"))
        target.put(item(f"t-{key}" if rekeys else key, v="1"))
    again = compared()

    assert again.counts[State.DIFFERENT] == len(keys)
    assert again.converged == 0


def test_of_a_rekeyed_pair_nothing_is_read_again_either_and_no_item_is_kept(tmp_path):
    content = {str(n): "ab"[n % 2] * (n % 3) for n in range(40)}
    judge = make_judge(lambda one: [{"id": f"t-{one['id']}", "secret": one["v"] + "secret"}], rekeys=True)
    held = [item(f"t-{key}", secret=value + "secret") for key, value in content.items()]
    path = tmp_path / "checkpoint"
    first = [tables(content, {})[0], FakeTable(held)]
    run(*first, Checkpoint.open(path, []), judge=judge)
    again = [tables(content, {})[0], FakeTable(held)]
    comparison = run(*again, Checkpoint.open(path, []), judge=judge)

    assert comparison.counts[State.MATCHED] == 40
    assert [one.scans for one in again] == [0, 0]
    assert [one.requests for one in again] == [one.requests for one in first], "those of the first run"
    files = [*(tmp_path / "checkpoint.claims").iterdir()]
    assert len(files) == 2 * SEGMENTS
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    kept = b"".join(file.read_bytes() for file in files)
    assert b"t-7" in kept
    assert b"secret" not in kept
    assert base64.b64encode(b"secret")[:7] not in kept


@pytest.mark.parametrize("rekeys", [False, True])
def test_a_full_disk_ends_the_pass_inconclusive_and_what_was_kept_is_gone_on_with(
    tmp_path, monkeypatch, rekeys
):
    judge = make_judge((lambda one: [one]) if rekeys else None, rekeys=rekeys)
    content = {str(n): "x" for n in range(40)}
    path = tmp_path / "checkpoint"
    writes, write = [], os.fdopen if rekeys else Path.open

    def full(*arguments, **more):
        writes.append(arguments)
        if len(writes) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments, **more)

    kept = Checkpoint.open(path, [])
    with monkeypatch.context() as patch:
        patch.setattr(*(("ddbverify.compare.claim_log.os.fdopen",) if rekeys else (Path, "open")), full)
        with pytest.raises(Inconclusive, match="No space left on device") as caught:
            run(*tables(content, content), kept, judge=judge)
    assert "--resume" in caught.value.hint

    comparison = run(*tables(content, content), Checkpoint.open(path, []), judge=judge)
    assert comparison.counts[State.MATCHED] == 40
    assert comparison.unexamined == ()


def test_a_damaged_log_is_refused(tmp_path):
    judge = make_judge(lambda one: [one], rekeys=True)
    content = {str(n): "x" for n in range(40)}
    run(*tables(content, content), Checkpoint.open(tmp_path / "c", []), judge=judge)
    file = tmp_path / "c.claims" / "target-1.jsonl"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for left in (whole[:-9], *(b"".join(lines[:count]) for count in range(len(lines)))):
        file.write_bytes(left)
        with pytest.raises(ConfigurationError, match=r"cannot be read|has been cut short"):
            run(*tables(content, content), Checkpoint.open(tmp_path / "c", []), judge=judge)
    file.unlink()
    with pytest.raises(ConfigurationError, match="FileNotFoundError"):
        run(*tables(content, content), Checkpoint.open(tmp_path / "c", []), judge=judge)


def test_finished_segments_are_not_read_again(tmp_path):
    content = {str(n): "x" for n in range(40)}
    path = tmp_path / "checkpoint.jsonl"
    source, target = tables(content, content)
    run(source, target, Checkpoint.open(path, []))
    again = tables(content, content)
    comparison = run(*again, Checkpoint.open(path, []))

    assert [one.requests for one in again] == [source.requests, target.requests], "those of the first run"
    assert [one.scans for one in again] == [0, 0]
    assert comparison.source.read_units == source.read_units


def test_a_segment_that_was_not_read_to_its_end_is_read_again(tmp_path):
    content = {str(n): "x" for n in range(40)}
    source, target = tables(content, content)
    source.fails_in[(2, 1)] = EngineError("the connection was reset", "try again.")
    first = run(source, target, Checkpoint.open(tmp_path / "c", []))
    second = run(*tables(content, content), Checkpoint.open(tmp_path / "c", []))

    assert first.unexamined
    assert not second.unexamined
    assert len(Checkpoint.open(tmp_path / "c", []).finished) == SEGMENTS


def test_lines_go_round_and_only_the_owner_may_read_them(tmp_path):
    path = tmp_path / "c"
    first = Checkpoint.open(path, ["one"])
    first.planned(total=5, drawn=None, seed=None)
    first.done(DONE)
    second = Checkpoint.open(path, ["one"])

    assert second.finished == (DONE,)
    assert second.plan == {"total": 5, "drawn": None, "seed": None}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_half_a_line_of_a_killed_process_does_not_count(tmp_path):
    path = tmp_path / "c"
    Checkpoint.open(path, []).done(DONE)
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps({"done": {"segment": 4}}).encode())
    again = Checkpoint.open(path, [])

    assert again.finished == (DONE,)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"garbage\n", b"{}\n", b"\xff\n"])
def test_a_file_that_is_not_ours_is_refused(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(ConfigurationError):
        Checkpoint.open(tmp_path / "c", [])


def test_another_comparisons_checkpoint_is_refused(tmp_path):
    Checkpoint.open(tmp_path / "c", ["one"])
    with pytest.raises(ConfigurationError, match="another comparison") as caught:
        Checkpoint.open(tmp_path / "c", ["two"])
    assert "another folder" in caught.value.hint


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read or written"):
        Checkpoint.open(tmp_path / "missing" / "c", [])
