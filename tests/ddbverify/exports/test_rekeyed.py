"""Re-keyed pairs from exports: what the engine finds in tables that hold still, without a look at any key."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.compare import exported
from ddbverify.compare.controls import HeldTable
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import Listeners
from ddbverify.config import Config, Duration, Pair, Side, Size, Verification
from ddbverify.exports.export import open_export
from ddbverify.items.states import State
from ddbverify.tables.segments import Plan
from tests.ddbverify.exports.exporting import AT, full
from tests.ddbverify.exports.test_export_diff import diff
from tests.ddbverify.fakes import SCHEMA, Clock, item, make_judge, on

KEY = {"id": "S"}
PAIR = Pair(source="orders", target="orders-v2", transform=f"{__name__}:spread", rekeys=True)


def spread(one):
    """A target item for each letter of ``to``; a value that no item can have for a cross."""
    return [{"id": letter, "v": one["v"] if letter != "x" else 1.5} for letter in one["to"]]


def compared(folder, source, target, *, memory=512_000_000, ttl=None):
    """The comparison of two exports, and every difference."""
    sides = [
        open_export(full(folder / name, *parts).address, (), Side(), KEY, place=name)
        for name, parts in (("source", source), ("target", target))
    ]
    sides = [replace(side, table=replace(side.table, ttl_attribute=ttl)) for side in sides]
    found = []
    config = Config(tables=(PAIR,), verification=Verification(settle=Duration(0), memory=Size(memory)))
    return exported.compare(config, PAIR, *sides, Listeners(found=found.append)), found


SOURCES = st.dictionaries(
    st.sampled_from(["s1", "s2", "s3", "s4"]), st.tuples(st.text("abcdx", max_size=3), st.sampled_from("pq"))
)
TARGETS = st.dictionaries(st.sampled_from("abcdex"), st.sampled_from("pq"))


@given(SOURCES, TARGETS, st.sampled_from([1, 512_000_000]))
def test_it_finds_what_the_engine_finds_in_tables(tmp_path_factory, source, target, memory):
    ours = [item(key, to=to, v=value) for key, (to, value) in source.items()]
    theirs = [item(key, v=value) for key, value in target.items()]
    made, found = compared(
        tmp_path_factory.mktemp("export"), [ours[:2], ours[2:]], [theirs[:1], theirs[1:]], memory=memory
    )
    expected = []
    live = Pass(
        "pair",
        HeldTable(ours, SCHEMA),
        HeldTable(theirs, SCHEMA),
        make_judge(spread, rekeys=True),
        Plan(1, (0,)),
        Verification(settle=Duration(0)),
        listeners=Listeners(found=expected.append),
        running=on(Clock()),
    ).run()

    def said(differences):
        named = [(one, one.reason.replace("tests:function", PAIR.transform)) for one in differences]
        return sorted((str(one.key), one.state, one.paths, reason) for one, reason in named)

    assert said(found) == said(expected)
    assert made.counts == live.counts
    assert (made.source.items, made.target.items) == (live.source.items, live.target.items)
    assert not made.unexamined


@pytest.mark.parametrize("side", ["source", "target"])
def test_what_the_unread_part_could_hold_is_undecided(tmp_path, side):
    source = [[item("s1", to="a", v="p"), item("s2", to="b", v="p")], [item("s3", to="c", v="p")]]
    target = [[item("a", v="p"), item("b", v="q")], [item("c", v="p")]]
    written = {"source": full(tmp_path / "s", *source), "target": full(tmp_path / "t", *target)}
    written[side].data[1].unlink()
    addresses = [one.address for one in written.values()]
    summary, found = diff(*addresses, "--rekeys", "--transform", PAIR.transform)
    assert (summary["verdict"], summary["complete"]) == ("different", False)
    assert found == {"b": "different", "c": "undecided"}


def test_an_item_that_expired_may_be_on_one_side_only(tmp_path):
    def expiring(at):
        return {"expires": {"N": str(int(at))}}

    source = [[item("s1", to="a", v="p") | expiring(AT - 60), item("s2", to="b", v="p") | expiring(AT + 60)]]
    made, found = compared(tmp_path, source, [[item("c", v="p") | expiring(AT - 60)]], ttl="expires")
    assert [(one.key["id"]["S"], one.state) for one in found] == [("b", State.MISSING)]
    assert made.counts[State.EXCLUDED] == 2


def test_it_is_asked_for_as_of_tables(tmp_path):
    source = full(tmp_path / "a", [item("s1", to="ab", v="p"), item("s2", to="c", v="p")])
    target = full(tmp_path / "b", [item("a", v="p"), item("b", v="q"), item("d", v="p")])
    options = ["--rekeys", "--transform", PAIR.transform]
    summary, found = diff(source.address, target.address, *options, code=1)
    assert found == {"b": "different", "c": "missing", "d": "extraneous"}
    assert (summary["matched"], summary["complete"]) == (1, True)
    assert summary["read_units"] == {"source": 0, "target": 0}
    done = CliRunner().invoke(
        main, ["diff", source.address, target.address, "--key", "id:S", *options, "--settle", "live"]
    )
    assert done.exit_code == 2
    assert "--settle live: of a re-keyed pair" in done.output
    planned = CliRunner().invoke(
        main, ["plan", source.address, target.address, "--key", "id:S", *options, "--json"]
    )
    assert json.loads(planned.stdout)["read_units"] == 0
