"""What a suite defines is read from its files, and nothing of it is run."""

from __future__ import annotations

import pytest

from ddbverify.errors import ConfigurationError
from ddbverify.suite.definitions import Definition, check_functions


def test_a_check_cannot_hide_behind_a_condition(tmp_path):
    (tmp_path / "check_a.py").write_text(
        "import os\nif os.environ.get('NEVER'):\n    def check_a(pair): pass\n"
        "try:\n    with open('x') as f:\n        def check_b(): pass\nexcept OSError:\n"
        "    for _ in ():\n        def check_c(pair): pass\n"
        "class Group:\n    def check_d(self): pass\ndef helper():\n    def check_e(): pass\n"
    )

    assert check_functions(tmp_path) == {
        "check_a.py::check_a": Definition(of_a_pair=True),
        "check_a.py::check_b": Definition(of_a_pair=False),
        "check_a.py::check_c": Definition(of_a_pair=True),
    }


def test_checks_behind_links_are_checks_and_no_link_goes_round(tmp_path):
    folder, shared = tmp_path / "checks", tmp_path / "shared"
    (shared / "deep").mkdir(parents=True)
    (folder / "own" / "deep").mkdir(parents=True)
    for file in (shared / "deep" / "check_a.py", folder / "own" / "deep" / "check_b.py"):
        file.write_text("def check_it(pair): pass\n")
    (folder / "team").symlink_to(shared)
    (folder / "again").symlink_to(folder / "own" / "deep")
    (shared / "round").symlink_to(folder)

    assert set(check_functions(folder)) == {
        "team/deep/check_a.py::check_it",
        "own/deep/check_b.py::check_it",
        "again/check_b.py::check_it",
    }


@pytest.mark.parametrize(
    "text",
    [
        "@check(tables=['orders', 'films'])\ndef check_a(pair): pass\n",
        "@ddbverify.check(severity='warn', tables=('orders', 'films'))\ndef check_a(pair): pass\n",
        "@each_item(tables=['orders', 'films'])\ndef check_a(target): pass\n",
        "@pytest.mark.ddb_check(tables=['orders', 'films'])\ndef check_a(pair): pass\n",
        "pytestmark = pytest.mark.ddb_check(tables=['orders', 'films'])\ndef check_a(pair): pass\n",
        "pytestmark = [pytest.mark.ddb_check(tables=['orders', 'films'])]\ndef check_a(pair): pass\n",
    ],
)
def test_the_tables_of_a_check_are_read_from_its_text(tmp_path, text):
    (tmp_path / "check_a.py").write_text(text)

    assert check_functions(tmp_path) == {"check_a.py::check_a": Definition(True, ("orders", "films"))}


def test_tables_that_are_not_written_out_are_refused(tmp_path):
    (tmp_path / "check_a.py").write_text("@check(tables=NAMES)\ndef check_a(pair): pass\n")

    with pytest.raises(ConfigurationError, match=r"line 1: the tables of a check are not written"):
        check_functions(tmp_path)
