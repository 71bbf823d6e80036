"""What a suite defines is read from its files, and nothing of it is run."""

from __future__ import annotations

from ddbverify.suite.definitions import check_functions


def test_a_check_cannot_hide_behind_a_condition(tmp_path):
    (tmp_path / "check_a.py").write_text(
        "import os\nif os.environ.get('NEVER'):\n    def check_a(pair): pass\n"
        "try:\n    with open('x') as f:\n        def check_b(): pass\nexcept OSError:\n"
        "    for _ in ():\n        def check_c(pair): pass\n"
        "class Group:\n    def check_d(self): pass\ndef helper():\n    def check_e(): pass\n"
    )

    assert check_functions(tmp_path) == {
        "check_a.py::check_a": True,
        "check_a.py::check_b": False,
        "check_a.py::check_c": True,
    }
