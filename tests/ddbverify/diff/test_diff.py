"""``ddbverify diff``: every finding goes out, the verdict fails closed, no end is a mess."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import ClassVar

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.compare.comparison import Stratum
from ddbverify.compare.request import Progress
from ddbverify.diff import diff
from ddbverify.diff import text as diff_text
from ddbverify.diff.findings import FINDING_STATES, STATES
from ddbverify.diff.options import Options
from ddbverify.diff.request import Request
from ddbverify.diff.result import REFUTING, verdict_of
from ddbverify.errors import AccessError, ConfigurationError, Inconclusive
from ddbverify.evidence import events
from ddbverify.evidence.folders import write_atomically
from ddbverify.evidence.repairs import Repairs
from ddbverify.items.states import Difference, Seen, State
from ddbverify.tables.table import describe_pair  # before anything stands in for it
from tests.ddbverify import projects

OPTIONS = Options(source="orders", target="orders-v2", settle="0s")
FINDINGS = FINDING_STATES


def missing(key, **more):
    return Difference(**{"state": State.MISSING, "key": {"id": {"S": key}}} | more)


class Engine:
    """Stands in for `runner.compare`, by the contract of its docstring."""

    def __init__(self, *steps, matched=3, segments=(1, 1, 1), counted=None, **facts):
        self.steps, self.matched, self.segments = steps, matched, segments
        self.counted, self.facts = counted, facts
        self.calls = []

    def compare(self, config, pair, request, listeners):
        names = ("sample", "seed", "segments", "checkpoint", "strata")
        self.calls.append({"config": config} | {name: getattr(request, name) for name in names})
        counts = {State.MATCHED: self.matched} if self.matched else {}
        for step in self.steps:
            if isinstance(step, Difference):
                counts[step.state] = counts.get(step.state, 0) + 1
                listeners.found(step)
            elif isinstance(step, Progress):
                listeners.progress(step)
            elif callable(step):
                step()
            else:
                raise step
        made = projects.comparison(pair.id, counts=self.counted or counts, segments=list(self.segments))
        return replace(made, **self.facts)


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """Give the engine's script; tables are made up."""
    projects.stand_in(tmp_path, monkeypatch)
    projects.write_spec(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")

    def make(*steps, **more):
        made = Engine(*steps, **more)
        monkeypatch.setattr("ddbverify.compare.runner.compare", made.compare)
        return made

    return make


def run(tmp_path, emit=None, said=None, **request):
    return diff.run(
        Request(**{"options": OPTIONS, "folder": tmp_path, "lines": emit is not None} | request),
        emit=emit or (lambda _: None),
        say=(said if said is not None else []).append,
        show=lambda _: nullcontext(lambda _: None),
    )


def cli(*arguments):
    return CliRunner().invoke(main, ["diff", "orders", "orders-v2", *arguments], catch_exceptions=False)


# --- the verdict ----------------------------------------------------------------------------


@given(
    st.dictionaries(st.sampled_from([str(state) for state in STATES]), st.integers(0, 3)),
    st.lists(st.integers(0, 3), min_size=3, max_size=3).map(lambda three: sorted(three, reverse=True)),
    st.lists(st.just("segment 1 of 3 of the source was not read to its end"), max_size=1),
)
def test_equal_is_said_only_of_what_was_read_whole_and_decided(counts, segments, unexamined):
    total, planned, finished = segments
    comparison = projects.comparison(
        counts=counts, segments=[planned, finished, total], unexamined=unexamined
    )
    verdict, reasons = verdict_of(comparison)
    differs = any(counts.get(state) for state in ("missing", "extraneous", "different"))
    open_ = any(counts.get(state) for state in ("uncomparable", "churning", "undecided"))
    whole = total == planned == finished and not unexamined
    if differs:
        assert verdict == "different"
    elif whole and not open_ and counts.get("matched"):
        assert (verdict, reasons) == ("equal", ())
    else:
        assert verdict == "inconclusive"
        assert reasons
    assert differs or (verdict == "equal") == (not reasons)


def test_regression_14_two_empty_tables_are_not_equal():
    assert verdict_of(projects.comparison(counts={}))[0] == "inconclusive"


@pytest.mark.parametrize(("state", "code"), [(state, 1 if state in REFUTING else 3) for state in FINDINGS])
def test_regression_16_differences_are_never_exit_code_0(engine, tmp_path, state, code):
    engine(missing("a", state=state))
    assert run(tmp_path).exit_code == code


def test_a_clean_sample_is_inconclusive(engine, tmp_path):
    made = engine(
        segments=(2, 2, 200), notes=("left out by `ignore`: x", "a sample: 2 of 200 segments were read")
    )
    result = run(tmp_path, options=replace(OPTIONS, sample="1%", seed=7, segments=200))
    assert (result.summary["verdict"], result.exit_code) == ("inconclusive", 3)
    assert made.calls[0]["sample"] == 0.01
    assert made.calls[0]["seed"] == 7
    text = diff_text.text(result)
    assert text.index("a sample: 2 of 200") < text.index("left out by")


def test_a_stratum_reaches_the_engine_the_verdict_and_the_summary(engine, tmp_path):
    keys = tmp_path / "newest.jsonl"
    keys.write_text('{"id": {"S": "a"}}\n')
    stratum = Stratum(name=str(keys), counts={State.MISSING: 1}, in_neither=0, listed=1)
    made = engine(missing("a"), counted={"matched": 3}, segments=(2, 2, 200), strata=(stratum,))
    options = replace(OPTIONS, sample="1%", segments=200, strata=(keys,))
    result = run(tmp_path, options=options, out=tmp_path / "out")
    assert made.calls[0]["strata"] == {str(keys): (("a",),)}
    assert (result.summary["verdict"], result.exit_code) == ("different", 1)
    assert result.summary["strata"][0]["missing"] == 1
    assert not [reason for reason in result.summary["reasons"] if "were listed" in reason]

    keys.write_text('{"id": {"S": "b"}}\n')
    (tmp_path / "out" / "summary.json").unlink()
    with pytest.raises(ConfigurationError, match="other settings: strata"):
        run(tmp_path, options=options, out=tmp_path / "out", resume=True)


def test_findings_that_were_counted_and_never_handed_on_are_not_hidden(engine, tmp_path):
    engine(missing("a"), counted={"matched": 1, "missing": 3})
    result = run(tmp_path)
    assert not result.summary["complete"]
    assert "3 findings were counted, 1 listed" in result.summary["reasons"]


def test_findings_that_were_handed_on_and_never_counted_are_not_called_equal(engine, tmp_path):
    engine(missing("a"), counted={"matched": 3})
    assert run(tmp_path).exit_code == 3


# --- what goes out --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jsonl", "text"])
def test_what_a_transform_prints_does_not_stand_between_our_lines(engine, form):
    engine(missing("a"), lambda: print("loud transform"), missing("b"))

    ended = cli("--format", form, "--settle", "0s")

    assert "loud transform" in ended.stderr
    assert "loud transform" not in ended.stdout
    if form == "jsonl":
        assert json.loads(ended.stdout.splitlines()[0])["finding"] == "missing"


def test_json_lines_one_object_per_finding_and_the_summary_last(engine):
    engine(
        missing("a"),
        missing("b", state=State.DIFFERENT, paths=("price: N -> S",)),
        missing("c", state=State.UNCOMPARABLE, reason="the transform t:f raised KeyError"),
    )
    ended = cli("--format", "jsonl", "--settle", "0s")
    assert ended.exit_code == 1
    *findings, last = map(json.loads, ended.stdout.splitlines())
    assert findings == [
        {"finding": "missing", "key": {"id": {"S": "a"}}, "paths": []},
        {"finding": "different", "key": {"id": {"S": "b"}}, "paths": ["price: N -> S"]},
        {
            "finding": "uncomparable",
            "key": {"id": {"S": "c"}},
            "paths": [],
            "reason": "the transform t:f raised KeyError",
        },
    ]
    summary = last["summary"]
    assert summary["verdict"] == "different"
    assert [summary[str(state)] for state in STATES] == [3, 1, 0, 1, 0, 1, 0, 0]
    assert summary["read_units"] == {"source": 1.5, "target": 1.5}
    assert summary["segments"] == {"planned": 1, "finished": 1, "total": 1}
    assert [one["cause"] for one in summary["causes"]] == [
        "`price` is S instead of N",
        "not in the target",
        "cannot be compared: the transform t:f raised KeyError",
    ]
    assert list(last) == ["summary"]


def test_a_standard_output_that_was_closed_from_the_start_changes_no_verdict(engine, monkeypatch):
    engine(missing("a"))
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(SystemExit) as ended:
        main(["diff", "orders", "orders-v2", "--format", "jsonl", "--settle", "0s"])

    assert ended.value.code == 1


def test_findings_go_out_as_they_are_decided(engine, tmp_path):
    seen = []

    class Looking(Exception):
        pass

    def emit(line):
        seen.append(json.loads(line)["key"])
        assert (tmp_path / "out" / "findings.jsonl").read_text().count("\n") == len(seen)
        if len(seen) == 2:
            raise Looking

    engine(missing("a"), missing("b"), missing("c"))
    with pytest.raises(Looking):
        run(tmp_path, emit=emit, out=tmp_path / "out")
    assert seen == [{"id": {"S": "a"}}, {"id": {"S": "b"}}]


def test_the_terminal_is_bounded_and_says_how_to_get_the_rest(engine, tmp_path):
    engine(*(missing(f"key-{number}") for number in range(5_000)))
    result = run(tmp_path)
    text = diff_text.text(result)
    assert len(re.findall("key-", text)) == 20
    assert "... and 4,980 more; for all of them give --out DIR or --format jsonl" in text
    assert "100 %  not in the target (5,000 findings)" in text
    assert text.splitlines()[-1] == "different: orders -> orders-v2, 5,000 findings"

    written = run(tmp_path, out=tmp_path / "out")
    assert f"all of them: {tmp_path / 'out' / 'findings.jsonl'}" in diff_text.text(written)
    assert len((tmp_path / "out" / "findings.jsonl").read_text().splitlines()) == 5_000


def test_a_kept_run_says_how_to_repair_what_it_found(engine, tmp_path):
    engine(missing("a", seen=Seen(b"1", b"")), missing("b", state=State.CHURNING))
    result = run(tmp_path, out=tmp_path / "out")
    assert f"replicator repair --from {tmp_path / 'out'} --dry-run" in diff_text.text(result)
    with Repairs(tmp_path / "out" / "repair.json") as found:
        assert [one.key for one in found.entries()] == [{"id": {"S": "a"}}]
        assert found.tail.left_out == {"churning": 1}
    assert "replicator repair" not in diff_text.text(run(tmp_path))


def test_one_that_was_cut_short_leaves_nothing_to_repair_by(engine, tmp_path):
    engine(missing("a", seen=Seen(b"1", b"")), KeyboardInterrupt())
    run(tmp_path, out=tmp_path / "out")
    assert {one.name for one in (tmp_path / "out").iterdir()} & {"repair.json", ".repair.json"} == set()
    engine(missing("a", seen=Seen(b"1", b"")))
    run(tmp_path, out=tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "repair.json").exists()


def test_nothing_from_a_table_steers_the_terminal(engine, tmp_path):
    evil = "\x1b[2J\r\u202e\n"
    engine(missing(evil, state=State.DIFFERENT, paths=(f"{evil}: value",), reason=evil))
    text = diff_text.text(run(tmp_path))
    assert all(one.isprintable() for one in text.replace("\n", ""))
    assert r"\x1b[2J\r\u202e\n: value" in text


@pytest.mark.parametrize(
    ("found", "of", "share"), [(1, 1000, "< 1 %"), (999, 1000, "99 %"), (1, 1, "100 %"), (1, 3, "33 %")]
)
def test_shares_are_neither_nothing_nor_everything_unless_they_are(engine, tmp_path, found, of, share):
    others = (missing(f"o{number}") for number in range(of - found))
    changed = (missing(f"c{number}", state=State.DIFFERENT, paths=("a: value",)) for number in range(found))
    engine(*others, *changed)
    assert re.search(rf"  {share}  `a` has another value", diff_text.text(run(tmp_path)))


def test_what_was_left_open_stands_before_the_verdict(engine, tmp_path):
    engine(segments=(4, 3, 4), unexamined=("segment 2 of 4 of the source was not read to its end (reset)",))
    result = run(tmp_path)
    assert result.exit_code == 3
    assert diff_text.text(result).endswith(
        "Not complete:\n"
        "  segment 2 of 4 of the source was not read to its end (reset)\n"
        "  3 of 4 segments have a proven end\n"
        "\n"
        "inconclusive: orders -> orders-v2, it is not known whether the tables are equal"
    )


def test_progress_is_silent_when_asked_and_standard_output_holds_the_report_only(engine):
    engine(Progress("scan", 0, 1, 5, 5, 1.0), missing("a"))
    ended = cli("--quiet")
    assert ended.stderr == ""
    assert ended.stdout.startswith("missing  ")


# --- values ---------------------------------------------------------------------------------


class Reader:
    """Stands in for `wire.TableReader`."""

    made: ClassVar[list] = []

    def __init__(self, side, table, *, units_per_second=None):
        self.table, self.rate, self.read_units = table, units_per_second, 0.0
        self.made.append(self)

    def get_items(self, keys):
        self.read_units += 1.0
        held = {"v": {"S": f"secret of {self.table.name}"}, "n": {"L": [{"N": "1"}, {"N": "2"}]}}
        return [None if key["id"]["S"] == "none" else {**key, **held} for key in keys]


@pytest.fixture
def reader(monkeypatch):
    monkeypatch.setattr(Reader, "made", [])
    monkeypatch.setattr("ddbverify.diff.request.TableReader", Reader)
    return Reader


def test_values_are_shown_only_when_asked_for(engine, tmp_path, reader):
    engine(missing("a", state=State.DIFFERENT, paths=("v: value",)))
    for more in ([], ["--format", "jsonl"]):
        ended = cli(*more, "--out", f"out{len(more)}")
        assert "secret" not in ended.output
        assert "secret" not in (tmp_path / f"out{len(more)}" / "findings.jsonl").read_text()
    assert not reader.made

    ended = cli("--format", "jsonl", "--values", "--out", "out")
    items = json.loads(ended.stdout.splitlines()[0])["items"]
    assert items["source"]["v"] == {"S": "secret of orders"}
    assert items["target"]["v"] == {"S": "secret of orders-v2"}
    assert items["read_at"]
    assert (tmp_path / "out" / "findings.jsonl").read_text() == ended.stdout.splitlines()[0] + "\n"
    assert json.loads(ended.stdout.splitlines()[-1])["summary"]["read_units"] == {
        "source": 2.5,
        "target": 2.5,
    }


def test_the_text_shows_the_values_at_the_paths_that_differ(engine, reader):
    engine(
        missing("a", state=State.DIFFERENT, paths=("n[1]: value", "gone.deep: removed", "(and 7 more)")),
        missing("b"),
    )
    text = cli("--values").stdout
    assert 'n[1]: value\n             source  {"N": "2"}\n             target  {"N": "2"}\n' in text
    assert "gone.deep: removed\n             source  nothing\n" in text
    assert text.count("secret of orders-v2") == 1  # of the missing one, which has no paths
    assert text.count("(as read again at ") == 2


def test_only_shown_findings_are_read_again_where_nothing_else_is_written(engine, tmp_path, reader):
    engine(*(missing(str(number)) for number in range(100)))
    run(tmp_path, values=True)
    assert [one.read_units for one in reader.made] == [20.0, 20.0]


@pytest.mark.parametrize(
    ("ceiling", "engine_gets", "values_get"), [(5000, 4500, 500), (2, 1, 1), (11, 10, 1)]
)
def test_reading_values_stays_under_the_same_ceiling(
    engine, tmp_path, reader, ceiling, engine_gets, values_get
):
    made = engine()
    run(tmp_path, values=True, options=replace(OPTIONS, read_units=ceiling))
    assert made.calls[0]["config"].verification.read_units == engine_gets
    assert {one.rate for one in reader.made} == {values_get}
    with pytest.raises(ConfigurationError, match="--read-units of 2"):
        run(tmp_path, values=True, options=replace(OPTIONS, read_units=1))


# --- ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (KeyboardInterrupt(), "it was interrupted"),
        (Inconclusive("The disk is full.", "make room."), "The disk is full. Try: make room."),
    ],
)
@pytest.mark.parametrize(("steps", "code"), [([], 3), ([missing("a")], 1)])
def test_an_early_end_keeps_what_is_known_and_is_never_0(engine, tmp_path, end, reason, steps, code):
    engine(Progress("scan", 2, 8, 100, 90, 7.5), *steps, end)
    ended = cli("--format", "jsonl", "--out", "out")
    assert ended.exit_code == code
    *findings, last = map(json.loads, ended.stdout.splitlines())
    assert len(findings) == len(steps)
    summary = last["summary"]
    assert summary["reasons"] == [reason]
    assert (summary["complete"], summary["finished"]) == (False, False)
    assert summary["matched"] is None
    assert summary["segments"]["finished"] == 2
    assert summary["read_units"]["both"] == 7.5
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert len((tmp_path / "out" / "findings.jsonl").read_text().splitlines()) == len(steps)

    shown = cli("--out", "out2").stdout
    assert f"  {reason}" in shown
    assert "The same command with --resume goes on with it." in shown


def test_what_aws_refuses_at_once_is_6_and_leaves_no_folder_behind(engine, tmp_path):
    engine(AccessError("AWS refused to scan the table orders.", "give this identity the permission."))
    ended = cli("--format", "jsonl", "--out", "out")
    assert ended.exit_code == 6
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["error"]["type"] == "AccessError"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sample", "5"],
        ["--settle", "60"],
        ["--memory", "lots"],
        ["--transform", "no_such_module:function"],
        ["--transform", "shop"],
        ["--rekeys"],
        ["--ignore", "a..b"],
        ["--resume"],
        ["--resume", "--out", "nowhere"],
        ["--read-units", "0"],
        ["--segments", "0"],
        ["--stratum", "migration.toml"],
        ["--sample", "1%", "--stratum", "nowhere.jsonl"],
        ["--sample", "1%", "--stratum", "migration.toml"],
        ["--seed", "x"],
        ["--source-region", "eu-west-1", "--sample", "1%", "--transform", "json:loads", "--rekeys"],
        ["--format", "xml"],
    ],
)
def test_usage_errors_exit_with_2_and_say_what_to_do(engine, arguments):
    made = engine()
    ended = cli(*arguments)
    assert ended.exit_code == 2
    assert "Error: " in ended.stderr
    assert ended.stdout == ""
    assert not made.calls


def test_tables_whose_keys_differ_are_refused(engine, tmp_path, monkeypatch):
    made = engine()
    monkeypatch.setattr("ddbverify.tables.table.describe_pair", describe_pair)
    projects.write_spec(
        tmp_path,
        tables={
            "orders-v2": {
                "AttributeDefinitions": [{"AttributeName": "other", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}],
            }
        },
    )
    ended = cli()
    assert ended.exit_code == 2
    assert "the keys differ: id (S) in the source, other (S) in the target" in ended.stderr
    assert not made.calls


PROGRAM = """
import sys, pathlib, time
from tests.ddbverify import projects
from tests.ddbverify.diff.test_diff import Engine, missing
folder = pathlib.Path(sys.argv[1])
projects.write_spec(folder)
projects.stand_in(folder)
from ddbverify.compare import runner
from ddbverify.cli import main
runner.compare = Engine(*{steps}).compare
main(["diff", "orders", "orders-v2", "--format", "jsonl", "--out", str(folder / "out")])
"""


def child(folder, steps):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(steps=steps), str(folder)],
        cwd=projects.REPOSITORY,
        env={"PYTHONPATH": str(projects.REPOSITORY), "AWS_DEFAULT_REGION": "eu-west-1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_reader_that_goes_away_ends_the_command_cleanly(tmp_path):
    """``diff ... | head -1``: no traceback, not 0, and the file holds what was printed."""
    with child(tmp_path, "(missing(str(number)) for number in range(100_000))") as running:
        first = running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == 1
    assert said == ""
    lines = (tmp_path / "out" / "findings.jsonl").read_text().splitlines()
    assert lines[0] + "\n" == first
    assert all(json.loads(line)["finding"] == "missing" for line in lines)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["reasons"] == ["standard output was closed"]
    assert summary["missing"] == len(lines) < 100_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_with_a_summary(tmp_path, number):
    with child(tmp_path, '[missing("a"), lambda: time.sleep(60)]') as running:
        assert json.loads(running.stdout.readline())["finding"] == "missing"
        running.send_signal(number)
        out, said = running.communicate()
    assert (running.returncode, said) == (1, "")
    assert json.loads(out)["summary"]["reasons"] == ["it was interrupted"]


def test_a_killed_run_leaves_what_it_had_found(tmp_path):
    with child(tmp_path, '[missing("a"), lambda: time.sleep(60)]') as running:
        first = running.stdout.readline()
        running.kill()
    assert running.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "findings.jsonl").read_text() == first
    assert not (tmp_path / "out" / "summary.json").exists()


# --- going on -------------------------------------------------------------------------------


def test_a_resumed_run_goes_on_and_lists_each_finding_once(engine, tmp_path):
    """The engine hands on all findings again; one of before that has converged is gone."""
    engine(missing("a"), missing("gone"), KeyboardInterrupt())
    out = tmp_path / "out"
    assert run(tmp_path, out=out).exit_code == 1
    (out / "checkpoint").write_text("the engine's own")

    said = []
    made = engine(missing("a"), missing("c"))
    result = run(tmp_path, out=out, resume=True, said=said)
    assert made.calls[0]["checkpoint"] == out / "checkpoint"
    assert said == []
    assert result.summary["complete"] is True
    assert [one["key"]["id"]["S"] for one in result.shown] == ["a", "c"]
    assert [cause.findings for cause in result.causes.most_common()] == [2]
    lines = (out / "findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"]["id"]["S"] for line in lines] == ["a", "c"]
    assert not (out / "checkpoint").exists()


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def no_space_for(name):
    def write(path, content):
        return no_space() if path.name == name else write_atomically(path, content)

    return write


@pytest.mark.parametrize("output_format", ["text", "jsonl"])
@pytest.mark.parametrize(("found", "exit_code"), [((missing("a"),), 1), ((), 3)])
def test_a_full_disk_at_the_end_costs_no_report(
    engine, tmp_path, monkeypatch, output_format, found, exit_code
):
    engine(*found)
    monkeypatch.setattr("ddbverify.diff.folder.write_atomically", no_space_for("summary.json"))

    done = cli("--out", "out", "--quiet", "--format", output_format)

    assert done.exit_code == exit_code  # never 0: the folder does not say that the tables are equal
    last = done.stdout.splitlines()[-1]
    said = json.loads(last)["summary"]["verdict"] if output_format == "jsonl" else last.partition(":")[0]
    assert said == ("different" if found else "equal")
    assert "Error: The summary cannot be written to out: No space left on device." in done.stderr
    assert "--resume" in done.stderr


def test_a_full_disk_at_the_end_of_a_resumed_run_costs_no_report_either(engine, tmp_path, monkeypatch):
    engine(missing("a"), missing("gone"), KeyboardInterrupt())
    out = tmp_path / "out"
    run(tmp_path, out=out)
    (out / "checkpoint").write_text("the engine's own")
    engine(missing("a"))
    monkeypatch.setattr("shutil.copyfileobj", no_space)

    result = run(tmp_path, out=out, resume=True)

    assert (result.exit_code, result.summary["missing"]) == (1, 1)
    assert "still in" in result.unwritten.message
    assert (out / "checkpoint").exists()


def test_without_a_checkpoint_it_starts_again_and_says_so(engine, tmp_path):
    engine(missing("a"), missing("gone"), KeyboardInterrupt())
    run(tmp_path, out=tmp_path / "out")
    said = []
    engine(missing("a"))
    result = run(tmp_path, out=tmp_path / "out", resume=True, said=said)
    assert "starts from the beginning" in said[0]
    assert [one["key"]["id"]["S"] for one in result.shown] == ["a"]


def test_a_resumed_sample_draws_the_same_segments(engine, tmp_path):
    options = replace(OPTIONS, sample="50%", segments=10)
    first = engine(KeyboardInterrupt())
    run(tmp_path, out=tmp_path / "out", options=options)
    again = engine()
    run(tmp_path, out=tmp_path / "out", options=options, resume=True)
    assert first.calls[0]["seed"] is not None
    assert again.calls[0]["seed"] == first.calls[0]["seed"]


def test_without_a_folder_there_is_no_checkpoint(engine, tmp_path):
    made = engine()
    run(tmp_path)
    assert made.calls[0]["checkpoint"] is None


def test_the_folder_keeps_how_it_went_without_keys_and_goes_on_when_resumed(engine, tmp_path):
    counts = {State.MATCHED: 3}
    engine(Progress("scan", 1, 2, 5, 5, 10.0, counts=counts), missing("secret"), KeyboardInterrupt())
    run(tmp_path, out=tmp_path / "out")
    with (tmp_path / "out" / "events.jsonl").open("a") as file:
        file.write('{"event": "pa')  # killed
    engine(Progress("scan", 2, 2, 9, 9, 20.0), missing("secret"))
    run(tmp_path, out=tmp_path / "out", resume=True)

    log = events.read(tmp_path / "out" / "events.jsonl")
    assert log is not None
    assert log.damage == ""
    assert [type(line).__name__ for line in log.lines] == ["Begun", "Event", "Event", "Judged"] * 2
    assert log.lines[0].of == "diff"
    assert log.events[0].counts == {"matched": 3}
    assert log.events[0].usd > 0
    assert [line.verdict for line in log.lines if isinstance(line, events.Judged)] == [
        "different",
        "different",
    ]
    assert "secret" not in (tmp_path / "out" / "events.jsonl").read_text()


def test_a_large_comparison_without_a_folder_is_worth_a_word(engine, tmp_path):
    projects.write_spec(tmp_path, tables={"orders": {"TableSizeBytes": 5 * 10**9, "ItemCount": 10**7}})
    engine()
    said = []
    run(tmp_path, said=said)
    assert "With --out it could be resumed" in said[0]
    assert not [one for one in said if "--out" not in one]


# --- an early end ---------------------------------------------------------------------------


def test_it_ends_after_so_many_differences_with_their_causes(engine, tmp_path):
    undecided = Difference(state=State.UNDECIDED, key={"id": {"S": "u"}}, reason="throttled")
    engine(undecided, *(missing(str(number)) for number in range(100)))
    result = run(tmp_path, max_differences=7)

    assert (result.summary["missing"], result.summary["undecided"]) == (7, 1)
    assert (result.summary["verdict"], result.summary["complete"]) == ("different", False)
    assert result.exit_code == 1
    (reason,) = result.summary["reasons"]
    assert reason.startswith("7 differences were found, and --max-differences asks for no more.")
    assert {"finding": "missing", "cause": "not in the target", "findings": 7} in result.summary["causes"]


def test_with_fewer_differences_it_comes_to_its_end(engine, tmp_path):
    engine(missing("a"), missing("b"))
    result = run(tmp_path, max_differences=3)

    assert (result.summary["missing"], result.summary["finished"]) == (2, True)


def test_no_differences_at_most_is_refused():
    assert cli("--max-differences", "0").exit_code == 2
