"""The last verification looks at changes where it can; one before the fence leaves it little to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from ddbverify.config import Pair, load
from ddbverify.errors import AccessError, Refused
from ddbverify.evidence.links import Link
from ddbverify.evidence.record import Fact
from ddbverify.gate.gate import Decision
from ddbverify.gate.reasons import Reason
from replicator.commands import last_verification
from tests.ddbverify import projects
from tests.ddbverify.gate.test_links import PLACES
from tests.ddbverify.judged import good_evidence
from tests.replicator.commands.test_way_back import migration
from tests.replicator.fakes import Rooted, refusal

replace = msgspec.structs.replace


@pytest.fixture(params=["cutover", "cutback"])
def context(request, tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    file = projects.make_project(tmp_path)
    return Rooted(config=load(file), config_path=file, flips_with=request.param)


@pytest.fixture
def evidence(context):
    (pair,) = context.config.tables
    return replace(good_evidence(context.config), facts=tuple(PLACES.facts(pair.id)))


class Runs:
    """Runs before the fence, each of which finds so many changed keys."""

    def __init__(self, monkeypatch, context, evidence, found, closed=()):
        self.commands, self.found, self.closed = [], list(found), closed
        self.pair, self.evidence = context.config.tables[0].id, evidence
        monkeypatch.setattr(last_verification, "run", self.run)
        monkeypatch.setattr(last_verification.gate, "judge", self.judge)

    def run(self, command, folder, limit_seconds):
        self.commands.append(command)
        return 0

    def judge(self, config, folder):
        link = Link("0" * 64, "0" * 64, 10.0).facts({self.pair: self.found[len(self.commands) - 1]})
        return Decision(Path(), self.closed, replace(self.evidence, facts=tuple(link)))


def test_a_table_that_may_not_be_read_whole_is_told_before_the_fence(monkeypatch):
    """The gate may have opened on somebody else's run."""
    asked, loaded = [], []

    def client(lacks=False):
        def scan(**request):
            asked.append(request)
            if lacks:
                raise refusal("AccessDeniedException", "Scan")

        return SimpleNamespace(scan=scan)

    made = Rooted(
        config=SimpleNamespace(tables=(Pair(source="orders", target="orders-v2"),)),
        source=client(),
        target=client(lacks=True),
        flips_with="cutover",
    )
    monkeypatch.setattr(last_verification.subprocess, "Popen", lambda *_, **__: loaded.append("child"))

    with (
        pytest.raises(AccessError, match="read orders-v2, as the last verification does"),
        last_verification.waiting(made, follows=False),
    ):
        raise AssertionError("it goes on")
    assert [one["TableName"] for one in asked] == ["orders", "orders-v2"]
    assert all(one["Limit"] == 1 for one in asked)
    assert loaded == []


@pytest.mark.parametrize(
    ("found", "runs"),
    [
        ([0], 1),
        ([10_000], 1),
        ([200_000, 9_000], 2),
        ([200_000, 90_000, 20_000], 3),
        ([200_000, 150_000], 2),  # it writes as fast as it is looked at
        ([10**6, 4 * 10**5, 10**5, 10**4], 3),
    ],
)
def test_it_is_repeated_as_long_as_it_becomes_shorter(monkeypatch, context, evidence, found, runs):
    made, step = Runs(monkeypatch, context, evidence, found), SimpleNamespace(result="")

    last_verification.approach(context, step, 60.0)

    assert len(made.commands) == runs
    assert all(command[-2:] == ["--since", "latest"] for command in made.commands)
    assert step.result == f"{found[runs - 1]:,} key{'s' if found[runs - 1] != 1 else ''} looked at"


def test_what_closes_the_gate_before_the_fence_is_told_and_nothing_is_touched(monkeypatch, context, evidence):
    closed = (Reason("failed", 1, "check_items.py::check_every_item_is_equal has 1 finding in 7 examined."),)
    Runs(monkeypatch, context, evidence, [7], closed)

    with pytest.raises(Refused, match="has 1 finding in 7 examined") as caught:
        last_verification.approach(context, SimpleNamespace(), 60.0)
    assert f"then `replicator {context.flips_with}` again" in caught.value.hint


def test_one_that_takes_too_long_is_not_called_one_that_does_not_open_the_gate(
    monkeypatch, context, evidence
):
    """It was judged by the run before it, and refused for what nobody had found."""
    Runs(monkeypatch, context, evidence, [7])
    monkeypatch.setattr(last_verification, "run", lambda *_: None)

    with pytest.raises(Refused, match="was not looked at within 60 s") as caught:
        last_verification.approach(context, SimpleNamespace(), 60.0)
    assert f"then `replicator {context.flips_with}` again" in caught.value.hint


def test_only_where_a_run_can_be_gone_on_from(context, evidence):
    can = last_verification.can_follow
    full = msgspec.structs.replace(context.config.verification, last="full")
    whole = Fact(name="whole", about=evidence.checks[0].id, value="pair.comparison")

    assert can(context, evidence)
    assert not can(context, None)
    assert not can(context, replace(evidence, facts=()))
    assert not can(context, replace(evidence, facts=(*evidence.facts, whole)))
    assert not can(Rooted(config=replace(context.config, verification=full)), evidence)


def test_what_cannot_be_gone_on_from_is_not_asked_for(context):
    """The newest run that can be may have begun before this direction followed: refused under the fence."""
    command = last_verification._command

    assert "--since" not in command(context, follows=False)
    assert command(context, follows=True)[-2:] == ["--since", "latest"]


def test_only_a_run_that_has_read_the_streams_shows_all_that_was_written(context, evidence):
    """A full pass looks at items, and a record of before it may still become readable."""
    (pair,) = context.config.tables
    link = replace(evidence, facts=tuple(Link("0" * 64, "0" * 64, 10.0).facts({pair.id: 3})))
    shows = last_verification.shows_all
    assert shows(Decision(Path(), (), link))
    assert not shows(Decision(Path(), (), evidence))
    assert not shows(Decision(Path(), (), None))


@pytest.mark.parametrize("cycle", [0, 1, 2])
def test_what_is_verified_is_the_migration_whichever_table_leads(tmp_path, monkeypatch, cycle):
    """The target is the transform of the source in both phases: nothing is turned round."""
    direction, judged, commands = migration(tmp_path).turned(cycle), [], []
    root, evidence = direction.root, SimpleNamespace(facts=())

    def judge(config, folder, **_):
        judged.append(config)
        return Decision(Path(), (), evidence)

    monkeypatch.setattr(last_verification.gate, "judge", judge)
    monkeypatch.setattr(last_verification, "run", lambda command, *_: commands.append(command) or 0)
    monkeypatch.setattr(last_verification.links, "changed_in", lambda _: {})

    last_verification.approach(direction, SimpleNamespace(result=""), 60.0)
    waiting = SimpleNamespace(
        folder=tmp_path, marked=False, give_word=lambda: None, has_judged=lambda _: True
    )
    last_verification.verify(direction, waiting, fenced_at=5.0, limit_seconds=60.0)

    assert all(one is root.config for one in judged)
    assert len(judged) == 2
    assert commands == [last_verification._command(root, follows=True)]
