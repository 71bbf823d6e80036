"""What does not come back is noticed, and what comes back in time never is."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from hypothesis import given
from hypothesis import strategies as st

from ddbverify.session.watchdog import Patience, Running, place_in
from tests.ddbverify import projects


def test_a_call_is_overdue_only_once_it_has_been_seen_for_longer_than_its_limit():
    patience = Patience()
    one = Running("check_it", 1, 10.0)

    assert patience.overdue(one, 100.0) is None
    assert patience.overdue(one, 110.0) is None
    assert patience.overdue(one, 110.1) is one


@given(st.lists(st.tuples(st.integers(0, 3) | st.none(), st.floats(0.1, 5)), max_size=60))
def test_nothing_is_overdue_that_was_not_the_same_call_all_the_time(looks):
    patience, now, since, last = Patience(), 0.0, 0.0, None
    for call, passed in looks:
        now += passed
        running = None if call is None else Running("check", call, 8.0)
        if running != last:
            last, since = running, now
        overdue = patience.overdue(running, now)
        assert (overdue is not None) == (running is not None and now - since > 8.0)


def test_code_that_holds_the_lock_of_the_interpreter_is_ended_with_its_place(tmp_path):
    script = textwrap.dedent(
        """\
        import sys, time
        from ddbverify.session import watchdog
        watchdog.SLACK_SECONDS = 0.5
        def check_it():
            sum(range(10**12))
        stuck = open(sys.argv[1], "w")
        watchdog.watch(lambda: None, print, stuck=stuck, longest=lambda: 0.1, interval=0.2)
        time.sleep(0.1)
        check_it()
        """
    )
    file = tmp_path / "check_own.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, file, tmp_path / "stuck.txt"],
        env={"PYTHONPATH": str(projects.REPOSITORY)},
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert place_in(tmp_path / "stuck.txt", tmp_path) == "at check_own.py:5 in check_it"


def test_where_it_stood_is_said_as_far_as_it_is_known(tmp_path):
    stuck = tmp_path / "stuck.txt"
    assert place_in(stuck, tmp_path) == ""
    stuck.write_text("")
    assert place_in(stuck, tmp_path) == ""
    stuck.write_text('Timeout (0:00:18)!\nThread 0x1:\n  File "/elsewhere/x.py", line 3 in f\n')
    assert place_in(stuck, tmp_path) == "outside the checks folder"
