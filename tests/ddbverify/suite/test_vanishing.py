"""What of a suite looks like a check and is not run, found by reading; runs in earnest are in runs/."""

from __future__ import annotations

from pathlib import Path
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


LIB = "def made(name):\n    def check_it(pair):\n        assert pair.comparison, name\n    return check_it\n"
IMPORTS = "from lib import made\n"


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (IMPORTS + "check_b = made('b')\n", ["check_b.py::check_b"]),
        (IMPORTS + "check_b: object = made('b')\n", ["check_b.py::check_b"]),
        (
            IMPORTS + "check_b, check_c = made('b'), made('c')\n",
            ["check_b.py::check_b", "check_b.py::check_c"],
        ),
        (IMPORTS + "if made:\n    [check_b, *_] = [made('b')]\n", ["check_b.py::check_b"]),
        ("from lib import check_b\n", ["check_b.py::check_b"]),
        ("from lib import made as check_b\n", ["check_b.py::check_b"]),
        ("def check_b(rows):\n    assert rows\n", ["check_b.py::check_b"]),
        (CHECK.replace("check_a", "check_b"), ["check_b.py::check_b"]),
        ("from lib import *\n", ["check_b.py"]),
        (IMPORTS + "for name in 'bc':\n    globals()[f'check_{name}'] = made(name)\n", ["check_b.py"]),
        ("", []),
        ('"""What is planned."""\n', []),
    ],
)
def test_of_a_file_of_checks_that_pytest_leaves_out_every_check_is_missed(suite, text, lost):
    suite.write("lib.py", LIB)
    suite.write("check_a.py", IMPORTS + "check_a = made('a')\n")
    suite.write("check_b.py", text)
    suite.runs("check_a.py", "check_a")
    suite.runs("lib.py", lines=[2])

    assert suite.lost == lost
    suite.runs("check_b.py", "check_b", "check_c")
    assert suite.lost == []


def test_of_a_file_of_tests_that_skips_itself_only_what_may_be_a_check_is_missed(suite):
    suite.write("lib.py", LIB)
    suite.write("conftest.py", "from lib import made\n")
    ordinary = "from lib import test_data\n\ntest_names = ['a']\n\ndef test_it(rows):\n    assert rows\n"
    suite.write("test_a.py", ordinary)
    assert suite.lost == []

    suite.write("test_a.py", ordinary + "test_b = made('b')\n")
    assert suite.lost == ["test_a.py::test_b"]


def test_a_helper_may_be_called_as_a_file_of_checks(suite):
    suite.write("check_common.py", "LIMIT = 3\n\ndef same(pair):\n    return pair.comparison\n")
    suite.write("check_a.py", "from check_common import same\n\ndef check_a(pair):\n    assert same(pair)\n")
    suite.runs("check_a.py", "check_a", lines=[3])

    assert suite.lost == []


def test_a_check_from_a_factory_that_says_it_is_none_is_missed(suite):
    suite.write("lib.py", LIB)
    suite.write("check_a.py", IMPORTS + "check_a, check_b = made('a'), made('b')\ncheck_b.__test__ = False\n")
    suite.runs("check_a.py", "check_a")

    assert suite.lost == ["check_a.py::check_b"]


@pytest.mark.parametrize(
    ("text", "is_lost"),
    [
        ("check_a = made('a')\ncheck_a = made('b')\n", True),
        ("check_a: object = made('a')\ncheck_a: object = made('b')\n", True),
        ("check_a, check_b = made('a'), made('b')\ncheck_a = made('c')\n", True),
        ("check_a = made('a')\ndef check_a(pair):\n    assert pair\n", True),
        ("from lib import check_a\ncheck_a = made('b')\n", True),
        ("from lib import check_a\nfrom lib import check_a\n", False),
        ("check_a = made('a')\ncheck_a = print(check_a) or check_a\n", False),
        ("if made:\n    check_a = made('a')\nelse:\n    check_a = made('b')\n", False),
        ("check_a: object\ncheck_a = made('a')\n", False),
        ("check_a = None\ncheck_a = made('a')\n", False),
        ("check_names = ['a']\ncheck_names = ['a', 'b']\ncheck_a = made(check_names)\n", False),
        ("same = made('a')\nsame = made('b')\ncheck_a = same\n", False),
    ],
)
def test_a_name_that_gets_two_checks_loses_the_first(suite, text, is_lost):
    suite.write("lib.py", LIB)
    suite.write("check_a.py", IMPORTS + text)
    suite.runs("check_a.py", "check_a", "check_b")

    assert suite.lost == (["check_a.py::check_a"] if is_lost else [])


def test_a_check_inside_one_that_runs_is_missed(suite):
    suite.write("check_a.py", CHECK + "\n    def check_b(pair):\n        assert pair.target\n")
    suite.runs("check_a.py", "check_a", lines=[1])

    assert suite.lost == ["check_a.py::check_a.check_b"]


def test_a_method_beside_one_that_runs_is_missed_and_helpers_are_not(suite):
    suite.write(
        "test_a.py",
        """\
        import pytest
        class TestOrders:
            def __init_subclass__(cls, pair=None): ...
            @pytest.fixture
            def rows(self, pair): return pair.comparison
            def test_a(self, pair): assert self._same(pair)
            def _same(self, pair): return pair.comparison
            def check_b(self, pair): assert pair.target
            class TestInner:
                def test_c(self, pair): assert pair.target
                def tets_d(self, pair): assert pair.target
        """,
    )
    suite.runs("test_a.py", "test_a", "test_c", lines=[6, 10])

    assert suite.lost == ["test_a.py::TestOrders.check_b", "test_a.py::TestOrders.tets_d"]


def test_what_a_check_or_a_factory_defines_for_itself_is_used(suite):
    suite.write(
        "check_a.py",
        """\
        from ddbverify import each_item
        def check_a(pair):
            def same(pair): return pair.comparison
            assert same(pair)
        def made(name):
            @each_item
            def check_it(source, target): assert source == target
            def check_pair(pair): assert pair.comparison
            def check_left(pair): assert pair.target
            return check_it if name else check_pair
        check_b, check_c = made(""), made("c")
        """,
    )
    suite.runs("check_a.py", "check_a", "check_b", "check_c", lines=[2, 6, 8])

    assert suite.lost == ["check_a.py::made.check_left"]


def test_a_method_that_a_decorator_has_replaced_runs_under_its_name(suite):
    suite.write(
        "test_a.py",
        """\
        from lib import logged
        class TestOrders:
            def test_a(self, pair): assert pair.comparison
            @logged
            def test_b(self, pair): assert pair.comparison
        """,
    )
    suite.write("lib.py", "def logged(function):\n    return lambda self, pair: function(self, pair)\n")
    suite.runs("test_a.py", "test_a", "test_b", lines=[3])
    suite.runs("lib.py", lines=[2])

    assert suite.lost == []


def test_a_link_that_leads_nowhere_is_missed(suite, tmp_path):
    """Of a folder that is shared and was not checked out, say: nobody knows which checks it holds."""
    suite.write("check_a.py", CHECK)
    suite.runs("check_a.py", "check_a", lines=[1])
    (suite.folder / "check_b.py").symlink_to(tmp_path / "shared" / "check_b.py")
    (suite.folder / "team").symlink_to(tmp_path / "shared")
    (suite.folder / ".#check_a.py").symlink_to("somebody@machine.4711:1")  # Emacs is at it

    assert suite.lost == ["check_b.py", "team"]
    assert vanished(suite.folder.resolve(), suite.collected, ["check_b.py", "team"]) == []


def test_checks_behind_a_link_are_missed_by_the_name_of_the_link(suite, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "orders.py").write_text(CHECK.replace("check_a", "check_b"))
    (shared / "check_c.py").write_text(CHECK + "def chek_b(pair):\n    assert pair.target\n")
    suite.write("check_a.py", CHECK)
    suite.runs("check_a.py", "check_a", lines=[1])
    (suite.folder / "check_b.py").symlink_to(shared / "orders.py")
    (suite.folder / "team").symlink_to(shared)

    assert suite.lost == ["check_b.py::check_b", "team/check_c.py::check_a", "team/check_c.py::chek_b"]
    suite.runs("check_b.py", "check_b", lines=[1])
    suite.runs("team/check_c.py", "check_a", lines=[1])
    assert suite.lost == ["team/check_c.py::chek_b"]


def test_a_file_is_looked_up_once_however_many_pairs_its_checks_are_run_on(suite, monkeypatch):
    """To ask the system for each check of each pair cost more than all the rest of their collection."""
    file = suite.write("shared/orders.py", CHECK + "def check_b(pair):\n    assert pair.target\n").resolve()
    link = suite.folder / "check_a.py"
    link.symlink_to(file)
    asked, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: asked.append(path) or resolve(path))

    for name, line in [("check_a", 1), ("check_b", 3)] * 20:
        suite.collected.note(str(link), name, str(file), line)
    suite.collected.note(str(link), "check_of_no_code")

    assert sorted(asked) == sorted([link, file])
    assert suite.collected.names == {(file, name) for name in ("check_a", "check_b", "check_of_no_code")}
    assert suite.collected.lines == {(file, 1), (file, 3)}
    assert suite.collected.files == {file}
