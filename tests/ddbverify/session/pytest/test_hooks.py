"""The plugin collects checks beside a migration.toml, knows three outcomes, and shows no value."""

from __future__ import annotations

import json
import stat

import pytest

from ddbverify.evidence import record
from ddbverify.evidence.record import CheckState
from tests.ddbverify import projects

TOKEN = "SENTINEL-c0de"
in_parts = pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest 9 brought subtests")
OUTCOME = """\
from ddbverify import CheckFailed, Inconclusive, Verdict, Finding, require, State
import pytest, sys

def check_it(pair):
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a process of its own, in the project of `pytester`."""
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return lambda *arguments: pytester.runpytest_subprocess("-p", "ddbverify.pytest_plugin", *arguments)


@pytest.fixture
def one_check(pytester):
    """A project with one check, whose body is given."""

    def make(body, **spec):
        projects.make_project(pytester.path, default_suite=False, **spec)
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (pytester.path / "checks" / "check_one.py").write_text(OUTCOME + lines)

    return make


def test_the_default_suite_passes_with_one_pass_over_the_tables(pytester, run):
    projects.make_project(pytester.path)

    result = run("checks")

    result.assert_outcomes(passed=11)
    result.stdout.fnmatch_lines(["checks/check_transform.py --*", "* 11 passed, 4 not applicable *"])
    assert result.ret == 0
    assert projects.passes(pytester.path) == 1
    result.stdout.fnmatch_lines(
        [
            "migration: *migration.toml",
            "  orders-*: orders (eu-west-1) -> orders-v2 (eu-central-1)",
            "  coverage full (default), settle 60 s (default), *time_limit 10 min (default)",
            "*arn:aws:dynamodb:eu-west-1:*table/orders-v2*",
        ]
    )
    result.stdout.fnmatch_lines(["checks/check_items.py", "  passed * 3 * 0 * ms  check_every_item_is_equal"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("checks/check_items.py",),
        ("checks/check_items.py", "-o", "python_files=check_*.py"),
        ("checks", "-k", "check_items", "-o", "python_files=check_*.py test_*.py"),
    ],
)
def test_a_named_or_matching_file_is_collected_once(pytester, run, arguments):
    projects.make_project(pytester.path)

    assert run(*arguments).parseoutcomes()["passed"] == 1


def test_collecting_costs_no_call_and_ids_hold_no_keys(pytester, run):
    projects.make_project(pytester.path)
    (pytester.path / "checks" / "conftest.py").unlink()  # whatever reached AWS would fail

    result = run("--collect-only", "-q", "checks")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["checks/check_counts.py::check_item_counts_agree[[]orders-*]"])


COUNTING = """\
from pathlib import Path

asked, resolve = [], Path.resolve
Path.resolve = lambda path, strict=False: asked.append(path) or resolve(path, strict)

def pytest_sessionfinish():
    Path("asked").write_text(str(len(asked)))
"""


@pytest.mark.parametrize("is_gated", [False, True])
def test_more_pairs_are_collected_without_asking_the_system_for_more(pytester, run, is_gated):
    """A thousand checks of twenty pairs would ask it 40,000 times."""
    asked, found = [], []
    for pairs in (1, 5):
        tables = [f'[[tables]]\nsource = "tab{n}"\ntarget = "tab{n}-v2"\n' for n in range(1, pairs)]
        projects.make_project(pytester.path, toml=projects.TOML + "".join(tables))
        (pytester.path / "checks" / "conftest.py").write_text(COUNTING)
        record = [f"--ddb-record={pytester.mkdir(f'run-{pairs}') / 'record'}"] if is_gated else []
        collected = run("--collect-only", "-q", *record, "checks")
        found.append(sum("::check_" in line for line in collected.outlines))
        asked.append(int((pytester.path / "asked").read_text()))

    assert found[1] == 5 * found[0] > 0
    assert asked[0] == asked[1] > 0


def test_every_pair_gets_every_check(pytester, run):
    projects.make_project(
        pytester.path, toml=projects.TOML + '[[tables]]\nsource = "films"\ntarget = "films-v2"\n'
    )

    run("checks").assert_outcomes(passed=22)
    assert projects.passes(pytester.path) == 2


def test_a_project_without_a_migration_is_left_alone(pytester, run):
    pytester.makepyfile(check_it="def check_that(): assert False\n")
    pytester.makepyfile(test_it="def test_that(): pass\n")

    run().assert_outcomes(passed=1)
    assert run("check_it.py").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_ordinary_tests_beside_a_migration_stay_ordinary(pytester, run):
    projects.make_project(pytester.path)
    (pytester.path / "migration.toml").write_text("broken = [")
    pytester.makepyfile(test_it="def test_that():\n    x = 41\n    assert x == 42\n")

    result = run("test_it.py")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 41 == 42*"])


def test_a_broken_configuration_is_one_line_and_a_usage_error(pytester, run):
    projects.make_project(pytester.path, toml=projects.TOML + "colour = 1\n")

    result = run("checks")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *unknown key `colour`*"])


def test_a_named_configuration_has_to_be_there(pytester, run):
    assert run("--ddb-config", "other.toml").ret == pytest.ExitCode.USAGE_ERROR


def test_the_plugin_may_be_named_twice(pytester, run):
    pytester.makeconftest("pytest_plugins = ['ddbverify.pytest_plugin']\n")
    pytester.makepyfile(test_it="def test_that(): pass\n")

    run().assert_outcomes(passed=1)


@pytest.mark.parametrize("spread", [("-n", "2"), ("-n", "auto"), ("--dist", "load", "--tx", "2*popen")])
def test_xdist_is_refused_for_checks_with_a_reason(pytester, run, spread):
    projects.make_project(pytester.path)

    result = run("-p", "xdist", *spread, "checks")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *cannot be distributed by xdist*"])


def test_xdist_is_left_alone_for_ordinary_tests(pytester, run):
    projects.make_project(pytester.path)
    pytester.makepyfile(test_it="def test_that(): pass\n")

    run("-p", "xdist", "-n", "1", "test_it.py").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("assert pair.comparison", CheckState.PASSED),
        ("require(Verdict(examined=1))", CheckState.PASSED),
        ("require(Verdict(examined=0))", CheckState.INCONCLUSIVE),
        ("require(Verdict(examined=1, unexamined=('a segment',)))", CheckState.INCONCLUSIVE),
        ("raise Inconclusive('no', 'wait')", CheckState.INCONCLUSIVE),
        ("from ddbverify.errors import EngineError\nraise EngineError('no', 'x')", CheckState.INCONCLUSIVE),
        ("require(Verdict(examined=1, findings=(Finding('x'),)))", CheckState.FAILED),
        (
            "try: require(Verdict(examined=1, findings=(Finding('x'),)))\nexcept CheckFailed: pass",
            CheckState.FAILED,
        ),
        ("try: require(Verdict(examined=0))\nexcept Inconclusive: pass", CheckState.INCONCLUSIVE),
        ("assert 1 == 2", CheckState.FAILED),
        ("pytest.fail('x')", CheckState.FAILED),
        ("return 1 == 2", CheckState.INCONCLUSIVE),
        ("raise KeyError('x')", CheckState.ERRORED),
        ("sys.exit(0)", CheckState.ERRORED),
        ("pytest.skip('x')", CheckState.SKIPPED),
        ("pytest.xfail('x')", CheckState.XFAILED),
        ("pytest.exit('x', returncode=0)", CheckState.NOT_RUN),
    ],
)
def test_each_way_to_end_has_its_state_in_the_record(pytester, run, one_check, body, state):
    one_check(body)

    result = run("--ddb-record", "record.jsonl", "checks")

    recorded = record.read(pytester.path / "record.jsonl")
    (check,) = recorded.checks.values()
    assert check.state is state
    assert recorded.exit_status == result.ret
    if state in (CheckState.FAILED, CheckState.INCONCLUSIVE, CheckState.ERRORED):
        assert result.ret == 1
    assert (check.examined > 0) == (state in (CheckState.PASSED, CheckState.FAILED) or "examined=1" in body)


def test_a_check_that_nobody_awaits_has_found_nothing(pytester, run):
    """pytest fails it without calling it; that is no difference of the tables."""
    projects.make_project(pytester.path, default_suite=False)
    (pytester.path / "checks" / "check_it.py").write_text(
        "async def check_it(pair):\n    assert pair.comparison\n"
    )

    result = run("--ddb-record", "record.jsonl", "checks")

    (check,) = record.read(pytester.path / "record.jsonl").checks.values()
    assert (check.state, check.findings) == (CheckState.ERRORED, 0)
    assert check.why == "it is async, and nothing here awaits it"
    assert "it is async, and nothing here awaits it" in result.stdout.str()


@pytest.mark.parametrize(
    ("mark", "state"),
    [
        ("skip(reason='later')", CheckState.SKIPPED),
        ("xfail(reason='known')", CheckState.XFAILED),
        ("xfail(run=False)", CheckState.XFAILED),
        ("xfail(strict=True, reason='known')", CheckState.XFAILED),
    ],
)
@pytest.mark.parametrize("body", ["pass", "assert False"])
def test_marks_that_leave_a_check_out_are_recorded(pytester, run, one_check, mark, state, body):
    one_check(body)
    file = pytester.path / "checks" / "check_one.py"
    file.write_text(file.read_text().replace("def check_it", f"@pytest.mark.{mark}\ndef check_it"))

    run("--ddb-record", "record.jsonl", "checks")

    (check,) = record.read(pytester.path / "record.jsonl").checks.values()
    assert check.state is state


def test_an_ordinary_test_beside_a_migration_may_return_something(pytester, run):
    projects.make_project(pytester.path)
    pytester.makepyfile(test_it="def test_that():\n    return 42\n")

    run("test_it.py").assert_outcomes(passed=1, warnings=1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("class CheckIt:\n    def check_it(self, pair): assert False", "CheckIt.check_it is in a class"),
        ("class TestIt:\n    def test_it(self, pair): assert False", "TestIt.test_it is in a class"),
        ("class A:\n    def __call__(self, pair): assert False\ncheck_it = A()", "check_it is no function"),
        ("def test_it(pair): assert False", "test_it has another name"),
    ],
)
def test_what_looks_like_a_check_and_would_not_be_run_is_refused(pytester, run, body, said):
    projects.make_project(pytester.path)
    (pytester.path / "checks" / "check_own.py").write_text(body + "\n")

    result = run("--ddb-record", "record.jsonl", "checks")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*{said}, and would not be run: *functions check_*"])


@pytest.mark.parametrize(
    "body",
    [
        "class Checker:\n    def of(self, pair): pass\ncheck_names = ['a']\ndef test_data(): pass",
        "import functools\ndef f(pair, n): assert pair.comparison\ncheck_it = functools.partial(f, n=1)",
        "@staticmethod\ndef check_it(pair): assert pair.comparison",
        "from unittest import mock\nfrom unittest import TestCase\ncheck_it = len.__doc__",
    ],
)
def test_what_helps_checks_is_left_alone(pytester, run, body):
    projects.make_project(pytester.path, default_suite=False)
    (pytester.path / "checks" / "check_own.py").write_text(
        body + "\ndef check_own(pair): assert pair.comparison\n"
    )

    assert run("checks").ret == 0


@in_parts
@pytest.mark.parametrize(
    ("part", "state"),
    [
        ("assert False", CheckState.FAILED),
        ("require(Verdict(examined=0))", CheckState.INCONCLUSIVE),
        ("raise KeyError('x')", CheckState.ERRORED),
        ("pytest.skip('x')", CheckState.SKIPPED),
        ("assert pair.comparison", CheckState.PASSED),
    ],
)
def test_a_check_passes_only_if_each_of_its_parts_has(pytester, run, one_check, part, state):
    one_check(f"with subtests.test(n=1): {part}\nwith subtests.test(n=2): assert pair.comparison")
    file = pytester.path / "checks" / "check_one.py"
    file.write_text(file.read_text().replace("check_it(pair)", "check_it(pair, subtests)"))

    result = run("--ddb-record", "record.jsonl", "checks")

    (check,) = record.read(pytester.path / "record.jsonl").checks.values()
    assert check.state is state
    assert (result.ret == 0) == (state in (CheckState.PASSED, CheckState.SKIPPED))


def test_a_fixture_that_fails_before_or_after_is_an_error_but_never_hides_a_finding(pytester, run, one_check):
    one_check("pass")
    file = pytester.path / "checks" / "check_one.py"
    body = file.read_text().replace("check_it(pair)", "check_it(pair, broken)")
    fixture = "@pytest.fixture\ndef broken():\n    {}\n    yield\n    {}\n"
    for before, after, ends, state in (
        ("1/0", "pass", "pass", CheckState.ERRORED),
        ("pass", "1/0", "pass", CheckState.ERRORED),
        ("pass", "1/0", "assert False", CheckState.FAILED),
    ):
        file.write_text(body.replace("    pass", f"    {ends}") + fixture.format(before, after))
        (pytester.path / "record.jsonl").unlink(missing_ok=True)
        (pytester.path / "findings.jsonl").unlink(missing_ok=True)

        run("--ddb-record", "record.jsonl", "checks")

        (check,) = record.read(pytester.path / "record.jsonl").checks.values()
        assert check.state is state


def test_deselected_and_unreached_checks_are_recorded(pytester, run):
    projects.make_project(pytester.path, counts={"matched": 3, "missing": 1})

    run("--ddb-record", "record.jsonl", "-x", "-k", "not pipeline", "checks")

    states = [check.state for check in record.read(pytester.path / "record.jsonl").checks.values()]
    assert states.count(CheckState.DESELECTED) == 1
    assert states.count(CheckState.FAILED) == 1
    assert states.count(CheckState.NOT_RUN) == 13


def test_collect_only_leaves_every_check_not_run(pytester, run):
    projects.make_project(pytester.path)

    assert run("--ddb-record", "record.jsonl", "--co", "checks").ret == 0

    recorded = record.read(pytester.path / "record.jsonl")
    assert {check.state for check in recorded.checks.values()} == {CheckState.NOT_RUN}


def test_a_process_that_leaves_has_no_end_in_its_record(pytester, run, one_check):
    one_check("import os; os._exit(0)")

    assert run("--ddb-record", "record.jsonl", "checks").ret == 0

    recorded = record.read(pytester.path / "record.jsonl")
    assert not recorded.is_finished
    assert [check.state for check in recorded.checks.values()] == [CheckState.NOT_RUN]


def test_what_differs_and_is_accepted_is_shown_and_recorded(pytester, run):
    settings = {"orders": {"pitr": "on", "ttl": "by the attribute gone"}}
    projects.make_project(pytester.path, toml=projects.TOML + 'accept = ["pitr"]\n', settings=settings)

    result = run("--ddb-record", "record.jsonl", "checks")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "accepted: orders-*: pitr: on in the source, not set in the target",
            "accepted: orders-*: ttl: by the attribute gone in the source; turn it on after the cutover*",
        ]
    )
    recorded = record.read(pytester.path / "record.jsonl").checks.values()
    assert [one.accepted for one in recorded if one.accepted] == [
        ("pitr: on in the source, not set in the target",),
        ("ttl: by the attribute gone in the source; turn it on after the cutover (until the cutover)",),
    ]


def test_a_setting_that_differs_fails_by_its_name_and_says_how_to_accept_it(pytester, run):
    projects.make_project(pytester.path, settings={"orders": {"pitr": "on", "tags.team": "1"}})

    result = run("checks/check_table.py")

    result.assert_outcomes(failed=1, passed=4)
    result.stdout.fnmatch_lines(
        [
            "2 findings:",
            "  pitr: on in the source, not set in the target",
            "  tags.team: not in the target",
            '*accept = [[]"pitr", "tags.team"[]]*',
        ]
    )


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "pair.verdict(State.MISSING)",
        "if pair.comparison.counts[State.MATCHED]:\n    return\nrequire(pair.verdict(State.MISSING))",
    ],
)
def test_a_check_that_claims_nothing_is_inconclusive(one_check, run, body):
    one_check(body, counts={"matched": 2, "missing": 1})

    result = run("checks")

    assert result.parseoutcomes() == {"inconclusive": 1}
    result.stdout.fnmatch_lines(["*it claimed nothing: it ended without `require`*"])


def test_an_assertion_of_a_helper_that_a_check_calls_is_its_claim(one_check, run, pytester):
    one_check("import helpers\nhelpers.same(pair)")
    (pytester.path / "checks" / "helpers.py").write_text(
        "def same(pair):\n    assert pair.comparison.counts['matched'] == 3\n"
    )

    run("checks").assert_outcomes(passed=1)


def test_a_verdict_is_true_if_it_has_passed(one_check, run):
    one_check("assert pair.verdict(State.MISSING)", counts={"matched": 2, "missing": 1})

    assert run("checks").parseoutcomes() == {"failed": 1}


def test_only_the_default_suite_as_it_came_can_be_not_applicable(pytester, run):
    projects.make_project(pytester.path)
    file = pytester.path / "checks" / "check_transform.py"
    (pytester.path / "checks" / "check_own.py").write_text(
        "from ddbverify import only_if\n\ndef check_own(pair):\n    only_if(pair.is_reshaped, 'it is mine')\n"
    )
    file.write_text(file.read_text() + "# changed\n")

    result = run("--ddb-record", "record.jsonl", "checks")

    checks = record.read(pytester.path / "record.jsonl").checks.values()
    states = {(one.name.rpartition("/")[2].partition("::")[0], str(one.state)) for one in checks}
    assert {("check_own.py", "inconclusive"), ("check_transform.py", "inconclusive")} <= states
    assert ("check_items.py", "not-applicable") in states
    result.stdout.fnmatch_lines(
        ["  Not applicable: no sample is drawn: the other checks look at every item that is read."]
    )


def test_the_record_says_what_a_check_claims_once_its_controls_have_proven_it(pytester, run):
    projects.make_project(pytester.path, default_suite=False, counts={"matched": 2, "missing": 1})
    (pytester.path / "checks" / "check_own.py").write_text(
        "from ddbverify import State, check, require\n"
        "def _check(*states, **marks):\n"
        "    @check(**marks)\n"
        "    def one(pair):\n"
        "        require(pair.verdict(*states))\n"
        "    return one\n"
        "check_blind = _check(State.EXTRANEOUS, covers=['missing'])\n"
        "check_fails = _check(State.MISSING, covers=['missing'])\n"
        "check_says_nothing = _check(State.DIFFERENT)\n"
        "check_tolerates = _check(State.MISSING, covers=['missing'], tolerate=1)\n"
        "check_whole = _check(State.DIFFERENT, covers=['added', 'removed', 'value', 'type', 'value:n'])\n"
    )

    run("--ddb-record", "record.jsonl", "checks")

    checks = record.read(pytester.path / "record.jsonl").checks.values()
    assert {one.name.rpartition("check_")[2]: (str(one.state), one.claims) for one in checks} == {
        "blind": ("inconclusive", ()),
        "fails": ("failed", ("missing",)),
        "says_nothing": ("passed", ()),
        "tolerates": ("passed", ("missing",)),
        "whole": ("passed", ("different", "value:n")),
    }


def test_a_check_that_does_not_notice_what_it_covers_is_inconclusive_and_named(pytester, run):
    projects.make_project(pytester.path, default_suite=False)
    (pytester.path / "checks" / "check_blind.py").write_text(
        "import pytest\n"
        "from ddbverify import State, check, require\n"
        "@check(covers=['missing', 'value'])\n"
        "def check_blind(pair):\n"
        "    require(pair.verdict(State.MISSING))\n"
        "@check(covers=['missing'])\n"
        "def check_sound(pair, nothing):\n"
        "    require(pair.verdict(State.MISSING))\n"
        "@check(covers=['missing'])\n"
        "def check_without_a_pair(nothing): pass\n"
        "@pytest.fixture\n"
        "def nothing(): return None\n"
    )

    result = run("--ddb-record", "record.jsonl", "checks")

    states = {one.name: one.state for one in record.read(pytester.path / "record.jsonl").checks.values()}
    assert states == {
        "checks/check_blind.py::check_blind": CheckState.INCONCLUSIVE,
        "checks/check_blind.py::check_sound": CheckState.PASSED,
        "checks/check_blind.py::check_without_a_pair": CheckState.INCONCLUSIVE,
    }
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*covers missing, value, and a control failed: altered on purpose, it did not notice: value*"]
    )
    assert projects.passes(pytester.path) == 1


def test_inconclusive_has_its_letter_and_exit_status_1(pytester, run, one_check):
    one_check("require(pair.verdict(State.MISSING))", counts={"matched": 2, "churning": 1})

    result = run("--ddb-record", "record.jsonl", "checks")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["checks/check_one.py I*", "*1 key never held still*", "*1 inconclusive*"])
    (check,) = record.read(pytester.path / "record.jsonl").checks.values()
    assert check.only_churning


def test_a_cause_that_many_checks_share_is_said_once(pytester, run, one_check):
    body = "require(pair.verdict(State.MISSING))"
    one_check(body, counts={"matched": 2, "churning": 1})
    with (pytester.path / "checks" / "check_one.py").open("a") as file:
        file.write(f"def check_again(pair):\n    {body}\n")

    result = run("checks")

    result.stdout.fnmatch_lines(
        [
            "*::check_it[[]orders-*",
            "*::check_again[[]orders-*",
            "  Not decided: 1 key *",
            "    Try: run the checks again when less is written; *",
        ],
        consecutive=True,
    )


def test_churning_beside_another_doubt_is_not_only_churning(pytester, run, one_check):
    one_check("require(pair.verdict(State.MISSING))", counts={"matched": 2, "churning": 1, "undecided": 1})

    run("--ddb-record", "record.jsonl", "checks")

    (check,) = record.read(pytester.path / "record.jsonl").checks.values()
    assert check.state is CheckState.INCONCLUSIVE
    assert not check.only_churning


ENDINGS = [
    "assert token == 'x', token",
    "assert pair.settings == token",
    "pytest.fail(token)",
    "raise ValueError(token)",
    "raise CheckFailed('refuted', 'look') from ValueError(token)",
    "print(token); import logging; logging.getLogger().error(token); raise KeyError(token)",
    "pytest.skip(token)",
    "pytest.xfail(token)",
    "import warnings; warnings.warn(token); sys.stderr.write(token); assert False",
    "require(pair.verdict(State.DIFFERENT, State.MISSING))",
    "class Odd(Exception):\n    def __repr__(self): return token\nraise Odd(token)",
    "import os; os.write(1, token.encode()); assert False",
    pytest.param("with subtests.test(token, id=token): print(token); assert token == 'x'", marks=in_parts),
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_value_or_key_is_seen_nowhere_but_in_the_findings(pytester, run, one_check, ending):
    differences = [
        {"state": state, "key": {"id": {"S": TOKEN}}, "paths": [f"tags.{TOKEN}: S -> N"]}
        for state in ("different", "missing")
    ]
    one_check(
        f"token = ''.join({list(TOKEN)!r})\nitem = {{'id': token}}\n{ending}",
        counts={"different": 1, "missing": 1},
        differences=differences,
    )
    pytester.path.joinpath("checks", "check_one.py").write_text(
        (pytester.path / "checks" / "check_one.py")
        .read_text()
        .replace("it(pair)", "it(pair, subtests)" if "subtests" in ending else "it(pair)")
        + "\ndef check_touch(pair):\n    pair.comparison\n"
    )

    result = run(
        *("--ddb-record", "record.jsonl", "--junit-xml", "junit.xml", "-vv", "--showlocals", "-rA"),
        *("--disable-warnings", "checks/check_one.py"),
    )

    assert TOKEN not in result.stdout.str() + result.stderr.str()
    holding = {
        file.name
        for file in pytester.path.rglob("*")
        if file.is_file() and TOKEN in file.read_text(errors="replace")
    }
    assert holding == {"findings.jsonl", "repair.json"}
    assert {stat.S_IMODE((pytester.path / name).stat().st_mode) for name in holding} == {0o600}


def test_a_hash_in_a_message_can_be_looked_up_in_the_findings(pytester, run, one_check):
    one_check(
        "require(pair.verdict(State.MISSING))",
        counts={"missing": 1},
        differences=[{"state": "missing", "key": {"id": {"S": TOKEN}}}],
    )

    result = run("--ddb-record", "record.jsonl", "checks")

    row = json.loads((pytester.path / "findings.jsonl").read_text())
    assert row["key"] == {"id": {"S": TOKEN}}
    result.stdout.fnmatch_lines([f"*missing {row['key_hash']}*"])


def test_custom_fixtures_work_in_checks(pytester, run, one_check):
    one_check("assert limit == 3")
    file = pytester.path / "checks" / "check_one.py"
    file.write_text(file.read_text().replace("check_it(pair)", "check_it(limit, pair)"))
    conftest = pytester.path / "checks" / "conftest.py"
    conftest.write_text(
        conftest.read_text() + "\nimport pytest\n\n@pytest.fixture\ndef limit(pair):\n    return 3\n"
    )

    run("checks").assert_outcomes(passed=1)


def test_an_import_that_fails_is_an_error_of_collection(pytester, run, one_check):
    one_check("pass")
    (pytester.path / "checks" / "check_two.py").write_text("import no_such_module\n")

    result = run("--ddb-record", "record.jsonl", "checks")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ModuleNotFoundError at check_two.py:1*"])


def test_a_sick_pipeline_is_not_for_the_target_to_mend(pytester, run):
    projects.make_project(pytester.path, problems=["1 key in the quarantine"])

    result = run("checks", "-k", "pipeline")

    result.stdout.fnmatch_lines(
        ["1 finding: 1 key in the quarantine", "  Try: `replicator status` shows how it stands; *"],
        consecutive=True,
    )


def test_causes_are_summed_up_over_all_findings(pytester, run):
    differences = [
        {"state": "different", "key": {"id": {"S": str(n)}}, "paths": ["price: N -> S", "info.deep: value"]}
        for n in range(9)
    ]
    differences.append({"state": "missing", "key": {"id": {"S": "x"}}})
    projects.make_project(pytester.path, counts={"different": 9, "missing": 1}, differences=differences)

    result = run("checks")

    result.stdout.fnmatch_lines(
        [
            "*   90%  `info` has another value (9 findings)",
            "*   90%  `price` is S instead of N (9 findings)",
            "*   10%  not in the target (1 finding)",
        ]
    )


WARNS = '@check(severity="warn")\n'
FINDS = "require(Verdict(examined=9, findings=(Finding('x'),) * 3))"


@pytest.mark.parametrize(
    ("mark", "body", "state", "passes"),
    [
        (WARNS, "assert False", CheckState.FAILED, True),
        (WARNS, "require(Verdict(examined=0))", CheckState.INCONCLUSIVE, True),
        (WARNS, "raise KeyError('x')", CheckState.ERRORED, True),
        ("@pytest.mark.ddb_check(severity='warn')\n", "assert False", CheckState.FAILED, True),
        ("@check(tolerate=3)\n", FINDS, CheckState.PASSED, True),
        ("@check(tolerate=2)\n", FINDS, CheckState.FAILED, False),
        ("@check(tolerate=0.4)\n", FINDS, CheckState.PASSED, True),
    ],
)
def test_marks_decide_what_a_finding_does(pytester, run, one_check, mark, body, state, passes):
    one_check(body)
    file = pytester.path / "checks" / "check_one.py"
    file.write_text(
        file.read_text().replace("def check_it", f"from ddbverify import check\n{mark}def check_it")
        + "\ndef check_other(pair):\n    assert pair.comparison\n"
    )

    result = run("--ddb-record", "record.jsonl", "--junit-xml", "junit.xml", "--strict-markers", "checks")

    checks = record.read(pytester.path / "record.jsonl").checks.values()
    (check,) = [check for check in checks if check.name.endswith("::check_it")]
    assert check.state is state
    assert (result.ret == 0) == passes
    assert check.counts != (state is not CheckState.PASSED and passes)
    if body == FINDS:
        assert check.findings == 3
    assert f'name="ddb_state" value="{state}"' in (pytester.path / "junit.xml").read_text()
    if passes and state is not CheckState.PASSED:
        result.stdout.fnmatch_lines(["checks/check_one.py W.*", "*1 passed, 1 warned*"])


def test_a_warning_check_whose_fixture_fails_is_not_called(pytester, run, one_check):
    one_check("pass")
    file = pytester.path / "checks" / "check_one.py"
    file.write_text(
        file.read_text().replace(
            "def check_it(pair)", "@pytest.mark.ddb_check(severity='warn')\ndef check_it(pair, broken)"
        )
        + f"\n@pytest.fixture\ndef broken():\n    raise ValueError(''.join({list(TOKEN)!r}))\n"
        + "\ndef check_other(pair):\n    assert pair.comparison\n"
    )

    result = run("--ddb-record", "record.jsonl", "checks", "-rA", "-vv")

    states = [check.state for check in record.read(pytester.path / "record.jsonl").checks.values()]
    assert states == [CheckState.ERRORED, CheckState.PASSED]
    assert result.ret == 0
    assert TOKEN not in result.stdout.str()


def test_a_mark_that_means_nothing_is_a_usage_error(pytester, run, one_check):
    one_check("pass")
    file = pytester.path / "checks" / "check_one.py"
    file.write_text(
        file.read_text().replace("def check_it", "@pytest.mark.ddb_check(severity='fatal')\ndef check_it")
    )

    result = run("checks")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['ERROR: *severity is "error" or "warn"*'])


def test_what_would_show_values_is_refused_where_a_gate_listens(pytester, run):
    projects.make_project(pytester.path)
    asked = [
        *("--ddb-reveal", "-s", "--capture=tee-sys", "--pdb", "--log-cli-level=INFO", "--log-file=x"),
        "--ddb-plan",
    ]
    for one in asked:
        result = run("--ddb-record", "record.jsonl", one, "checks")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *refused in `ddbverify run`*"])
    assert projects.passes(pytester.path) == 0
