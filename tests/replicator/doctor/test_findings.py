"""What findings come to: an exit status that is 0 only where all was looked at, and nothing is in the way."""

from __future__ import annotations

import pytest

from replicator.doctor.findings import (
    State,
    as_json,
    exit_code,
    in_order,
    not_checked,
    ok,
    problem,
    summary,
    warning,
)
from replicator.doctor.looking import Known, Unknown, judged, look
from tests.replicator.fakes import no_answer, refusal

GOOD = ok("stream", "orders", "it is on")
ODD = warning("stream", "orders", "it is odd", "look at it.")
BLIND = not_checked("stream", "orders", "it may not be seen", "allow it.")
BAD = problem("stream", "orders", "it is broken", "mend it.")


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([GOOD], 0),
        ([GOOD, ODD], 0),
        ([GOOD, ODD, BLIND], 3),
        ([GOOD, BLIND, BAD], 1),
        ([], 3),  # nothing was looked at
    ],
)
def test_only_what_was_looked_at_and_is_no_problem_is_0(findings, code):
    said = as_json("shop", findings)

    assert exit_code(findings) == said["exit_code"] == code
    assert said["ok"] is (code == 0)


def test_whatever_is_not_ok_says_what_to_do():
    for make in (warning, not_checked, problem):
        with pytest.raises(ValueError, match="says what to do"):
            make("stream", "orders", "it is odd", "")


def test_what_matters_most_stands_last_and_all_is_counted():
    found = [BAD, GOOD, BLIND, ODD, GOOD]

    assert in_order(found) == [GOOD, GOOD, ODD, BLIND, BAD]
    assert summary(found) == "1 problem, 1 warning, 1 not checked, 2 ok."
    assert as_json("shop", found)["counts"] == {"ok": 2, "warning": 1, "not checked": 1, "problem": 1}


def test_the_document_for_machines_says_its_version():
    assert as_json("shop", [BAD]) == {
        "ok": False,
        "command": "doctor",
        "version": 1,
        "name": "shop",
        "exit_code": 1,
        "counts": {"ok": 0, "warning": 0, "not checked": 0, "problem": 1},
        "findings": [
            {
                "check": "stream",
                "about": "orders",
                "state": "problem",
                "what": "it is broken",
                "try": "mend it.",
            }
        ],
    }


@pytest.mark.parametrize(
    "error",
    [refusal("AccessDeniedException"), refusal("ThrottlingException"), refusal("Anything"), no_answer()],
    ids=["denied", "throttled", "another", "no answer"],
)
def test_what_aws_does_not_say_is_not_checked_and_no_check_sees_it(error):
    def ask():
        raise error

    looked = look("read it", ask)
    (found,) = judged("stream", "orders", looked, lambda _: pytest.fail("it was judged"))

    assert isinstance(looked, Unknown)
    assert found.state is State.NOT_CHECKED
    assert "read it" in found.what
    assert found.hint


def test_a_fault_of_ours_is_no_answer_of_awss():
    def ask():
        raise KeyError("x")

    with pytest.raises(KeyError):
        look("read it", ask)


def test_an_answer_is_judged():
    assert list(judged("stream", "orders", Known(1), lambda value: iter([GOOD] * value))) == [GOOD]
