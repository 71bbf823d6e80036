"""Plugins: only what is allowed is imported, what does not fit is refused, what takes part is named."""

from __future__ import annotations

import ast
import importlib
import json
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, PluginError
from ddbverify.plugins import hookspecs
from ddbverify.plugins import loading as plugins
from ddbverify.plugins.asking import Asker, Implementation
from ddbverify.plugins.fitting import HOOKS
from ddbverify.plugins.loading import Plugins
from tests.ddbverify.distributions import install

TOML = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'
VETO = "def ddbverify_gate_veto(evidence):\n    return None\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]
    importlib.invalidate_caches()


def config_of(folder, *names):
    listed = json.dumps(list(names))
    return parse(f"{TOML}\n[verification]\nplugins = {listed}\n", folder)


def loaded(folder, *names):
    return Plugins.of(config_of(folder, *names), folder / "checks")


def test_only_what_is_listed_is_imported(site, tmp_path):
    install(site, "shop-rules", VETO)
    install(site, "surprise", "raise SystemExit('imported')")

    made = loaded(tmp_path, "shop-rules")

    (record,) = made.records
    assert (record.name, record.origin, record.version) == ("shop-rules", "entry-point", "1.0")
    assert record.hooks == ("ddbverify_gate_veto",)
    assert "surprise" not in sys.modules


def test_one_that_is_listed_and_missing_is_refused(site, tmp_path):
    with pytest.raises(ConfigurationError, match="no plugin 'shop-rules' is installed"):
        loaded(tmp_path, "shop-rules")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise KeyError('x')", "does not load: KeyError"),
        ("import sys; sys.exit(0)", "does not load: SystemExit"),
        ("def helper(): pass", "implements no hook"),
        (
            "def ddbverify_compare_value(path): pass",
            "ddbverify_compare_value(path) is no hook; the hook is "
            "ddbverify_compare_values(table_name, path, expected, target)",
        ),
        (
            "def ddbverify_report(evidenc, folder): pass",
            "ddbverify_report(evidenc, folder) asks for evidenc, which nobody gives; the hook is "
            "ddbverify_report(evidence, folder)",
        ),
        (
            "from ddbverify import hookimpl\n@hookimpl(specname='ddbverify_veto')\ndef veto(): pass",
            "ddbverify_veto() is no hook; the hook is ddbverify_gate_veto(evidence, folder)",
        ),
        ("def ddbverify_report(evidence=None): pass", "has evidence=None, and only plain arguments"),
        ("def ddbverify_report(*evidence): pass", "has *evidence, and only plain arguments"),
        ("async def ddbverify_report(evidence): pass", "is asynchronous"),
        ("class ddbverify_report: pass", "is no function"),
        (
            "from ddbverify import hookimpl\n@hookimpl(wrapper=True)\n"
            "def ddbverify_gate_veto(evidence):\n    yield\n    return None",
            "is a wrapper",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(site, tmp_path, source, says):
    install(site, "odd-one", source)

    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, "odd-one")

    assert refused.value.message.startswith("The plugin odd-one")
    assert says in refused.value.message
    assert "\n" not in refused.value.message


def test_a_class_is_no_plugin_and_an_object_is(site, tmp_path):
    source = (
        "class Rules:\n    def ddbverify_gate_veto(self, evidence):\n        return 'no'\nrules = Rules()\n"
    )
    install(site, "a-class", source, entry="a_class:Rules")
    install(site, "an-object", source, entry="an_object:rules")

    with pytest.raises(ConfigurationError, match="is a class"):
        loaded(tmp_path, "a-class")
    assert loaded(tmp_path, "an-object").vetoes(b"{}", tmp_path) == ["The plugin an-object says: no"]


def test_two_of_one_name_are_refused(site, tmp_path):
    install(site, "shop", VETO)
    install(site, "shop", VETO, entry="another", distribution="other-shop")
    with pytest.raises(ConfigurationError, match="Two installed plugins have the name shop"):
        plugins.entry_points()


def test_a_digest_is_of_the_code_and_of_what_it_offers(site, tmp_path):
    helper = install(site, "helper", "def ddbverify_gate_veto(evidence):\n    return None\n")
    module = install(site, "shop", "from helper import ddbverify_gate_veto\n")
    made = loaded(tmp_path, "shop")
    first = made.records

    assert made.records == first
    for file in (module, helper):  # also where the function only comes from
        file.write_text(file.read_text() + "# changed\n")
        assert made.records != first
        first = made.records


def test_check_files_are_named_and_bound(site, tmp_path):
    check = tmp_path / "check_orders.py"
    check.write_text("def check_orders(pair): pass\n")
    install(
        site,
        "shop",
        f"from pathlib import Path\ndef ddbverify_check_files():\n    return [Path({str(check)!r})]\n",
    )
    made = loaded(tmp_path, "shop")

    (record,) = made.records
    assert record.check_files == ("check_orders.py",)
    check.write_text("def check_orders(pair): assert True\n")
    assert made.records[0].digest != record.digest


@pytest.mark.parametrize(
    "answer",
    [
        "'check_orders.py'",
        "['check_orders.py']",
        "[Path('check_missing.py')]",
        "[Path(__file__)]",
        "None",
        "1/0",
    ],
)
def test_files_that_are_no_check_files_are_refused(site, tmp_path, answer):
    install(site, "shop", f"from pathlib import Path\ndef ddbverify_check_files():\n    return {answer}\n")

    with pytest.raises(ConfigurationError, match=r"The plugin shop .* in ddbverify_check_files"):
        _ = loaded(tmp_path, "shop").records


def test_they_are_asked_in_the_order_of_the_list(site, tmp_path):
    for name in ("one", "two", "three"):
        install(site, name, f"def ddbverify_gate_veto(evidence):\n    return {name!r}\n")
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "conftest.py").write_text("def ddbverify_gate_veto(evidence):\n    return 'last'\n")

    made = Plugins.of(config_of(tmp_path, "two", "three", "one"), checks)

    asked = [one.plugin for one in made.implementations("ddbverify_gate_veto")]
    assert asked == ["two", "three", "one", "checks/conftest.py"]


def test_a_conftest_that_names_no_hook_is_not_run(tmp_path):
    (tmp_path / "conftest.py").write_text("raise RuntimeError('imported')")
    assert plugins.conftest_module(tmp_path) is None


def test_a_conftest_finds_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_conftest.py").write_text("REASON = 'not today'\n")
    (tmp_path / "conftest.py").write_text(
        "import neighbour_of_conftest\ndef ddbverify_gate_veto():\n    return neighbour_of_conftest.REASON\n"
    )
    made = Plugins.of(config_of(tmp_path), tmp_path)
    assert made.vetoes(b"{}", tmp_path) == ["The plugin conftest.py says: not today"]
    assert made.records[0].origin == "conftest"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 'not on a Friday'", "The plugin shop says: not on a Friday"),
        ("raise ValueError('SENTINEL')", "The plugin shop raised ValueError in ddbverify_gate_veto."),
        ("raise SystemExit(0)", "The plugin shop raised SystemExit in ddbverify_gate_veto."),
        ("return ''", "gave a text of 0 characters"),
        ("return 'a\\nb'", "gave a text of 3 characters"),
        ("return 'x' * 201", "gave a text of 201 characters"),
        ("return True", "gave a bool"),
        ("return False", "gave a bool"),
        ("evidence.clear(); return None", None),
    ],
)
def test_whatever_a_veto_does_but_return_none_closes(site, tmp_path, body, says):
    install(site, "shop", f"def ddbverify_gate_veto(evidence):\n    {body}\n")
    install(site, "other", "def ddbverify_gate_veto(evidence):\n    return None if evidence else 'emptied'\n")

    vetoes = loaded(tmp_path, "shop", "other").vetoes(b'{"verdict": "passed"}', tmp_path)

    assert len(vetoes) == (says is not None)
    assert says is None or says in vetoes[0]
    assert "SENTINEL" not in "".join(vetoes)


def test_one_that_does_not_come_back_is_given_up_for_good_and_spoils_no_other():
    let_go = threading.Event()
    asker = Asker(seconds=0.05)
    hanging = Implementation("slow", "ddbverify_report", let_go.wait, ())
    sound = Implementation("quick", "ddbverify_report", lambda: 7, ())
    try:
        with pytest.raises(
            PluginError, match=r"plugin slow did not answer within 0\.05 s in ddbverify_report"
        ):
            asker(hanging, hanging)
        assert asker(sound, sound) == 7
        with pytest.raises(PluginError, match="did not answer"):  # at once: it is not asked again
            asker(Implementation("slow", "ddbverify_report", lambda: 7, ()), lambda: 7)
    finally:
        let_go.set()


def test_the_command_lists_what_is_installed(site, tmp_path):
    install(site, "shop-rules", VETO)
    install(site, "surprise", "raise SystemExit('imported')", version="2.5")
    (tmp_path / "migration.toml").write_text(f'{TOML}\n[verification]\nplugins = ["shop-rules"]\n')
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "conftest.py").write_text(VETO)
    file = str(tmp_path / "migration.toml")

    done = CliRunner().invoke(main, ["plugins", "--config", file, "--json"])

    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    assert {name: row["allowed"] for name, row in rows.items()} == {
        "shop-rules": True,
        "checks/conftest.py": True,
        "surprise": False,
    }
    assert rows["shop-rules"]["hooks"] == ["ddbverify_gate_veto"]
    assert (rows["surprise"]["hooks"], rows["surprise"]["version"]) == (None, "2.5")
    text = CliRunner().invoke(main, ["plugins", "--config", file]).stdout
    assert "gate_veto" in text
    assert "not loaded" in text


def test_the_command_refuses_with_2(site, tmp_path):
    (tmp_path / "migration.toml").write_text(f'{TOML}\n[verification]\nplugins = ["gone"]\n')
    done = CliRunner().invoke(main, ["plugins", "--config", str(tmp_path / "migration.toml")])
    assert done.exit_code == 2
    assert "no plugin 'gone' is installed" in done.stderr


def test_every_hook_has_a_finished_docstring():
    tree = ast.parse(Path(hookspecs.__file__).read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            assert node.name in HOOKS
            text = ast.get_docstring(node) or ""
            arguments = [argument.arg for argument in node.args.args]
            assert not [name for name in arguments if f"{name}: " not in text], node.name
