"""What may reach the child of a gated run, and what may not."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from ddbverify.errors import AccessError, ConfigurationError
from ddbverify.runs import child, run
from tests.ddbverify import projects

TALKED_OPEN = {
    "PYTEST_ADDOPTS": "--co",
    "PYTEST_PLUGINS": "evil",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "",
    "PYTEST_DEBUG": "1",
    "PYTHONOPTIMIZE": "1",
    "PYTHONINSPECT": "1",
    "PYTHONBREAKPOINT": "evil",
    "PYTHONWARNINGS": "error",
}


def test_what_speaks_to_pytest_or_drops_assertions_is_not_inherited():
    kept = {"AWS_PROFILE": "ci", "PYTHONPATH": "/nix/store", "PATH": "/bin"}

    assert child.environment(TALKED_OPEN | kept) == kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def test_our_arguments_come_last():
    made = child.command(
        Path("/p/migration.toml"), Path("/p/run"), Path("/p/checks"), coverage="5%", extra=["-k", "keys"]
    )

    assert made[4:8] == ["-m", "pytest", "-k", "keys"]
    assert made[-1] == "/p/checks"
    assert "--ddb-sample=5%" in made


@pytest.mark.parametrize(
    "argument",
    [
        *("-p", "-pevil", "-c", "-cother.ini", "-o", "-oaddopts=--co", "--override-ini=addopts=--co"),
        *("-vo", "-vqxoaddopts=--co", "-xpevil", "-vc"),
        *("--config-file=other.ini", "--rootdir=/", "--confcutdir=/", "--noconftest", "--pyargs"),
        *("--assert=rewrite", "--assert", "--import-mode=append", "--junit-xml=x", "--junitxml=x"),
        *("--ddb-config=other.toml", "--ddb-sample=1%", "--ddb-record=x", "@arguments.txt"),
        *("--ignore=checks/check_items.py", "--ignore-glob=*"),
        *("--pastebin", "--pastebin=failed", "--basetemp=.", "--debug=orders.py", "--pdbcls=evil:Debugger"),
        *("elsewhere", "elsewhere/check_items.py::check_every_item_is_equal", "/", "."),
    ],
)
def test_an_argument_that_does_more_than_select_is_refused(tmp_path, argument):
    (tmp_path / "checks").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "check_items.py").write_text("def check_every_item_is_equal(pair): pass\n")

    with pytest.raises(ConfigurationError, match=r"gated run"):
        child.require_harmless(["-k", "keys", argument], tmp_path, (tmp_path / "checks").resolve())


@pytest.mark.parametrize(
    "extra", [["-k", "x", "orders"], ["-kx", "orders"], ["-k", "@orders"], ["-m", "--rootdir=orders"]]
)
def test_what_a_selecting_option_takes_is_one_argument_and_no_more(tmp_path, extra):
    (tmp_path / "orders").mkdir()

    with pytest.raises(ConfigurationError, match=r"gated run"):
        child.require_harmless(extra, tmp_path, (tmp_path / "checks").resolve())


@pytest.mark.parametrize(
    "extra",
    [
        *(
            ["-k", "keys and not counts"],
            ["-kcounts"],
            ["-x"],
            ["-vv"],
            ["-vxkcounts"],
            ["-rpo"],
            ["-m", "not slow"],
            ["--co"],
        ),
        *(["checks/check_a.py"], ["checks/check_a.py::check_b"], ["--maxfail=1"], ["--deselect=x::y"]),
        *(["-k", "orders"], ["-x", "-m", "orders"]),  # words, though a folder has the same name
    ],
)
def test_an_argument_that_selects_is_passed_on(tmp_path, extra):
    (tmp_path / "orders").mkdir()
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "check_a.py").write_text("")

    child.require_harmless(extra, tmp_path, checks.resolve())


def test_nothing_is_made_where_an_argument_is_refused(tmp_path, monkeypatch):
    file = projects.make_project(tmp_path)
    projects.stand_in(tmp_path, monkeypatch)

    with pytest.raises(ConfigurationError, match="other code"):
        run.run(file, extra=["-p", "evil"])

    assert not (tmp_path / ".ddbverify").exists()


def test_a_run_that_may_not_sign_ends_before_it_reads(tmp_path, monkeypatch):
    file = projects.make_project(tmp_path)
    projects.stand_in(tmp_path, monkeypatch)

    def refuse(self, message):
        raise AccessError("AWS refused to sign with the KMS key", "x")

    monkeypatch.setattr("ddbverify.evidence.signing.FileKey.sign", refuse)
    with pytest.raises(AccessError):
        run.run(file)

    assert projects.passes(tmp_path) == 0
    assert not (tmp_path / ".ddbverify" / "runs").exists()


def test_a_plain_assert_counts_whatever_python_was_told(tmp_path, monkeypatch):
    """PYTHONOPTIMIZE would drop it, and the check would pass."""
    file = projects.make_project(tmp_path, default_suite=False)
    (tmp_path / "checks" / "check_own.py").write_text("def check_own(pair):\n    assert not pair.id\n")
    projects.stand_in(tmp_path, monkeypatch)
    monkeypatch.setattr(run, "_identity", lambda side: None)
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")

    result = run.run(file)

    assert [(str(check.state), check.findings) for check in result.evidence.checks] == [("failed", 1)]


@pytest.mark.parametrize("name", ["pytest", "copy"])
def test_a_module_beside_the_settings_does_not_stand_for_pytest_or_one_of_python(tmp_path, monkeypatch, name):
    """No digest is over it: it could write the record, and be gone when the gate is asked."""
    file = projects.make_project(tmp_path, default_suite=False)
    (tmp_path / f"{name}.py").write_text("import os\n\nos._exit(0)\n")
    (tmp_path / "helpers.py").write_text("HOLDS = True\n")
    (tmp_path / "checks" / "check_own.py").write_text(
        "import helpers\n\n\ndef check_own(pair):\n    assert pair.source and helpers.HOLDS\n"
    )
    projects.stand_in(tmp_path, monkeypatch)
    monkeypatch.setattr(run, "_identity", lambda side: None)
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))

    assert [str(check.state) for check in run.run(file).evidence.checks] == ["passed"]


def test_bytecode_does_not_stand_for_a_source_that_says_otherwise(tmp_path, monkeypatch):
    """A .pyc of the unchecked kind would be run instead of the check that everybody has reviewed."""
    file = projects.make_project(tmp_path, default_suite=False)
    helper = tmp_path / "checks" / "reviewed.py"
    helper.write_text("HOLDS = True\n")
    compiled = py_compile.compile(
        str(helper), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert compiled
    helper.write_text("HOLDS = False\n")
    (tmp_path / "checks" / "check_own.py").write_text(
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\n"
        "import reviewed\n\n\ndef check_own(pair):\n    assert reviewed.HOLDS\n"
    )
    projects.stand_in(tmp_path, monkeypatch)
    monkeypatch.setattr(run, "_identity", lambda side: None)
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))

    assert [str(check.state) for check in run.run(file).evidence.checks] == ["failed"]


def test_checks_are_refused_where_python_drops_assertions(tmp_path):
    projects.make_project(tmp_path)
    done = subprocess.run(
        [sys.executable, "-O", "-m", "pytest", "-p", "ddbverify.pytest_plugin", "checks"],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(projects.REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 4
    assert "drops every `assert`" in done.stderr
