"""The table of docs/evidence.md, "what somebody could do, what happens": every row is done, and happens."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys

import msgspec
import pytest

from ddbverify.config import load
from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence import envelope, evidence, folders, signing
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.gate.superseded import newest
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.runs import run as runs
from tests.ddbverify import projects
from tests.ddbverify.evidence.test_cutover import made as made_cutover
from tests.ddbverify.gate.test_gate import EMULATED, _at, _check
from tests.ddbverify.judged import ENDED, NOW, good_evidence, leave, run_id
from tests.ddbverify.keys import ed25519_key

replace = msgspec.structs.replace

ALL = "['missing', 'extraneous', 'added', 'removed', 'value', 'type']"
LOOKS_AT_ALL = "require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT))"
ONE_MISSING = {"counts": {"matched": 2, "missing": 1}}
OPENS = {"opens"}


class World:
    """A project with a run that passed (evidence made up and signed), and all that can be done to it."""

    def __init__(self, folder, monkeypatch):
        self.monkeypatch, self.folder = monkeypatch, folder
        self.file = projects.runnable(folder, monkeypatch)
        self.key = signing.signing_key(self.config)

    @property
    def config(self):
        return load(self.file)

    def settings(self, text):
        self.file.write_text(projects.TOML + text)

    # evidence that is made up

    def passed(self, **changes):
        return leave(self.config, good_evidence(self.config, **changes))

    def failed_later(self):
        found = good_evidence(self.config)
        found = replace(found, **_at(ENDED + 100)(found))
        return leave(self.config, replace(found, **_check(CheckState.FAILED)(found)))

    def point_latest(self, run):
        folders.point_latest(self.config, run)

    # a run in earnest

    def only_check(self, body, marks=""):
        for file in (self.folder / "checks").glob("check_*.py"):
            file.unlink()
        (self.folder / "checks" / "check_own.py").write_text(
            "import pytest\nfrom ddbverify import State, check, require\n"
            f"{marks}\ndef check_own(pair):\n    {body}\n"
        )

    def run(self, *extra, coverage=None, **spec):
        if spec:
            projects.write_spec(self.folder, **spec)
        return runs.run(self.file, extra=extra, coverage=coverage)

    def codes(self, folder=None, *, now=None):
        """What the gate says; *now* is that of evidence that is made up."""
        decision = gate.judge(self.config, folder, now=now)
        assert decision.open is (not decision.reasons)
        return {reason.code for reason in decision.reasons} or OPENS


# --- somebody in a hurry -------------------------------------------------------------------------


def name_an_earlier_folder(world):
    earlier = world.passed()
    world.failed_later()
    return world.codes(earlier, now=NOW)


def use_old_evidence(world):
    world.passed()
    return world.codes(now=NOW + 3600)


def read_a_sample(world):
    world.run(coverage="10%", segments=[1, 1, 10])
    return world.codes()


def leave_checks_out(world):
    world.run("-k", "counts")
    return world.codes()


def skip_a_check(world):
    world.only_check(LOOKS_AT_ALL, "@pytest.mark.skip")
    world.run()
    return world.codes()


def run_nothing(world):
    world.run("--version")
    return world.codes()


def kill_the_run(world):
    world.only_check("import time; open('pid', 'w').close(); time.sleep(600)")
    program = (
        "import sys; from pathlib import Path; from tests.ddbverify import projects\n"
        "from ddbverify.runs import run; projects.stand_in(Path(sys.argv[1]))\n"
        "run._identity = lambda _: None\n"
        "run.run(Path(sys.argv[1]) / 'migration.toml')"
    )
    started = subprocess.Popen([sys.executable, "-c", program, str(world.folder)], stdout=subprocess.DEVNULL)
    while not (world.folder / "pid").exists():
        assert started.poll() is None
    started.send_signal(signal.SIGKILL)
    started.wait()
    return world.codes()


def make_a_table_anew(world):
    world.passed()
    projects.write_spec(world.folder, tables={"orders-v2": {"TableId": "anew"}})
    return world.codes(now=NOW)


def change_a_check_after_the_run(world):
    world.passed()
    (world.folder / "checks" / "check_counts.py").write_text("def check_nothing(): pass\n")
    return world.codes(now=NOW)


def change_what_is_compared_after_the_run(world):
    world.passed()
    world.settings('ignore = ["price"]\n')
    return world.codes(now=NOW)


def judge_an_emulators_evidence(world):
    world.passed(**EMULATED)
    return world.codes(now=NOW)


# --- somebody who writes checks ------------------------------------------------------------------


def delete_the_checks_that_would_see_it(world):
    world.only_check("assert pair.comparison.examined")
    world.run(**ONE_MISSING)
    return world.codes()


def let_them_warn_only(world):
    world.only_check(LOOKS_AT_ALL, f"@check(severity='warn', covers={ALL})")
    with (world.folder / "checks" / "check_own.py").open("a") as file:
        file.write("def check_other(pair):\n    assert pair.comparison.examined\n")
    world.run(**ONE_MISSING)
    return world.codes()


def require_others_only(world):
    world.only_check(LOOKS_AT_ALL, f"@check(covers={ALL}, tolerate=1)")
    with (world.folder / "checks" / "check_own.py").open("a") as file:
        file.write("def check_other(pair):\n    assert pair.comparison.examined\n")
    world.settings('[gate]\nrequired = ["check_other"]\n')
    world.run(**ONE_MISSING)
    return world.codes()


def claim_what_it_does_not_notice(world):
    world.only_check("assert pair.comparison.examined", f"@check(covers={ALL})")
    world.run(**ONE_MISSING)
    return world.codes()


def claim_one_attribute(world):
    different = {"state": "different", "key": {"id": {"S": "1"}}, "paths": ["total: value"]}
    world.only_check("require(pair.verdict(State.DIFFERENT))", "@check(covers=['value:n'], tolerate=1)")
    world.run(counts={"matched": 2, "different": 1}, differences=[different])
    return world.codes()


def tolerate_it(world):
    world.only_check(LOOKS_AT_ALL, f"@check(covers={ALL}, tolerate=1)")
    world.run(**ONE_MISSING)
    return world.codes()


def let_a_sample_be_enough(world):
    world.only_check(LOOKS_AT_ALL, f"@check(covers={ALL}, coverage='sample')")
    world.settings('[verification]\ncoverage = "10%"\n')
    world.run(segments=[1, 1, 10])
    return world.codes()


def end_the_gate_from_conftest(world):
    world.passed()
    conftest = world.folder / "checks" / "conftest.py"
    conftest.write_text("import os\n\ndef ddbverify_gate_veto():\n    os._exit(0)\n")
    command = [sys.executable, "-m", "ddbverify", "gate", "--json", "--config", str(world.file)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.stdout  # so that `"open": true` is not in it
    return OPENS if done.returncode == 0 else {"closed"}


def change_the_program_from_conftest(world):
    with (world.folder / "checks" / "conftest.py").open("a") as file:
        file.write(
            "from ddbverify.compare import runner\n"
            "def compare(config, pair, request, listeners):\n"
            "    import time\n"
            "    return projects.comparison(pair.id, started_epoch=time.time())\n"
            "runner.compare = compare\n"
        )
    world.run(**ONE_MISSING)
    return world.codes()


def change_it_for_the_run_only(world):
    conftest = world.folder / "checks" / "conftest.py"
    honest = conftest.read_text()
    codes = change_the_program_from_conftest(world)
    assert codes == OPENS
    conftest.write_text(honest)
    return world.codes()


# --- somebody who can write where runs are kept --------------------------------------------------


def change_a_byte(world):
    file = world.passed() / folders.EVIDENCE
    file.write_bytes(file.read_bytes().replace(b"sig", b"sIg", 1))
    return world.codes(now=NOW)


def copy_older_evidence_over_it(world):
    earlier, later = world.passed(), world.failed_later()
    shutil.copy(earlier / folders.EVIDENCE, later)
    return world.codes(now=NOW)


def copy_older_evidence_over_it_elsewhere(world):
    earlier = world.passed()
    later = folders.make_run_folder(world.config, run_id(ENDED + 100), world.folder.parent / "out")
    shutil.copy(earlier / folders.EVIDENCE, later)
    return world.codes(now=NOW)


def swap_two_folders(world):
    earlier, later = world.passed(), world.failed_later()
    aside = earlier.with_name("aside")
    earlier.rename(aside)
    later.rename(earlier)
    aside.rename(later)
    return world.codes(now=NOW)


def point_latest_back(world):
    earlier, _ = world.passed(), world.failed_later()
    world.point_latest(earlier)
    return world.codes(now=NOW)


def delete_evidence_of_a_later_run(world):
    earlier, later = world.passed(), world.failed_later()
    (later / folders.EVIDENCE).unlink()
    world.point_latest(earlier)
    return world.codes(now=NOW)


def let_a_later_run_look_earlier(world):
    earlier, later = world.passed(), world.failed_later()
    (later / folders.EVIDENCE).unlink()
    later.rename(later.with_name(run_id(ENDED - 10_000)))
    world.point_latest(earlier)
    return world.codes(now=NOW)


def delete_every_trace_of_a_later_run(world):
    earlier, later = world.passed(), world.failed_later()
    shutil.rmtree(later)
    world.point_latest(earlier)
    return world.codes(now=NOW)


def delete_every_trace_after_it_was_noted(world):
    earlier, later = world.passed(), world.failed_later()
    health = PipelineHealth(exists=True, newest_run=newest(world.config))
    world.monkeypatch.setattr("ddbverify.pipeline.health.health", lambda *_, **__: health)
    shutil.rmtree(later)
    world.point_latest(earlier)
    return world.codes(now=NOW)


def leave_one_out_of_a_row(world):
    world.settings("[gate]\nclean_runs = 2\n")
    world.passed()
    between = world.failed_later()
    found = good_evidence(world.config)
    leave(world.config, replace(found, **_at(ENDED + 200)(found)))
    shutil.rmtree(between)
    return world.codes(now=NOW)


def a_row_with_a_failed_run_in_it(world, hide):
    world.settings("[gate]\nclean_runs = 2\n")
    hide(world.passed(), world.failed_later())
    found = good_evidence(world.config)
    leave(world.config, replace(found, **_at(ENDED + 200)(found)))
    return world.codes(now=NOW)


def point_latest_back_before_the_next_one(world):
    return a_row_with_a_failed_run_in_it(world, lambda earlier, _: world.point_latest(earlier))


def copy_older_evidence_over_it_before_the_next_one(world):
    return a_row_with_a_failed_run_in_it(
        world, lambda earlier, between: shutil.copy(earlier / folders.EVIDENCE, between)
    )


def delete_every_trace_before_the_next_one(world):
    def hide(earlier, between):
        shutil.rmtree(between)
        world.point_latest(earlier)

    return a_row_with_a_failed_run_in_it(world, hide)


# --- somebody with a key --------------------------------------------------------------------------


def sign_with_a_key_of_their_own(world):
    folder = world.passed()
    content = evidence.encode(good_evidence(world.config, run_id=folder.name), ed25519_key(9))
    (folder / folders.EVIDENCE).write_bytes(content)
    return world.codes(now=NOW)


def sign_another_document(world):
    folder = world.passed()
    payload = msgspec.json.encode(made_cutover(world.config))
    (folder / folders.EVIDENCE).write_bytes(envelope.seal(payload, envelope.CUTOVER, world.key))
    assert cutover_evidence.decode((folder / folders.EVIDENCE).read_bytes(), (world.key.public,))
    return world.codes(now=NOW)


def sign_a_run_that_never_was(world):
    projects.write_spec(world.folder, **ONE_MISSING)
    leave(world.config, good_evidence(world.config, run_id=run_id()))
    return world.codes(now=NOW)


# --- somebody who can change settings, programs, tables ------------------------------------------


def change_the_gates_settings(world):
    folder, key = world.passed(), ed25519_key(9)
    found = good_evidence(world.config, run_id=folder.name, **EMULATED)
    (folder / folders.EVIDENCE).write_bytes(evidence.encode(found, key))
    world.settings(
        f'[gate]\nemulator = true\nmax_age = "1d"\ntrusted_keys = ["{key.public}"]\n'
        'required = ["check_counts.py::*"]\nunclaimed = ["missing", "extraneous", "different"]\n'
    )
    return world.codes(now=NOW + 3_000)


def leave_out_attributes_and_settings(world):
    world.settings('ignore = ["price"]\naccept = ["tags.*"]\n\n[checks]\nnot_checks = ["*"]\n')
    world.passed()
    return world.codes(now=NOW)


def change_installed_files_elsewhere(world):
    world.passed()
    world.monkeypatch.setattr("ddbverify.evidence.digests.program_digest", lambda: "0" * 64)
    return world.codes(now=NOW)


def change_installed_files_here(world):
    world.monkeypatch.setattr("ddbverify.evidence.digests.program_digest", lambda: "0" * 64)
    world.passed()
    return world.codes(now=NOW)


def change_what_python_loads(world):
    elsewhere = world.folder.parent / "site"
    elsewhere.mkdir()
    (elsewhere / "sitecustomize.py").write_text(
        "from tests.ddbverify import projects\n"
        "honest = projects.comparison\n"
        "projects.comparison = lambda pair, **spec: honest(pair, **spec | {'counts': {'matched': 3}})\n"
    )
    world.monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(elsewhere), str(projects.REPOSITORY)]))
    world.run(**ONE_MISSING)
    return world.codes()


def change_items_after_the_run(world):
    world.run()
    projects.write_spec(world.folder, **ONE_MISSING)
    return world.codes()


ROWS = {
    "Name the folder of an earlier run": name_an_earlier_folder,
    "Use evidence older than `max_age`, whatever this machine's clock says": use_old_evidence,
    "Read a sample": read_a_sample,
    "Leave checks out (`-- -k`, `-x`, `--deselect`)": leave_checks_out,
    "Skip a check, or expect it to fail": skip_a_check,
    "Give pytest an argument that runs nothing (`-- --version`)": run_nothing,
    "Kill the run": kill_the_run,
    "Delete a table and make it anew": make_a_table_anew,
    "Change or delete a check after the run": change_a_check_after_the_run,
    "Change what is compared (`ignore`, a transform, a table) after the run": (
        change_what_is_compared_after_the_run
    ),
    "Verify an emulator": judge_an_emulators_evidence,
    "Delete the checks that would see a difference": delete_the_checks_that_would_see_it,
    'Give them severity `"warn"`': let_them_warn_only,
    "Require others only (`[gate] required`)": require_others_only,
    "Let a check cover what it does not notice": claim_what_it_does_not_notice,
    "Let a check cover one attribute, where items differ in another": claim_one_attribute,
    "Let a check tolerate what it finds": tolerate_it,
    "Say of every check that a sample is enough for it, and read one (`coverage`)": let_a_sample_be_enough,
    "End the process of the run or of the gate with status 0, from a `conftest.py` with hooks or a plugin": (
        end_the_gate_from_conftest
    ),
    "Change ddbverify itself in the process of the checks, from a `conftest.py`": (
        change_the_program_from_conftest
    ),
    "Do that for the run, and put the file back for the gate": change_it_for_the_run_only,
    "Change a byte of the evidence": change_a_byte,
    "Copy older evidence into the folder of the last run": copy_older_evidence_over_it,
    "The same, where that folder lies elsewhere (`--out`)": copy_older_evidence_over_it_elsewhere,
    "Swap the folders of two runs": swap_two_folders,
    "Point `latest` at an earlier run": point_latest_back,
    "Delete the evidence of a later run": delete_evidence_of_a_later_run,
    "Delete the evidence of a later run, and give its folder the name of an earlier one": (
        let_a_later_run_look_earlier
    ),
    "Delete every trace of a later run": delete_every_trace_of_a_later_run,
    "The same, after `replicator audit` or `cutover` has noted that run": (
        delete_every_trace_after_it_was_noted
    ),
    "Delete a run out of a row (`clean_runs`)": leave_one_out_of_a_row,
    "Point `latest` at an earlier run before the next one of a row": point_latest_back_before_the_next_one,
    "Copy older evidence over the last before the next one of a row": (
        copy_older_evidence_over_it_before_the_next_one
    ),
    "Delete every trace of a run before the next one of a row": delete_every_trace_before_the_next_one,
    "Sign anything with a key of their own": sign_with_a_key_of_their_own,
    "Sign a document of another type with the key that is trusted": sign_another_document,
    "Sign evidence of a run that never was, with the key that is trusted": sign_a_run_that_never_was,
    "Name their own key, `emulator = true`, `unclaimed`, `required`, `max_age` in `[gate]`": (
        change_the_gates_settings
    ),
    "Leave out attributes (`ignore`), settings (`accept`) or what looks like a check (`not_checks`) before "
    "the run": leave_out_attributes_and_settings,
    "Change files of the installed ddbverify where the checks run, and not where the gate is asked": (
        change_installed_files_elsewhere
    ),
    "Change them in both places": change_installed_files_here,
    "Change anything else that Python loads there: another package, bytecode of ddbverify, `sitecustomize`": (
        change_what_python_loads
    ),
    "Change items after the run": change_items_after_the_run,
}

ELSEWHERE = {
    "Write `may_be_empty = true` under every pair": (
        "tests/ddbverify/runs/test_empty.py::test_a_set_with_an_empty_pair_opens_the_gate_and_shows_it"
    ),
    "Accept a difference, or call two values equal, by a [plugin's hook](plugins.md#the-hooks)": (
        "tests/ddbverify/gate/test_plugged_gate.py::test_what_is_known_opens_until_its_last_day_and_is_shown"
    ),
    "Let a transform make what the target happens to hold: leave an item out, go by a clock, the "
    "environment, the network, the name of a file, a file outside of the project or in `.git`": (
        "tests/ddbverify/compare/test_shortcut.py::test_a_function_that_goes_by_the_target_hides_what_differs"
    ),
    "Put bytecode beside these files (`__pycache__`)": (
        "tests/ddbverify/runs/test_unbound.py::test_bytecode_beside_a_check_is_never_read"
    ),
    "Change a module of yours that checks or a transform import": (
        "tests/ddbverify/runs/test_unbound.py::test_what_a_check_imports_from_outside_its_folder_is_bound"
    ),
    "Let a check or a transform read a file of the project that is listed nowhere": (
        "tests/ddbverify/runs/test_unbound.py::"
        "test_a_file_that_a_check_reads_and_nobody_lists_closes_the_gate"
    ),
}
"""Rows that are tried where the code is: text -> file::test."""


def table():
    """What somebody could do -> what happens, as the page has it."""
    text = (projects.REPOSITORY / "docs" / "evidence.md").read_text(encoding="utf-8")
    section = text.partition("## What somebody could do")[2].partition("\n## ")[0]
    rows = [row.strip("| ").rsplit(" | ", 2) for row in section.splitlines() if row.startswith("| ")]
    return {does.removeprefix("| "): happens for *_, does, happens in rows[1:]}


def test_every_row_of_the_page_is_tried_and_every_try_is_on_the_page():
    assert set(table()) == ROWS.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ROWS[row].__name__)
def test_what_the_page_says_happens(row, tmp_path, monkeypatch):
    happens = table()[row]
    folder = tmp_path / "project"
    folder.mkdir()

    codes = ROWS[row](World(folder, monkeypatch))

    if happens.startswith("**Opens"):
        assert codes == OPENS
    else:
        named = set(re.findall(r"`([a-z-]+)`", happens.partition(".")[0]))
        assert happens.startswith("Closed: ")
        assert set() < named <= codes


@pytest.mark.parametrize("place", ELSEWHERE.values())
def test_a_row_that_is_tried_elsewhere_names_a_test_that_is_there(place):
    file, _, name = place.partition("::")
    tree = ast.parse((projects.REPOSITORY / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
