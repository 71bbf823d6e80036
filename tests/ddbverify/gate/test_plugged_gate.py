"""No plugin opens a gate: what it decided stands in the evidence, and its absence closes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.compare.comparison import EqualBy, KnownKeys
from ddbverify.config import load
from ddbverify.evidence.folders import checks_folder
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.gate import gate
from ddbverify.plugins.loading import PluginRecord, Plugins
from ddbverify.reports import ci, summary
from tests.ddbverify import projects
from tests.ddbverify.judged import NOW, good_evidence, leave

replace = msgspec.structs.replace
TODAY = datetime.fromtimestamp(NOW, UTC).date()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose tables and pipeline are as they should be."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = projects.make_project(tmp_path)
    projects.stand_in(tmp_path, monkeypatch)
    return file


def with_hooks(file, source):
    """Hooks in ``checks/conftest.py``, and the evidence of a run that they took part in."""
    conftest = file.parent / "checks" / "conftest.py"
    conftest.write_text(source)
    config = load(file)
    return good_evidence(config, extensions=Plugins.of(config, checks_folder(config)).records)


def judged(file):
    decision = gate.judge(load(file), now=NOW)
    return decision, {reason.code for reason in decision.reasons}


def test_a_plugin_that_has_no_objection_keeps_it_open(project):
    leave(load(project), with_hooks(project, "def ddbverify_gate_veto():\n    return None\n"))
    decision, _ = judged(project)
    assert decision.reasons == ()
    assert decision.open


@pytest.mark.parametrize("body", ["return 'not today'", "raise ValueError('x')", "return 7", "return ''"])
def test_a_veto_closes_with_3_and_so_does_one_that_cannot_be_asked(project, body):
    leave(load(project), with_hooks(project, f"def ddbverify_gate_veto(evidence, folder):\n    {body}\n"))
    decision, codes = judged(project)
    assert (decision.exit_code, codes) == (3, {"veto"})


def test_a_veto_sees_the_evidence_and_cannot_change_it(project):
    source = """\
def ddbverify_gate_veto(evidence, folder):
    if evidence["verdict"] != "passed" or not (folder / "evidence.json").exists():
        return "not what was signed"
    evidence["verdict"] = "failed"
"""
    leave(load(project), with_hooks(project, source))
    decision, _ = judged(project)
    assert decision.open
    assert decision.evidence.verdict == "passed"


def record(**changes):
    made = PluginRecord(name="shop", origin="entry-point", digest="0" * 64, hooks=("ddbverify_report",))
    return replace(made, **changes)


def test_evidence_of_other_plugins_is_not_this_one(project):
    hooks = "def ddbverify_report(evidence):\n    pass\n"
    found = with_hooks(project, hooks)
    (mine,) = found.extensions
    altered = {
        "gone": (),
        "one more": (mine, record()),
        "another digest": (replace(mine, digest="0" * 64),),
        "another name": (replace(mine, name="other"),),
        "another version": (replace(mine, version="2"),),
        "other hooks": (replace(mine, hooks=("ddbverify_gate_veto",)),),
        "other files": (replace(mine, check_files=("check_x.py",)),),
        "another origin": (replace(mine, origin="entry-point"),),
    }
    for what, extensions in altered.items():
        leave(load(project), replace(found, extensions=extensions))
        decision, codes = judged(project)
        assert "changed" in codes, what
        assert decision.exit_code == 5


def test_a_hook_that_was_not_there_closes(project):
    leave(load(project), good_evidence(load(project)))
    (project.parent / "checks" / "conftest.py").write_text("def ddbverify_report(evidence):\n    pass\n")
    messages = [reason.message for reason in judged(project)[0].reasons]
    assert any("a plugin, or the set of them" in message for message in messages)


KNOWN = KnownKeys(plugin="checks/conftest.py", reason="SHOP-1", expires=TODAY, keys=2)


def with_known(file, *known, counts=None):
    found = with_hooks(file, "def ddbverify_known_difference(difference):\n    return None\n")
    pair = found.pairs[0]
    total = sum(one.keys for one in known)
    counts = {"matched": 3, "known": total} if counts is None else counts
    read = replace(pair.comparison, known=known, counts=counts, examined=sum(counts.values()))
    leave(load(file), replace(found, pairs=(replace(pair, comparison=read),)))


def test_what_is_known_opens_until_its_last_day_and_is_shown(project, monkeypatch):
    with_known(project, KNOWN)
    decision, _ = judged(project)
    assert decision.open
    assert decision.as_json()["known"] == [
        {"plugin": "checks/conftest.py", "reason": "SHOP-1", "expires": TODAY.isoformat(), "keys": 2}
    ]
    monkeypatch.setattr("ddbverify.tables.table.server_time", lambda *_: NOW)
    done = CliRunner().invoke(main, ["gate", "--config", str(project)])
    assert done.exit_code == 0
    assert "known: 2 keys, accepted by checks/conftest.py until" in done.output
    assert "known: 2 keys" in ci.gate_markdown(decision)


def test_what_was_known_until_yesterday_closes(project):
    with_known(project, replace(KNOWN, expires=TODAY - timedelta(days=1)))
    decision, codes = judged(project)
    assert (decision.exit_code, codes) == (1, {"known"})


@pytest.mark.parametrize(
    "alter",
    [
        lambda read: replace(read, known=()),
        lambda read: replace(read, known=(replace(KNOWN, keys=1),)),
        lambda read: replace(read, known=(replace(KNOWN, plugin="nobody"),)),
        lambda read: replace(read, equal_by=(EqualBy(plugin="nobody", hook="x", keys=1),)),
        lambda read: replace(read, equal_by=(EqualBy(plugin=KNOWN.plugin, hook="x", keys=4),)),
    ],
)
def test_evidence_that_hides_what_a_plugin_decided_contradicts_itself(project, alter):
    with_known(project, KNOWN)
    found = judged(project)[0].evidence
    pair = found.pairs[0]
    leave(load(project), replace(found, pairs=(replace(pair, comparison=alter(pair.comparison)),)))
    decision, codes = judged(project)
    assert "contradiction" in codes
    assert decision.exit_code == 5


BRINGS = """\
from pathlib import Path
def ddbverify_check_files():
    return [Path(__file__).parents[1] / "brought" / "check_keys.py"]
"""


def with_a_check(file, name, body="pass"):
    brought = file.parent / "brought"
    brought.mkdir(exist_ok=True)
    (brought / "check_keys.py").write_text(f"def {name}(pair):\n    {body}\n")
    return with_hooks(file, BRINGS)


def run_of(found, name):
    pair = found.pairs[0].id
    return CheckRecord(id=f"{name}[{pair}]", name=name, pair=pair, state=CheckState.PASSED, examined=3)


def test_a_check_that_a_plugin_brings_is_required(project):
    found = with_a_check(project, "check_brought")
    leave(load(project), found)
    assert judged(project)[1] == {"missing"}

    checks = (*found.checks, run_of(found, "checks/conftest.py:check_keys.py::check_brought"))
    leave(load(project), replace(found, checks=checks))
    assert judged(project)[0].open


def test_a_check_that_a_plugin_brings_does_not_stand_in_for_the_users(project):
    """It has the same file and function, and passes; the user's own is gone."""
    name = "check_no_key_is_in_the_target_only"
    project.write_text(projects.TOML + f'\n[gate]\nrequired = ["check_keys.py::{name}", "{name}"]\n')
    (project.parent / "checks" / "check_keys.py").unlink()
    found = with_a_check(project, name)
    checks = (*found.checks, run_of(found, f"checks/conftest.py:check_keys.py::{name}"))
    leave(load(project), replace(found, checks=checks))
    decision, codes = judged(project)
    assert codes == {"missing"}
    assert len(decision.reasons) == 2


def test_checks_of_plugins_alone_are_no_checks(project):
    for file in (project.parent / "checks").glob("check_*.py"):
        file.unlink()
    found = with_a_check(project, "check_brought")
    checks = (run_of(found, "checks/conftest.py:check_keys.py::check_brought"),)
    leave(load(project), replace(found, checks=checks))
    assert "missing" in judged(project)[1]


def test_the_summary_says_what_a_pass_owes_to_plugins_and_to_time_alone(project):
    with_known(project, KNOWN)
    found = judged(project)[0].evidence
    pair = found.pairs[0]
    notes = ("2 differences were decided by the settle time of 60 s alone",)
    pair = replace(pair, comparison=replace(pair.comparison, notes=notes))
    text = summary.markdown(replace(found, pairs=(pair,))).replace("\\", "")
    assert f"known: 2 keys, accepted by checks/conftest.py until {TODAY}: SHOP-1" in text
    assert notes[0] in text


def test_what_a_plugin_prints_is_not_the_commands_answer(project, monkeypatch):
    hooks = "print('loaded')\ndef ddbverify_gate_veto():\n    print('asked')\n"
    leave(load(project), with_hooks(project, hooks))
    monkeypatch.setattr("ddbverify.tables.table.server_time", lambda *_: NOW)
    done = CliRunner().invoke(main, ["gate", "--json", "--config", str(project)])
    assert json.loads(done.stdout)["open"] is True
    assert "loaded" in done.stderr
    assert "asked" in done.stderr
