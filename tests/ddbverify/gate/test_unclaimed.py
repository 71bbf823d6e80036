"""A difference that the pass found, and that no check of the run claims, closes the gate."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.compare.comparison import DifferentIn
from ddbverify.config import Gate, load
from ddbverify.evidence.consistency import contradictions
from ddbverify.evidence.evidence import PairEvidence, Unclaimed, verdict_of
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord, TableRecord
from ddbverify.gate import gate
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.runs import run as runs
from ddbverify.suite.marks import Severity
from tests.ddbverify import projects
from tests.ddbverify.judged import NOW, good_evidence, leave

replace = msgspec.structs.replace

STATES = ("missing", "extraneous", "different")
ONE_DIFFERS = {
    "counts": {"matched": 2, "different": 1},
    "differences": [{"state": "different", "key": {"id": {"S": "1"}}, "paths": ["n: value"]}],
}
ONE_IS = {state: {"counts": {"matched": 2, state: 1}} for state in STATES} | {"different": ONE_DIFFERS}


def pair_with(counts, *different_in, told=None):
    read = ComparisonRecord.of(projects.comparison())
    places = tuple(
        DifferentIn(attribute=claim.partition(":")[2], kind=claim.partition(":")[0], keys=keys)
        for claim, keys in different_in
    )
    told = counts.get("different", 0) if told is None and different_in else told or 0
    read = replace(
        read,
        counts=counts,
        examined=sum(counts.values()),
        different_in=places,
        different_told=told,
    )
    table = TableRecord(arn="arn", id="id", created_epoch=0.0)
    return PairEvidence(id="orders", source=table, target=table, comparison=read)


def check_that(*claims, state=CheckState.PASSED, tolerated=0, findings=None, pair="orders", **more):
    """One that has found as much as it tolerates, unless *findings* says otherwise."""
    return CheckRecord(
        id=f"check_own.py::check_{'_'.join(claims)}[{pair}]",
        name="check_own.py::check_own",
        pair=pair,
        state=state,
        examined=3,
        findings=tolerated if findings is None else findings,
        tolerated=tolerated,
        claims=claims,
        **more,
    )


def left(pair, *checks, **settings):
    return [str(one) for one in unclaimed(Gate(**settings), [pair], checks) if not one.allowed]


FAILED = {"state": CheckState.FAILED}


@pytest.mark.parametrize("state", STATES)
def test_a_state_without_a_check_that_claims_it_is_unclaimed_and_equal_tables_ask_nothing(state):
    assert left(pair_with({"matched": 3})) == []
    assert left(pair_with({"matched": 3, "excluded": 1, "known": 2, "converged": 1})) == []

    (said,) = left(pair_with({"matched": 3, state: 1}), check_that())

    assert said in (
        "orders: 1 key is missing, and no check of this run looks at missing keys",
        "orders: 1 key is extraneous, and no check of this run looks at extraneous keys",
        "orders: 1 key differs, and no check of this run looks at differences",
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("check", "is_claimed"),
    [
        ({"tolerated": 2}, True),
        (FAILED, True),
        ({}, False),  # it has let pass what it claims to notice
        ({"tolerated": 1}, False),
        ({"tolerated": 5, "findings": 2}, True),
        ({"tolerated": 5, "findings": 1}, False),  # of the other one it knows nothing
        ({"tolerated": 5, "findings": 0}, False),
        ({"tolerated": 2, "severity": Severity.WARN}, False),
        (FAILED | {"severity": Severity.WARN}, False),
        (FAILED | {"pair": "films"}, False),
        *(
            ({"tolerated": 2, "state": state}, False)
            for state in CheckState
            if state not in (CheckState.PASSED, CheckState.FAILED)
        ),
    ],
)
def test_only_a_check_that_counts_and_has_found_and_tolerates_as_many_claims_them(state, check, is_claimed):
    pair = pair_with({"matched": 3, state: 2})

    assert (left(pair, check_that(state, **check)) == []) is is_claimed
    assert left(pair, check_that(state, **check), required=("check_other",)) != []
    others = [other for other in STATES if other != state]
    assert left(pair, check_that(*others, **check)) != []


def test_a_check_that_a_plugin_brings_claims_only_if_it_is_required_by_its_full_name():
    pair = pair_with({"missing": 1})
    brought = replace(check_that("missing", **FAILED), name="odd:check_odd.py::check_own")

    assert left(pair, brought, required=("check_own",)) != []
    assert left(pair, brought, required=("odd:check_odd.py::check_own",)) == []


@pytest.mark.parametrize(
    ("claims", "different_in", "told", "is_claimed"),
    [
        (["different"], [], 0, True),
        (["value", "type", "added"], [("value:n", 2)], None, False),
        (["value:n"], [("value:n", 2)], None, True),
        (["value:n"], [("type:n", 2)], None, False),
        (["value:n"], [("value:total", 2)], None, False),
        (["value:n"], [("value:n", 2), ("value:total", 1)], None, False),
        (["value:n", "value:total"], [("value:n", 2), ("value:total", 1)], None, True),
        (["value:n"], [("value:n", 1)], 1, False),  # of the other one it is not known where it differs
        (["value:n"], [], 0, False),
    ],
)
def test_who_covers_an_attribute_claims_differences_in_that_alone(claims, different_in, told, is_claimed):
    pair = pair_with({"matched": 3, "different": 2}, *different_in, told=told)

    assert (left(pair, check_that(*claims, tolerated=2)) == []) is is_claimed
    assert (left(pair, *(check_that(one, **FAILED) for one in claims)) == []) is is_claimed
    assert left(pair, check_that(*claims)) != []


def test_the_sentence_says_who_looks_elsewhere_who_does_not_count_and_who_let_it_pass():
    pair = pair_with({"different": 3}, ("value:total", 3))

    assert left(pair, check_that("value:n")) == [
        "orders: 3 keys differ, and no check of this run looks at differences but those in value:n"
    ]
    assert left(pair, check_that("different", severity=Severity.WARN)) == [
        "orders: 3 keys differ, and no check of this run looks at differences and counts: "
        "it has to be of severity error, and [gate] required has to name it"
    ]
    assert left(pair, check_that("different")) == [
        "orders: 3 keys differ, and the checks of this run that look at differences have passed all the same"
    ]


@given(
    keys=st.dictionaries(st.sampled_from(STATES), st.integers(0, 3)),
    claims=st.lists(
        st.tuples(
            st.sampled_from(STATES), st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans()
        ),
        max_size=4,
    ),
    allowed=st.sets(st.sampled_from(STATES)),
)
def test_whatever_the_checks_are_a_state_is_left_exactly_if_nobody_answers_for_it(keys, claims, allowed):
    checks = [
        check_that(
            state,
            tolerated=tolerated,
            findings=findings,
            state=CheckState.FAILED if failed else CheckState.PASSED,
            severity=Severity.WARN if warns else Severity.ERROR,
        )
        for state, tolerated, findings, failed, warns in claims
    ]

    found = unclaimed(Gate(unclaimed=tuple(allowed)), [pair_with(keys)], checks)

    expected = {
        state: count
        for state, count in keys.items()
        if count
        and not any(
            state == claimed and not warns and (failed or count <= min(findings, tolerated))
            for claimed, tolerated, findings, failed, warns in claims
        )
    }
    assert {one.state: one.keys for one in found} == expected
    assert {one.state for one in found if one.allowed} == expected.keys() & allowed
    verdict = verdict_of([check_that()], complete=True, unclaimed=found)
    assert (verdict == "passed") is (expected.keys() <= allowed)


# --- a run, and the gate -------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch):
    return projects.runnable(tmp_path, monkeypatch, default_suite=False)


def with_checks(project, body, **spec):
    (project.parent / "checks" / "check_own.py").write_text(
        f"from ddbverify import State, Verdict, check, each_item, require\n{body}"
    )
    projects.write_spec(project.parent, **spec)


LOOKS_ELSEWHERE = {
    "asserts something else": "def check_own(pair):\n    assert pair.source.arn != pair.target.arn\n",
    "reads the pass, covers nothing": (
        "def check_own(pair):\n    require(pair.verdict(State.UNCOMPARABLE))\n"
    ),
    "only warns": (
        "def check_own(pair):\n    require(Verdict(examined=1))\n"
        "@check(severity='warn', covers=['missing', 'extraneous', 'added', 'removed', 'value', 'type'])\n"
        "def check_all(pair):\n"
        "    require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT))\n"
    ),
}


@pytest.mark.parametrize(("what", "state"), list(zip(LOOKS_ELSEWHERE, STATES, strict=True)))
def test_a_run_that_looks_elsewhere_exits_3_with_one_sentence_and_its_gate_is_closed(project, what, state):
    body = LOOKS_ELSEWHERE[what] + "def check_pass(pair):\n    assert pair.comparison.examined\n"
    with_checks(project, body, **ONE_IS[state])

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict, result.evidence.complete) == (3, "inconclusive", True)
    (one,) = result.evidence.unclaimed
    assert (one.state, one.keys, one.allowed) == (state, 1, False)
    assert result.as_json()["unclaimed"][0]["why"] == one.why
    decision = gate.judge(load(project))
    assert [reason.code for reason in decision.reasons] == ["unclaimed"]
    assert decision.exit_code == 3


def test_equal_tables_ask_nothing_of_a_suite_that_claims_nothing(project):
    with_checks(project, "def check_pass(pair):\n    assert pair.comparison.examined\n")

    assert (runs.run(project).exit_code, gate.judge(load(project)).open) == (0, True)


@pytest.mark.parametrize("state", ["extraneous", "different"])
def test_a_state_that_is_allowed_by_name_is_shown_in_evidence_and_at_the_gate(project, state):
    with_checks(project, "def check_pass(pair):\n    assert pair.comparison.examined\n", **ONE_IS[state])
    project.write_text(projects.TOML + f'[gate]\nunclaimed = ["{state}"]\n')

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (0, "passed")
    assert [(one.state, one.allowed) for one in result.evidence.unclaimed] == [(state, True)]
    assert "allowed by" in (result.folder / "summary.md").read_text()
    decision = gate.judge(load(project))
    assert decision.open
    assert [one["state"] for one in decision.as_json()["unclaimed"]] == [state]
    json.dumps(decision.as_json())

    project.write_text(projects.TOML)  # the gate asks anew what is allowed
    assert [reason.code for reason in gate.judge(load(project)).reasons] == ["unclaimed"]


@pytest.mark.parametrize(
    ("spec", "said", "code"),
    [
        ({"counts": {"matched": 2, "uncomparable": 1}}, "1 key cannot be compared, of orders-", "undecided"),
        ({"counts": {"matched": 2, "undecided": 2}}, "2 keys stayed undecided, of orders-", "undecided"),
        ({"unexamined": ["segment 3 has no proven end"]}, "the pass over orders-", "coverage"),
        ({"segments": [3, 2, 3]}, "the pass over orders-", "coverage"),
    ],
)
def test_what_was_not_decided_or_read_closes_by_itself_whatever_the_checks_look_at(project, spec, said, code):
    with_checks(project, "def check_pass(pair):\n    assert pair.comparison.examined\n", **spec)

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")
    (shortcoming,) = result.evidence.shortcomings
    assert shortcoming.startswith(said)
    assert {reason.code for reason in gate.judge(load(project)).reasons} == {"incomplete", code}


def test_a_check_that_tolerates_claims_as_many_as_it_has_found(project):
    body = (
        "@check(covers=['missing'], tolerate=1)\n"
        "def check_own(pair):\n    require(pair.verdict(State.MISSING))\n"
    )
    with_checks(project, body, **ONE_IS["missing"])

    result = runs.run(project)

    assert (result.exit_code, result.evidence.unclaimed) == (0, ())
    assert gate.judge(load(project)).open


def test_a_check_that_tolerates_much_does_not_claim_what_it_has_not_found(project):
    body = (
        "@check(covers=['missing'], tolerate=5)\n"
        "def check_own(pair):\n"
        "    found = pair.verdict(State.MISSING)\n"
        "    require(found if found.examined < 50 else Verdict(examined=50, unlisted=1))\n"
    )  # it notices the controls, and one of the two
    with_checks(project, body, counts={"matched": 50, "missing": 2})

    result = runs.run(project)

    assert (result.exit_code, [one.state for one in result.evidence.unclaimed]) == (3, ["missing"])
    assert [reason.code for reason in gate.judge(load(project)).reasons] == ["unclaimed"]


@pytest.mark.parametrize(("paths", "exit_code"), [(["n: value"], 0), (["n: value", "total: value"], 3)])
def test_a_check_of_one_attribute_claims_differences_in_that_attribute_alone(project, paths, exit_code):
    body = (
        "@check(covers=['value:n'], tolerate=1)\n"
        "def check_own(pair):\n    require(pair.verdict(State.DIFFERENT))\n"
    )
    different = {"state": "different", "key": {"id": {"S": "1"}}, "paths": paths}
    with_checks(project, body, counts={"matched": 2, "different": 1}, differences=[different])

    result = runs.run(project)

    assert result.exit_code == exit_code
    assert gate.judge(load(project)).open is (exit_code == 0)


def test_evidence_that_contradicts_itself_about_what_is_unclaimed_is_not_believed(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    config = load(projects.make_project(tmp_path))
    one = Unclaimed(pair=config.tables[0].id, state="missing", keys=1, allowed=False, why="1 key is missing")
    found = good_evidence(config)

    said = list(contradictions(replace(found, unclaimed=(one,))))
    assert any("its verdict is passed" in each for each in said)
    assert any("has counted otherwise" in each for each in said)

    leave(config, replace(found, unclaimed=(replace(one, allowed=True),)))
    assert [reason.code for reason in gate.judge(config, now=NOW).reasons] == ["contradiction"]
