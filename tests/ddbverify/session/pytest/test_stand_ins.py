"""What stands in for an exception tells its type and its traceback, and nothing that somebody put on it."""

from __future__ import annotations

import pytest

from ddbverify.session.pytest.stand_ins import HIDDEN, stand_in

OUTCOMES = (pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception, pytest.exit.Exception)


@pytest.mark.parametrize("kind", [*OUTCOMES, ValueError, KeyError, type("Own", (ValueError,), {})])
def test_a_stand_in_has_no_text_no_note_and_no_attribute_of_the_users(kind):
    error = kind("token")
    error.add_note("token")
    error.value = "token"
    error.__cause__ = ValueError("token")

    made = stand_in(error)

    assert isinstance(made, kind)
    assert not hasattr(made, "__notes__")
    assert "token" not in f"{made} {made!r} {made.args} {vars(made)} {made.__cause__}"


def test_a_stand_in_of_an_outcome_does_to_pytest_what_the_outcome_does():
    skipped = stand_in(pytest.skip.Exception("token", allow_module_level=True, _use_item_location=True))
    assert (skipped.allow_module_level, skipped._use_item_location) == (True, True)
    failed = stand_in(pytest.fail.Exception("token", pytrace=False))
    assert (failed.msg, failed.pytrace) == (HIDDEN, False)
    assert stand_in(pytest.exit.Exception("token", returncode=7)).returncode == 7
