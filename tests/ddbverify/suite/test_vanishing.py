"""What of a suite looks like a check and is not run, found by reading; runs in earnest are in runs/."""

from __future__ import annotations

from textwrap import dedent

import pytest

from ddbverify.suite.vanishing import Collected, vanished

CHECK = "def check_a(pair):\n    assert pair.comparison\n"


class Suite:
    """Files of a suite, and what of them is said to be collected."""

    def __init__(self, folder):
        self.folder = folder
        self.collected = Collected()

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
        return file

    def runs(self, name, *functions, lines=()):
        """What pytest has collected: by name, and where the functions begin."""
        file = (self.folder / name).resolve()
        self.collected.names |= {(file, function) for function in functions}
        self.collected.lines |= {(file, line) for line in lines}

    @property
    def lost(self):
        """Places, without what is said of them."""
        return [one.partition(" ")[0] for one in vanished(self.folder.resolve(), self.collected)]


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "checks"
    folder.mkdir()
    return Suite(folder)


@pytest.mark.parametrize(
    "around",
    [
        "if True:\n    {}",
        "try:\n    {}\nexcept ValueError:\n    pass",
        "try:\n    pass\nexcept ValueError:\n    {}",
        "try:\n    {}\nexcept* ValueError:\n    pass",
        "try:\n    pass\nexcept* ValueError:\n    {}",
        "for _ in range(1):\n    {}",
        "with open('x'):\n    {}",
        "match 1:\n    case 1:\n        {}",
        "while True:\n    try:\n        {}\n    finally:\n        break",
    ],
)
def test_a_check_is_seen_wherever_it_stands_in_a_file(suite, around):
    suite.write("check_a.py", CHECK + around.format("def checks_b(pair): assert pair.target") + "\n")
    suite.runs("check_a.py", "check_a", lines=[1])

    assert suite.lost == ["check_a.py::checks_b"]


@pytest.mark.parametrize("star", ["", "*"])
def test_of_two_branches_one_is_run(suite, star):
    text = f"try:\n    {{0}}\nexcept{star} ImportError:\n    {{0}}\n"
    suite.write("check_a.py", text.format(CHECK.replace("\n", " ").strip()))
    suite.runs("check_a.py", "check_a", lines=[2, 4])

    assert suite.lost == []
