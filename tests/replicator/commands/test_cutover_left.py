"""The fence of a cutover that was killed: nothing is refused before it is lifted, or without a word of it."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.names import Fact
from replicator.commands import cutover, cutover_preflight
from replicator.commands.cutover import CUTOVER
from tests.replicator.commands.test_cutover import POINTER, Attempt, attempt, begun

__all__ = ["attempt"]

FENCED = {"steps": {"fence": "now", "consumer": "now"}, "fenced": True, "fence": "resource-policy"}
FLIPPING = {**FENCED, "flipping": True, "pointer": dict(POINTER.values)}


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """What a cutover under its fence leaves behind, for a command whose settings do not do."""
    here = begun(tmp_path, monkeypatch).context

    @contextmanager
    def locked(_):
        yield SimpleNamespace(token=2, check=lambda: None)

    def refuse(_):
        raise ConfigurationError("quiet is too short.", "use more.")

    here.need_begun = here.need_no_restart = lambda: None
    here.locked = locked
    monkeypatch.setattr(cutover_preflight, "check", refuse)
    lift = SimpleNamespace(lift=lambda: Attempt.log.append("lifted"))
    monkeypatch.setattr("replicator.aws.fence.of", lambda _, **__: lift)
    return here


def test_it_is_lifted_before_the_settings_are_refused(killed):
    killed.whole.put(CUTOVER, **FENCED)

    with pytest.raises(ConfigurationError) as caught:
        cutover.cutover(killed)
    assert str(caught.value) == "quiet is too short.\n  Try: use more."
    assert [line for line in Attempt.log if "interrupted" not in line] == ["lifted", "consumer True"]
    assert "fenced" not in killed.whole


def test_it_is_lifted_before_a_restart_under_way_is_refused(killed):
    def restarting():
        raise Refused("A restart is under way.", "x")

    killed.need_no_restart = restarting
    killed.state = lambda pair: {Fact.RESTARTING: {"number": 1}}
    killed.whole.put(CUTOVER, **FENCED)
    with pytest.raises(Refused, match="restart is under way"):
        cutover.cutover(killed)
    assert "lifted" in Attempt.log
    assert "consumer True" not in Attempt.log, "the backfill writes without the guard"


@pytest.mark.parametrize("dry_run", [False, True])
def test_where_the_application_may_have_moved_it_stays_and_is_named(killed, dry_run):
    killed.whole.put(CUTOVER, **FLIPPING)

    with pytest.raises(
        ConfigurationError, match=r"quiet is too short\. .*nobody can write to the so"
    ) as caught:
        cutover.cutover(killed, dry_run=dry_run)
    assert caught.value.hint.startswith("use more. Then run `replicator cutover` again")
    assert Attempt.log == []


def test_ctrl_c_does_not_hide_it(killed, monkeypatch):
    """The command's own words, that the next one goes on, said nothing of the fence."""

    def press(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cutover_preflight, "check", press)
    with pytest.raises(KeyboardInterrupt):
        cutover.cutover(killed)
    killed.whole.put(CUTOVER, **FLIPPING)
    with pytest.raises(Refused, match="nobody can write to the source") as caught:
        cutover.cutover(killed)
    assert "run `replicator cutover` again: it decides by the pointer" in caught.value.hint


def test_a_rehearsal_lifts_nothing_and_names_it(killed):
    killed.whole.put(CUTOVER, **FENCED)

    with pytest.raises(ConfigurationError, match="nobody can write to the source"):
        cutover.cutover(killed, dry_run=True)
    assert Attempt.log == []


@pytest.mark.parametrize("recorded", [{}, {"steps": {"lifted": "now"}}, {"flipped": True, "fenced": True}])
def test_where_none_is_left_behind_nothing_is_said_of_one(killed, recorded):
    if recorded:
        killed.whole.put(CUTOVER, **recorded)

    with pytest.raises(ConfigurationError) as caught:
        cutover.cutover(killed)
    assert caught.value.message == "quiet is too short."
    assert Attempt.log == []


def test_one_that_another_operator_has_lifted_meanwhile_is_left_alone(killed):
    killed.whole.put(CUTOVER, **FENCED)
    locked = killed.locked

    @contextmanager
    def behind_another(command):
        killed.whole.put(CUTOVER, steps={"lifted": "now"})
        with locked(command) as lock:
            yield lock

    killed.locked = behind_another
    with pytest.raises(ConfigurationError):
        cutover.cutover(killed)
    assert Attempt.log == []


def test_a_pointer_that_cannot_be_read_does_not_hide_it(attempt):
    def is_begun():
        raise EngineError("SSM does not answer.", "try again.")

    attempt.context.whole.put(CUTOVER, **FLIPPING)
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), "is_begun": is_begun})
    with pytest.raises(EngineError, match=r"SSM does not answer\. .*nobody can write to the source"):
        attempt.run()
