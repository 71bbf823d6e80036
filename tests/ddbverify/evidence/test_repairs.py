"""``repair.json``: whole or not there, every byte counts, and what it says can be held against items."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError
from ddbverify.evidence import repairs
from ddbverify.evidence.record import TableRecord
from ddbverify.evidence.repairs import PairOf, RepairFile, Repairs
from ddbverify.items.states import Difference, Seen, State

PAIR = PairOf(
    id="orders-1a2b",
    source=TableRecord(arn="arn:source", id="1", created_epoch=1.0),
    target=TableRecord(arn="arn:target", id="2", created_epoch=2.0),
    source_keys={"id": "S"},
    target_keys={"id": "S"},
    transform=None,
    transform_digest="",
    rekeys=False,
    ignore=("updated",),
)


def found(state=State.DIFFERENT, key="a", paths=("price: N -> S",), **more):
    seen = Seen(b"\1", b"\2")
    return Difference(**{"state": state, "key": {"id": {"S": key}}, "paths": paths, "seen": seen} | more)


def write(folder, *differences):
    with RepairFile(folder) as file:
        for one in differences:
            file.add(PAIR.id, one)
        file.finish([PAIR])
    return file.path


def read(path):
    with Repairs(path) as whole:
        return list(whole.entries()), whole.tail


def test_what_is_written_is_read(tmp_path):
    path = write(
        tmp_path,
        found(),
        found(State.MISSING, "b", (), seen=Seen(b"\3", b"")),
        found(State.EXTRANEOUS, "c", (), seen=Seen(b"", b"\4")),
        found(State.CHURNING, "d", ()),
        found(State.KNOWN, "e"),
        found(key="f", seen=None),
    )

    entries, tail = read(path)

    assert [(one.finding, one.key["id"]["S"], one.expected, one.target) for one in entries] == [
        ("different", "a", "01", "02"),
        ("missing", "b", "03", ""),
        ("extraneous", "c", "", "04"),
    ]
    assert entries[0].causes == ("`price` is S instead of N",)
    assert {(one.finding, one.cause, one.findings) for one in tail.causes} == {
        ("missing", "not in the target", 1),
        ("different", "`price` is S instead of N", 1),
        ("extraneous", "in the target only", 1),
    }
    assert (tail.listed, tail.left_out) == (3, {"churning": 1, "different": 1, "known": 1})
    assert tail.pairs == (PAIR,)
    assert repairs.tail_of(path) == tail
    json.loads(path.read_bytes())  # one document, for whoever reads it with something else
    for name in ("repair.json", "repair.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_nothing_to_repair_is_a_whole_file_too(tmp_path):
    entries, tail = read(write(tmp_path))
    assert (entries, tail.listed) == ([], 0)
    json.loads((tmp_path / "repair.json").read_bytes())


CAUSES = st.lists(
    st.lists(
        st.sampled_from(["a: value", "b.c: N -> S", "l[3]: removed", "(and 7 more)", "x\\: y: value"]),
        max_size=4,
    ),
    max_size=8,
)


@given(CAUSES)
def test_every_entry_s_causes_are_among_those_that_can_be_chosen(tmp_path_factory, paths):
    folder = tmp_path_factory.mktemp("causes")
    entries, tail = read(write(folder, *(found(key=str(n), paths=tuple(one)) for n, one in enumerate(paths))))
    offered = {(one.pair, one.finding, one.cause): one.findings for one in tail.causes}
    met = {}
    for entry in entries:
        assert entry.causes
        for cause in entry.causes:
            met[entry.pair, entry.finding, cause] = met.get((entry.pair, entry.finding, cause), 0) + 1
    assert met == offered


def test_no_byte_can_be_changed(tmp_path):
    path = write(tmp_path, found(), found(key="b"))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ConfigurationError):
            Repairs(path)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(ConfigurationError):
            Repairs(path)
    path.write_bytes(whole)
    assert len(read(path)[0]) == 2


def test_one_that_was_not_finished_has_no_name(tmp_path):
    with RepairFile(tmp_path) as file:
        file.add(PAIR.id, found())
    assert {one.name for one in tmp_path.iterdir()} == {"repair.key"}
    with pytest.raises(ConfigurationError, match="There is no"):
        Repairs(file.path)


def test_what_a_killed_process_left_is_taken_away(tmp_path):
    (tmp_path / ".repair.json").write_text("half")
    repairs.drop_unfinished(tmp_path)
    repairs.drop_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_leaves_none(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with RepairFile(tmp_path) as file:
        file.add(PAIR.id, found())
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            file.finish([PAIR])
    monkeypatch.undo()
    assert {one.name for one in tmp_path.iterdir()} == {"repair.key"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "repair.key").unlink(), "nobody can tell what has moved"),
        (lambda folder: (folder / "repair.key").write_text("ff"), "nobody can tell what has moved"),
        (lambda folder: (folder / "repair.key").write_text("ff" * 32), "was changed since"),
        (
            lambda folder: (folder / "repair.json").write_text('{"version":2,"findings":[]}'),
            "is of version 2, and this one is 1",
        ),
        (lambda folder: (folder / "repair.json").write_text("thesis"), "is no such file"),
    ],
)
def test_each_is_said_in_a_sentence_with_what_to_do(tmp_path, change, said):
    path = write(tmp_path, found())
    change(tmp_path)
    with pytest.raises(ConfigurationError, match=said) as caught:
        Repairs(path)
    assert caught.value.hint


def test_a_resumed_one_keeps_its_secret(tmp_path):
    with RepairFile(tmp_path) as before:
        pass
    with RepairFile(tmp_path) as after:
        pass
    assert before.secret == after.secret


def test_any_number_takes_little_memory(tmp_path):
    tracemalloc.start()
    try:
        with RepairFile(tmp_path) as file:
            for number in range(5_000):
                file.add(PAIR.id, found(key=f"order-{number}"))
            file.finish([PAIR])
        with Repairs(file.path) as whole:
            assert sum(1 for _ in whole.entries()) == 5_000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert file.path.stat().st_size > 600_000
    assert most < 1_500_000
