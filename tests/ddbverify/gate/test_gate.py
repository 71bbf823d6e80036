"""The gate is open for complete, fresh, trusted evidence of these very tables, and for nothing else."""

from __future__ import annotations

import hashlib
import re
import shutil

import msgspec
import pytest

from ddbverify.config import load, parse
from ddbverify.errors import AccessError, NotFoundError
from ddbverify.evidence import evidence, folders, signing
from ddbverify.evidence.evidence import verdict_of
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.gate.reasons import CODES
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.suite.marks import Coverage, Severity
from tests.ddbverify import projects
from tests.ddbverify.judged import ENDED, NOW, good_evidence, leave, run_id

replace = msgspec.structs.replace


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose tables and pipeline are as they should be."""
    file = projects.make_project(tmp_path)
    projects.stand_in(tmp_path, monkeypatch)
    return file


def judged(file, **options):
    return gate.judge(load(file), **{"now": NOW, **options})


def codes(decision):
    return {reason.code for reason in decision.reasons}


def test_good_evidence_opens(project):
    config = load(project)
    leave(config, good_evidence(config))

    decision = judged(project)

    assert decision.reasons == ()
    assert (decision.open, decision.exit_code) == (True, 0)
    assert decision.as_json()["open"] is True


def test_without_evidence_it_is_closed(project):
    decision = judged(project)

    assert (decision.open, decision.exit_code, codes(decision)) == (False, 5, {"evidence"})


def test_a_run_that_died_is_no_evidence_and_hides_an_older_one(project):
    config = load(project)
    leave(config, good_evidence(config))
    folders.make_run_folder(config, "later", None)

    decision = judged(project)

    assert decision.exit_code == 5
    assert "not come to its end" in decision.reasons[0].message


def _check(state, **changes):
    def alter(found):
        checks = (replace(found.checks[0], state=state, **changes), *found.checks[1:])
        return {"checks": checks, "verdict": verdict_of(checks, complete=found.complete)}

    return alter


def _comparison(**changes):
    def alter(found):
        pair = found.pairs[0]
        return {"pairs": (replace(pair, comparison=replace(pair.comparison, **changes)),)}

    return alter


def _table(side, **changes):
    def alter(found):
        pair = found.pairs[0]
        return {"pairs": (replace(pair, **{side: replace(getattr(pair, side), **changes)}),)}

    return alter


def _at(ended):
    """A run that ended at another time, with all that this brings with it."""

    def alter(found):
        read = replace(found.pairs[0].comparison, started_epoch=ended - 20, ended_epoch=ended - 19)
        return {
            "pairs": (replace(found.pairs[0], comparison=read),),
            "run_id": run_id(ended - 30),
            "started_epoch": ended - 30,
            "ended_epoch": ended,
            "valid_until_epoch": ended + 3600,
        }

    return alter


OTHER = "0" * 64
EMULATED = {
    "emulator": True,
    "endpoints": {"source": "http://127.0.0.1:4566", "target": "https://dynamodb.eu-central-1.amazonaws.com"},
}

ALTERED = {
    "failed": (_check(CheckState.FAILED, findings=2), "failed", 1),
    "inconclusive": (_check(CheckState.INCONCLUSIVE), "inconclusive", 3),
    "skipped": (_check(CheckState.SKIPPED), "skipped", 3),
    "xfailed": (_check(CheckState.XFAILED), "xfailed", 3),
    "deselected": (_check(CheckState.DESELECTED), "deselected", 3),
    "errored": (_check(CheckState.ERRORED), "errored", 3),
    "not run": (_check(CheckState.NOT_RUN), "not-run", 3),
    "passed on nothing": (_check(CheckState.PASSED, examined=0), "vacuous", 3),
    "every check but a warning": (
        lambda found: {
            "checks": tuple(replace(one, severity=Severity.WARN) for one in found.checks),
            "verdict": "inconclusive",
        },
        "missing",
        3,
    ),
    "another verdict": (lambda found: {"verdict": "inconclusive"}, "contradiction", 5),
    "check missing": (lambda found: {"checks": found.checks[1:]}, "missing", 3),
    "check renamed": (_check(CheckState.PASSED, name="check_counts.py::check_other"), "missing", 3),
    "check of another pair": (_check(CheckState.PASSED, pair="films-1"), "missing", 5),
    "no checks": (lambda found: {"checks": (), "verdict": "inconclusive"}, "missing", 3),
    "incomplete": (
        lambda found: {"complete": False, "shortcomings": ("killed",), "verdict": "inconclusive"},
        "incomplete",
        3,
    ),
    "incomplete, no reason": (lambda found: {"complete": False}, "incomplete", 5),
    "coverage sampled": (lambda found: {"coverage": "5%"}, "coverage", 3),
    "pass sampled": (_comparison(segments_planned=1, segments_finished=1, segments_total=9), "coverage", 3),
    "pass cut short": (_comparison(segments_planned=9, segments_total=9), "coverage", 3),
    "no segments": (_comparison(segments_planned=0, segments_finished=0, segments_total=0), "coverage", 3),
    "pass unread": (_comparison(unexamined=("segment 3",)), "coverage", 3),
    "undecided": (_comparison(counts={"matched": 2, "undecided": 1}, examined=2), "undecided", 3),
    "churning": (_comparison(counts={"matched": 2, "churning": 1}), "churning", 3),
    "no pass": (lambda found: {"pairs": (replace(found.pairs[0], comparison=None),)}, "coverage", 3),
    "another pair": (lambda found: {"pairs": (replace(found.pairs[0], id="films"),)}, "tables", 5),
    "no pair": (lambda found: {"pairs": ()}, "tables", 5),
    "source arn": (_table("source", arn="arn:other"), "tables", 5),
    "source id": (_table("source", id="other"), "tables", 5),
    "source made anew": (_table("source", created_epoch=1.0), "tables", 5),
    "target arn": (_table("target", arn="arn:other"), "tables", 5),
    "target id": (_table("target", id="other"), "tables", 5),
    "target made anew": (_table("target", created_epoch=1.0), "tables", 5),
    "settings": (lambda found: {"digests": replace(found.digests, configuration=OTHER)}, "changed", 5),
    "checks": (lambda found: {"digests": replace(found.digests, checks=OTHER)}, "changed", 5),
    "transforms": (
        lambda found: {"digests": replace(found.digests, transforms={"a:b": OTHER})},
        "changed",
        5,
    ),
    "ddbverify altered": (lambda found: {"digests": replace(found.digests, program=OTHER)}, "changed", 5),
    "pytest's version": (lambda found: {"plugins": found.plugins | {"pytest": "1.0"}}, "changed", 5),
    "a plugin that is gone": (lambda found: {"plugins": found.plugins | {"pytest-odd": "1"}}, "changed", 5),
    "a plugin unnamed": (lambda found: {"plugins": {}}, "changed", 5),
    "emulator": (lambda found: EMULATED, "emulator", 5),
    "too old": (_at(NOW - 3601), "stale", 4),
    "expired": (lambda found: {"valid_until_epoch": NOW - 1}, "stale", 4),
    "from the future": (_at(NOW + 60), "future", 5),
    "ended before it began": (lambda found: {"started_epoch": ENDED + 1}, "contradiction", 5),
}


@pytest.mark.parametrize("what", ALTERED)
def test_each_condition_alone_closes_it_with_its_reason(project, what):
    alter, code, exit_code = ALTERED[what]
    config = load(project)
    found = good_evidence(config)
    leave(config, replace(found, **alter(found)))

    decision = judged(project)

    assert not decision.open
    assert code in codes(decision)
    assert decision.exit_code == exit_code


def test_reasons_come_once_each_the_worst_first_with_cause_and_advice(project):
    config = load(project)
    found = good_evidence(config, coverage="5%", **EMULATED)
    found = replace(found, **_at(NOW - 9999)(found))
    first, second, third, *others = found.checks
    checks = (
        replace(first, state=CheckState.INCONCLUSIVE, why="the page of segment 3 was refused"),
        replace(second, state=CheckState.FAILED, findings=2, examined=1234, why="check_a.py:7: `x` differs"),
        replace(third, state=CheckState.ERRORED, why="KeyError at check_own.py:3"),
        *others,
    )
    leave(config, replace(found, checks=checks, verdict="failed"))
    # Two patterns that both mean every check: each reason is said once all the same.
    project.write_text(projects.TOML + '[gate]\nrequired = ["*", "check_*"]\n')

    reasons = judged(project).reasons

    assert [reason.code for reason in reasons] == [
        *("failed", "emulator", "errored", "inconclusive", "coverage", "stale")
    ]
    said = {reason.code: reason.message for reason in reasons}
    assert said["failed"].startswith(
        f"{second.id} has 2 findings in 1,234 examined: check_a.py:7: `x` differs; fix"
    )
    assert said["errored"].startswith(f"{third.id} broke (KeyError at check_own.py:3); mend")
    assert said["inconclusive"].startswith(
        f"{first.id} could not decide (the page of segment 3 was refused);"
    )
    assert all(reason.message.endswith(".") and "inconclusive" not in reason.message for reason in reasons)


def test_the_order_of_reasons_is_the_one_that_is_written_down():
    text = (projects.REPOSITORY / "docs" / "checks.md").read_text()
    rows = text.partition("## What the gate asks")[2].partition("\n## ")[0].splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| `")]

    assert tuple(re.findall(r"`([a-z-]+)`", " ".join(cells))) == CODES
    assert {str(state) for state in CheckState} - {"passed", "not-applicable"} <= set(CODES)


def test_every_reason_is_given_and_the_highest_code_wins(project):
    config = load(project)
    found = good_evidence(config, coverage="5%", **EMULATED)
    found = replace(found, **_at(NOW - 9999)(found))
    leave(config, replace(found, **_check(CheckState.FAILED)(found)))

    decision = judged(project)

    assert codes(decision) == {"emulator", "coverage", "stale", "failed"}
    assert decision.exit_code == 5


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda folder: (folder / "checks" / "check_counts.py").unlink(), "changed"),
        (lambda folder: (folder / "checks" / "check_new.py").write_text("def check_x(pair): 1"), "missing"),
        (
            lambda folder: (folder / "migration.toml").write_text(
                projects.TOML + '[verification]\nsettle = "1s"\n'
            ),
            "changed",
        ),
        (
            lambda folder: (folder / "migration.toml").write_text(
                projects.TOML + '[gate]\nrequired = ["check_other"]\n'
            ),
            "missing",
        ),
        (
            lambda folder: (folder / "migration.toml").write_text(projects.TOML + '[gate]\nmax_age = "4m"\n'),
            "stale",
        ),
        (lambda folder: projects.write_spec(folder, problems=["a gap is latched"]), "pipeline"),
        (lambda folder: projects.write_spec(folder, tables={"orders": {"TableId": "anew"}}), "tables"),
        (lambda folder: (folder / ".ddbverify" / "key.pem").unlink(), "evidence"),
        (lambda folder: (folder / ".ddbverify" / "latest" / "evidence.json").write_text("{}"), "evidence"),
    ],
)
def test_what_changes_after_the_run_closes_it(project, change, code):
    config = load(project)
    leave(config, good_evidence(config))
    assert judged(project).open

    change(project.parent)

    decision = judged(project)
    assert not decision.open
    assert code in codes(decision)


@pytest.mark.parametrize(("then", "now"), [("5%", "full"), ("5%", "6%"), ("full", "5%")])
@pytest.mark.parametrize("mark", [Coverage.FULL, Coverage.SAMPLE])
def test_another_coverage_than_that_of_the_run_closes_it_and_is_called_that(project, then, now, mark):
    """By `--sample`, or since migration.toml has changed: the evidence does not say which."""
    project.write_text(f'{projects.TOML}[verification]\ncoverage = "{then}"\n')
    config = load(project)
    found = good_evidence(config, coverage=then)
    leave(config, replace(found, checks=tuple(replace(check, coverage=mark) for check in found.checks)))
    before = codes(judged(project))
    assert before == ({"coverage"} if then != "full" and mark is Coverage.FULL else set())

    project.write_text(f'{projects.TOML}[verification]\ncoverage = "{now}"\n')

    decision = judged(project)
    assert (codes(decision), decision.exit_code) == ({"coverage"}, 3)
    (reason,) = decision.reasons
    assert f"{then}, and migration.toml asks for {now}; " in reason.message

    project.write_text(f'{projects.TOML}[verification]\ncoverage = "{now}"\nsettle = "1s"\n')
    assert codes(judged(project)) == {"coverage", "changed"}


def test_a_transform_that_changes_after_the_run_closes_it(tmp_path, monkeypatch):
    (tmp_path / "gate_shop.py").write_text("def f(item):\n    return item\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = projects.make_project(tmp_path, toml=projects.TOML + 'transform = "gate_shop:f"\n')
    projects.stand_in(tmp_path, monkeypatch)
    config = load(file)
    leave(config, good_evidence(config))
    assert judged(file).open

    (tmp_path / "gate_shop.py").write_text("def f(item):\n    return None\n")

    assert codes(judged(file)) == {"changed"}


@pytest.mark.parametrize("error", [AccessError("no", "x"), NotFoundError("gone", "x")])
@pytest.mark.parametrize("function", ["ddbverify.tables.table.describe", "ddbverify.pipeline.health.health"])
def test_what_aws_refuses_closes_it(project, monkeypatch, error, function):
    config = load(project)
    leave(config, good_evidence(config))

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(function, refuse)
    decision = judged(project)

    assert (decision.open, decision.exit_code) == (False, 6)
    assert codes(decision) == {"aws"}


def test_a_pass_from_before_the_target_followed_does_not_count(project, monkeypatch):
    config = load(project)
    leave(config, good_evidence(config))
    began = ENDED - 20
    for since, is_open in ((began - 1, True), (began + 1, False)):
        health = PipelineHealth(exists=True, following_since=since)
        monkeypatch.setattr("ddbverify.pipeline.health.health", lambda *_, health=health, **__: health)
        decision = judged(project)
        assert decision.open is is_open
        assert codes(decision) == (set() if is_open else {"before-following"})


def test_churning_keys_may_pass_if_allowed_and_alone(project):
    config = load(project)
    found = good_evidence(config)
    checks = (replace(found.checks[0], state=CheckState.INCONCLUSIVE, only_churning=True), *found.checks[1:])
    alone = replace(found, checks=checks, verdict="inconclusive")
    alone = replace(alone, **_comparison(counts={"matched": 2, "churning": 1})(alone))
    leave(config, alone)

    assert judged(project, allow_churning=True).open
    assert codes(judged(project)) == {"churning", "inconclusive"}
    project.write_text(projects.TOML + "[gate]\nchurning = true\n")
    assert judged(project).open
    assert codes(judged(project, allow_churning=False)) == {"churning", "inconclusive"}

    another = replace(alone, checks=(*checks[:-1], replace(checks[-1], state=CheckState.INCONCLUSIVE)))
    leave(config, another)
    assert codes(judged(project)) == {"inconclusive"}


def test_the_last_verification_has_to_have_begun_under_the_fence(project):
    config = load(project)
    leave(config, good_evidence(config))

    assert judged(project, not_before=ENDED - 30).open
    assert codes(judged(project, not_before=ENDED - 29)) == {"too-early"}


@pytest.mark.parametrize("came_to", ["failed", "died", "gone", "passed"])
def test_naming_an_earlier_folder_does_not_hide_a_later_run(project, came_to):
    config = load(project)
    earlier = leave(config, good_evidence(config))
    assert judged(project, folder=earlier).open

    found = good_evidence(config)
    found = replace(found, **_at(ENDED + 100)(found))
    if came_to == "failed":
        found = replace(found, **_check(CheckState.FAILED)(found))
    later = leave(config, found)
    if came_to == "died":
        (later / folders.EVIDENCE).unlink()
    if came_to == "gone":
        shutil.rmtree(later)

    assert codes(judged(project, folder=earlier)) == {"superseded"}
    assert judged(project).open is (came_to == "passed")
    # What was started before the judged run has no say.
    assert judged(project, folder=later).open is (came_to == "passed")


def test_a_downloaded_run_is_not_superseded_by_an_older_one_of_this_machine(project, tmp_path_factory):
    config = load(project)
    leave(config, good_evidence(config))
    found = good_evidence(config)
    elsewhere = tmp_path_factory.mktemp("artifact")
    content = evidence.encode(replace(found, **_at(ENDED + 100)(found)), signing.signing_key(config))
    (elsewhere / folders.EVIDENCE).write_bytes(content)

    decision = judged(project, folder=elsewhere)

    assert decision.open
    assert decision.as_json()["evidence_sha256"] == hashlib.sha256(content).hexdigest()


def test_an_emulator_opens_only_a_gate_that_says_so(project):
    config = load(project)
    leave(config, good_evidence(config, **EMULATED))
    assert not judged(project).open

    project.write_text(projects.TOML + "[gate]\nemulator = true\n")

    assert judged(project).open


def test_only_named_checks_are_required_where_some_are_named(project):
    config = load(project)
    found = good_evidence(config)
    last = replace(found.checks[-1], state=CheckState.FAILED)
    leave(config, replace(found, checks=(*found.checks[:-1], last), verdict="failed"))
    assert codes(judged(project)) == {"failed"}

    project.write_text(projects.TOML + '[gate]\nrequired = ["check_counts.py::*", "check_every_item*"]\n')

    assert judged(project).open


def test_a_check_that_no_source_shows_is_required_too(project):
    config = load(project)
    found = good_evidence(config)
    made = replace(found.checks[0], id="x", name="check_loop.py::check_7", state=CheckState.SKIPPED)
    leave(config, replace(found, checks=(*found.checks, made), verdict="inconclusive"))

    assert codes(judged(project)) == {"skipped"}


def test_a_trusted_key_can_be_named_and_then_counts_alone(project, tmp_path):
    config = load(project)
    leave(config, good_evidence(config))
    own = signing.signing_key(config).public
    other = signing.signing_key(parse(projects.TOML, tmp_path / "other")).public

    for key, is_open in ((own, True), (other, False)):
        project.write_text(projects.TOML + f'[gate]\ntrusted_keys = ["{key}"]\n')
        assert judged(project).open is is_open


def test_a_suite_without_checks_is_closed(project):
    for file in (project.parent / "checks").glob("check_*.py"):
        file.unlink()
    config = load(project)
    leave(config, good_evidence(config, verdict="inconclusive"))

    assert codes(judged(project)) == {"missing"}


def test_checks_that_one_cause_kept_from_running_are_one_reason(project):
    """Fourteen lines said "was not reached", and none what had ended the run."""
    found = good_evidence(load(project))
    checks = tuple(replace(one, state=CheckState.NOT_RUN) for one in found.checks)
    assert len(checks) > 3
    cause = "check_own.py could not be collected: SyntaxError."
    changes = {"checks": checks, "complete": False, "shortcomings": (cause,), "verdict": "inconclusive"}
    leave(load(project), replace(found, **changes))

    (reason,) = [one for one in judged(project).reasons if one.code == "not-run"]
    assert reason.message == (
        f"{len(checks)} checks were not reached, since the run ended before them ({cause.rstrip('.')}): "
        f"{', '.join(one.id for one in checks[:3])} and {len(checks) - 3} more; "
        "remove the cause and run again."
    )


FENCED = "A cutover has fenced orders: nobody writes there."


def test_a_fence_that_stands_comes_first(project, monkeypatch):
    """After a `kill -9` of a cutover the gate said "open" while the application could not write."""
    leave(load(project), good_evidence(load(project)))
    health = PipelineHealth(exists=True, problems=("a gap is latched",), fence=FENCED)
    monkeypatch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: health)

    reasons = judged(project).reasons
    assert [reason.code for reason in reasons][:2] == ["fenced", "pipeline"]
    assert reasons[0].message == FENCED


def test_a_migration_that_was_cut_over_has_a_reason_of_its_own(project, monkeypatch):
    """It said "the consumer's event source mapping is Disabled, not Enabled": true, and no help."""
    leave(load(project), good_evidence(load(project)))
    moved = "This migration was cut over: the application writes to the target"
    health = PipelineHealth(exists=True, problems=(moved, "a gap is latched"), moved=moved)
    monkeypatch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: health)
    reasons = judged(project).reasons

    assert [reason.code for reason in reasons][:2] == ["cut-over", "pipeline"]
    assert reasons[0].message == f"{moved}."
    assert "a gap is latched" in reasons[1].message
    assert sum(moved in reason.message for reason in reasons) == 1


def test_the_cutovers_own_fence_is_no_reason(project, monkeypatch):
    leave(load(project), good_evidence(load(project)))
    health = PipelineHealth(exists=True, fence=FENCED)
    monkeypatch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: health)

    assert judged(project, not_before=0.0).open
    assert codes(judged(project)) == {"fenced"}
