"""No value that the user's code holds is shown or stored by a gated run, whichever way it comes out."""

from __future__ import annotations

import pytest

from ddbverify.runs import run as runs
from tests.ddbverify import projects

SPELT = list("SENTINEL-77aa")
TOKEN = "".join(SPELT)

CHECK = "def check_own(pair):\n    assert pair.comparison.examined\n"

WAYS = {
    "an import that fails": ("check_own.py", "raise ImportError(token)"),
    "text that is no python": ("check_own.py", "compile(token + ' x', token, 'exec')"),
    "an import of what is not there": ("check_own.py", "__import__(token)"),
    "an import of a conftest": ("conftest.py", "raise ValueError(token)"),
    "a hook at the beginning": ("conftest.py", "def pytest_configure(): raise ValueError(token)"),
    "a hook that leaves at the beginning": ("conftest.py", "def pytest_configure(): pytest.exit(token)"),
    "a hook of the collection": (
        "conftest.py",
        "def pytest_collection_modifyitems(): raise ValueError(token)",
    ),
    "a usage error": ("conftest.py", "def pytest_collection_modifyitems(): raise pytest.UsageError(token)"),
    "a hook of reports": ("conftest.py", "def pytest_runtest_logreport(): raise ValueError(token)"),
    "a hook that leaves": ("conftest.py", "def pytest_runtest_logreport(): pytest.exit(token)"),
    "a hook of ours": ("conftest.py", "raise ValueError(token)\ndef ddbverify_gate_veto(evidence): pass"),
    "a check that leaves": ("check_own.py", CHECK + "    pytest.exit(token)"),
    "an exception group": ("check_own.py", CHECK + "    raise ExceptionGroup(token, [ValueError(token)])"),
    "a mark that skips": ("check_own.py", "@pytest.mark.skip(reason=token)\n" + CHECK),
    "a mark that expects a failure": (
        "check_own.py",
        "@pytest.mark.xfail(reason=token)\n" + CHECK + "    assert False",
    ),
    "a skip at an import": ("check_own.py", "pytest.skip(token, allow_module_level=True)"),
    "a skip at the import of a test": ("test_own.py", "import unittest\nraise unittest.SkipTest(token)"),
    "an import that is skipped": ("check_own.py", "pytest.importorskip('nowhere', reason=token)"),
    "a note of a skip": (
        "check_own.py",
        CHECK + "    e = pytest.skip.Exception('x'); e.add_note(token); e.value = token; raise e",
    ),
    "a note of a failure": (
        "check_own.py",
        CHECK + "    e = pytest.fail.Exception('x'); e.add_note(token); e.value = token; raise e",
    ),
    "a note of a skip at an import": (
        "check_own.py",
        "e = pytest.skip.Exception('x', allow_module_level=True); e.add_note(token); raise e",
    ),
    "a note": ("check_own.py", CHECK + "    e = ValueError(token); e.add_note(token); raise e"),
    "a cause": ("check_own.py", CHECK + "    raise ValueError(1) from KeyError(token)"),
    "an exit handler": ("check_own.py", CHECK + "    import atexit; atexit.register(print, token)"),
    "a late thread": (
        "check_own.py",
        CHECK + "    import threading, os\n    write = lambda: os.write(2, token.encode())\n"
        "    [threading.Timer(n / 50, write).start() for n in range(100)]",
    ),
    "a finalizer": (
        "check_own.py",
        CHECK + "    global kept\n    import weakref\n    kept = type('K', (), {})()\n"
        "    weakref.finalize(kept, print, token)",
    ),
    "a print in a hook": ("conftest.py", "def pytest_runtest_logreport(): print(token)"),
    "a parameter": (
        "check_own.py",
        f"@pytest.mark.parametrize('value', [token])\n{CHECK}".replace("(pair", "(pair, value"),
    ),
    "an id": (
        "check_own.py",
        f"@pytest.mark.parametrize('value', [1], ids=[token])\n{CHECK}".replace("(pair", "(pair, value"),
    ),
    "a parameter of a fixture": (
        "check_own.py",
        f"@pytest.fixture(params=[token])\ndef value(request): return request.param\n\n{CHECK}".replace(
            "(pair", "(pair, value"
        ),
    ),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    return projects.runnable(tmp_path, monkeypatch, default_suite=False)


@pytest.mark.parametrize("way", WAYS)
def test_no_value_is_shown_or_stored(project, capfd, way):
    name, text = WAYS[way]
    file = project.parent / "checks" / name
    (project.parent / "checks" / "check_own.py").write_text(CHECK)
    before = file.read_text() if name == "conftest.py" else ""
    file.write_text(f"{before}import pytest\ntoken = ''.join({SPELT!r})\n{text}\n")

    try:
        said = str(runs.run(project, extra=["-rA", "-v"]).evidence)
    except Exception as error:
        said = f"{error} {error.__cause__}"

    written = capfd.readouterr()
    stored = {
        path.name
        for path in project.parent.rglob("*")
        if path.is_file() and TOKEN in path.read_text(errors="replace")
    }
    assert TOKEN not in written.out + written.err + said
    assert stored == set()


def test_what_pytest_and_we_say_is_seen(project, capfd):
    (project.parent / "checks" / "check_own.py").write_text("import nowhere_to_be_found\n\n\n" + CHECK)
    runs.run(project)
    assert (
        "ModuleNotFoundError at check_own.py:1: import nowhere_to_be_found: No module named"
        in capfd.readouterr().out
    )

    (project.parent / "checks" / "check_own.py").write_text("def check_own(pair:\n")
    runs.run(project)
    assert (
        "SyntaxError outside check_own.py: '(' was never closed (check_own.py, line 1)"
        in capfd.readouterr().out
    )

    (project.parent / "checks" / "check_own.py").write_text(CHECK)
    runs.run(project, extra=["checks/check_nowhere.py"])
    assert "ERROR: file or directory not found: checks/check_nowhere.py" in capfd.readouterr().err


def test_parameters_are_numbered(project):
    (project.parent / "checks" / "check_own.py").write_text(
        "import pytest\n@pytest.mark.parametrize(('a', 'b'), [(1, 2), (3, 4)])\n"
        "@pytest.mark.parametrize('c', 'xy')\n" + CHECK.replace("(pair", "(pair, a, b, c")
    )

    result = runs.run(project)

    pair = result.evidence.pairs[0].id
    assert [check.id.partition("[")[2] for check in result.evidence.checks] == [
        f"{pair}-c{c}-a{a}-b{a}]" for c in (0, 1) for a in (0, 1)
    ]
