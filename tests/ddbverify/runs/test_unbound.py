"""What decides in a run is compiled from the texts, and read from the files, that its evidence is about."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import zipfile
from pathlib import Path

import pytest

from ddbverify.config import load
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from tests.ddbverify import projects

STRICT = "def is_right(count):\n    return count < 1\n"
WEAKER = "def is_right(count):\n    return count < 9\n"
CHECK = """\
from rules import is_right


def check_own(pair):
    assert is_right(pair.comparison.examined - 3)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    return projects.runnable(tmp_path, monkeypatch)


def plant_bytecode(file: Path, weaker: str, cached: Path | None = None) -> None:
    """Beside *file*, bytecode of another text of the same size and time."""
    strict = file.read_text()
    assert len(strict) == len(weaker)
    seen = file.stat()
    file.write_text(weaker)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    place = cached or Path(importlib.util.cache_from_source(str(file)))
    place.parent.mkdir(exist_ok=True)
    py_compile.compile(str(file), cfile=str(place))
    file.write_text(strict)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def said(result) -> str:
    return " ".join(result.evidence.shortcomings)


# --- compiled from the text -------------------------------------------------------------------


def test_bytecode_beside_a_check_is_never_read(project):
    check = project.parent / "checks" / "check_own.py"
    check.write_text("def check_own(pair):\n    assert pair.comparison.examined < 1\n")
    plant_bytecode(check, "def check_own(pair):\n    assert pair.comparison.examined < 9\n")

    assert runs.run(project).exit_code == 1


def test_bytecode_beside_what_a_check_imports_is_never_read(project):
    (project.parent / "checks" / "check_own.py").write_text(CHECK.replace("- 3", "- 0"))
    rules = project.parent / "rules.py"
    rules.write_text(STRICT)
    plant_bytecode(rules, WEAKER)

    assert runs.run(project).exit_code == 1


@pytest.mark.full
def test_bytecode_beside_a_conftest_is_never_read(project):
    conftest = project.parent / "checks" / "conftest.py"
    allowed = "\n\ndef ddbverify_gate_veto(evidence, folder):\n    return 'vetoed'\n"
    refused = "\n\ndef ddbverify_gate_veto(evidence, folder):\n    return None    \n"
    conftest.write_text(projects.CONFTEST + allowed)
    plant_bytecode(conftest, projects.CONFTEST + refused)
    assert runs.run(project).evidence.verdict == "passed"

    assert [reason.code for reason in gate.judge(load(project)).reasons] == ["veto"]


@pytest.mark.full
def test_a_helper_that_is_there_as_bytecode_only_is_not_imported(project):
    (project.parent / "checks" / "check_own.py").write_text(CHECK)
    rules = project.parent / "checks" / "rules.py"
    rules.write_text(STRICT)
    plant_bytecode(rules, WEAKER, cached=rules.with_suffix(".pyc"))
    rules.unlink()

    result = runs.run(project)

    assert result.exit_code == 3
    assert not result.evidence.complete


def test_the_digest_is_of_the_text_that_was_compiled(project):
    """A file that is another one for the moment of its import, and itself again before the run ends."""
    (project.parent / "rules.py").write_text(STRICT)
    (project.parent / "checks" / "check_own.py").write_text(
        "from pathlib import Path\n\n"
        "file = Path(__file__).parents[1] / 'rules.py'\n"
        f"file.write_text({WEAKER!r})\n"
        "from rules import is_right\n\n"
        f"file.write_text({STRICT!r})\n\n\n"
        "def check_own(pair):\n    assert is_right(pair.comparison.examined)\n"
    )

    result = runs.run(project)

    assert result.exit_code == 3
    assert "rules.py was changed while the checks were being loaded" in said(result)


# --- what is imported -------------------------------------------------------------------------


def test_what_a_check_imports_from_outside_its_folder_is_bound(project):
    (project.parent / "checks" / "check_own.py").write_text(CHECK)
    (project.parent / "rules.py").write_text(STRICT)
    assert runs.run(project).exit_code == 0
    assert gate.judge(load(project)).open

    (project.parent / "rules.py").write_text(WEAKER)

    assert [reason.code for reason in gate.judge(load(project)).reasons] == ["changed"]


def test_an_archive_that_a_check_imports_from_is_bound(project):
    with zipfile.ZipFile(project.parent / "lib.zip", "w") as archive:
        archive.writestr("rules.py", STRICT)
    path = "import sys\n\nsys.path.insert(0, 'lib.zip')\n"
    (project.parent / "checks" / "check_own.py").write_text(path + CHECK)

    result = runs.run(project)

    assert (result.exit_code, said(result)) == (0, "")
    with zipfile.ZipFile(project.parent / "lib.zip", "w") as archive:
        archive.writestr("rules.py", WEAKER)
    assert [reason.code for reason in gate.judge(load(project)).reasons] == ["changed"]


def test_an_import_that_nobody_could_foresee_closes_the_gate(project):
    body = "import importlib, os\n    assert importlib.import_module(os.environ['RULES']).is_right(0)"
    (project.parent / "checks" / "check_own.py").write_text(
        f"def check_own(pair):\n    assert pair.comparison\n    {body}\n"
    )
    (project.parent / "rules.py").write_text(STRICT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RULES", "rules")
        result = runs.run(project)

    assert result.exit_code == 3
    assert [fact.value for fact in result.evidence.facts if fact.name == "unbound"] == [("rules.py",)]


# --- what is read -----------------------------------------------------------------------------

READING = {
    "open": "open('limits.json').read()",
    "a path": "__import__('pathlib').Path('limits.json').read_bytes()",
    "a descriptor": "__import__('os').read(__import__('os').open('limits.json', 0), 9)",
    "code": "exec(open('limits.json').read())",
    "a thread": "__import__('multiprocessing.pool').pool.ThreadPool(1).apply(open, ['limits.json'])",
    "lines for a traceback": "__import__('linecache').getlines('limits.json')",
    "a database": "__import__('sqlite3').connect('file:limits.json?mode=ro', uri=True)",
}


def reading(how: str, when: str) -> str:
    if when == "loaded":
        return f"{READING[how]}\n\n\ndef check_own(pair):\n    assert pair.comparison.examined\n"
    return f"def check_own(pair):\n    assert pair.comparison.examined\n    {READING[how]}\n"


@pytest.mark.parametrize(("how", "when"), [*((how, "called") for how in READING), ("a path", "loaded")])
def test_a_file_that_a_check_reads_and_nobody_lists_closes_the_gate(project, how, when):
    (project.parent / "limits.json").write_text("3")
    (project.parent / "checks" / "check_own.py").write_text(reading(how, when))

    result = runs.run(project)

    assert result.exit_code == 3
    assert "read limits.json, which no digest is over: name it in [checks] files" in said(result)
    assert [fact.value for fact in result.evidence.facts if fact.name == "unbound"] == [("limits.json",)]
    assert "incomplete" in {reason.code for reason in gate.judge(load(project)).reasons}


def test_a_file_that_is_listed_may_be_read_and_is_bound(project):
    (project.parent / "limits.json").write_text("3")
    (project.parent / "checks" / "check_own.py").write_text(reading("open", "called"))
    project.write_text(projects.TOML + '[checks]\nfiles = ["limits.json"]\n')

    assert runs.run(project).exit_code == 0
    assert gate.judge(load(project)).open
    (project.parent / "limits.json").write_text("9")
    assert [reason.code for reason in gate.judge(load(project)).reasons] == ["changed"]


def test_what_hypothesis_keeps_decides_nothing(project):
    (project.parent / "checks" / "check_own.py").write_text(
        "from hypothesis import given, strategies as st\n\n\n"
        "@given(st.integers())\ndef holds(n):\n    assert n == n\n\n\n"
        "def check_own(pair):\n    holds()\n    assert pair.comparison.examined\n"
    )
    runs.run(project)
    assert any((project.parent / ".hypothesis").rglob("*"))

    result = runs.run(project)

    assert (result.exit_code, said(result)) == (0, "")


def test_what_decides_nothing_may_be_read(project):
    (project.parent / ".git").mkdir()
    (project.parent / ".git" / "HEAD").write_text("x")
    harmless = (
        "open(__file__).read()",  # in the checks folder, and therefore bound
        "open('made.txt', 'w').write('x'); open('made.txt').read()",  # by the check itself
        "import os; os.replace('made.txt', 'moved.txt'); open('moved.txt').read()",
        "import traceback; traceback.format_stack()",
        "import json; open(json.__file__).read()",
        "open('.git/HEAD').read()",
        "import tempfile; tempfile.TemporaryFile().read()",
    )
    (project.parent / "checks" / "check_own.py").write_text(
        "def check_own(pair):\n    assert pair.comparison.examined\n    " + "\n    ".join(harmless) + "\n"
    )

    result = runs.run(project)

    assert (result.exit_code, said(result)) == (0, "")
