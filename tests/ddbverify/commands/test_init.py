"""``ddbverify init`` writes what is missing, changes nothing that is there, and what it writes works."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddbverify import config
from ddbverify.cli import main
from ddbverify.commands.starter import Answers, migration_toml
from ddbverify.config import Cutover, Gate, Side
from ddbverify.evidence import folders
from ddbverify.names import MIGRATION_NAME
from ddbverify.suite.definitions import check_functions

ROOT = Path(__file__).parents[3]
SUITE = sorted(file.name for file in folders.default_suite().glob("check_*.py"))


@pytest.fixture
def init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: CliRunner().invoke(main, ["init", *arguments], **more)


def test_a_folder_is_made_ready_for_a_first_run(tmp_path, init):
    done = init("--source", "orders", "--target", "orders-v2", "--source-region", "eu-west-1")

    assert done.exit_code == 0, done.output
    loaded = config.load(tmp_path / "migration.toml")
    (pair,) = loaded.tables
    assert (loaded.name, pair.source, pair.target) == ("orders", "orders", "orders-v2")
    assert (loaded.source, loaded.target, loaded.replication) == (Side(region="eu-west-1"), Side(), None)
    assert sorted(file.name for file in (tmp_path / "checks").iterdir()) == sorted([*SUITE, "check_mine.py"])
    assert check_functions(tmp_path / "checks") == check_functions(folders.default_suite())
    assert (tmp_path / ".gitignore").read_text() == ".ddbverify/\n"
    assert "ddbverify run" in done.output


def test_nothing_that_is_there_is_changed(tmp_path, init):
    (tmp_path / "checks").mkdir()
    mine = {
        "checks/check_keys.py": "# mine\n",
        "checks/check_mine.py": "# mine, too\n",
        "migration.toml": "# not even valid\n",
    }
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".gitignore").write_text("*.pyc")

    done = init("--json")

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    assert said["differing"] == ["checks/check_keys.py"]
    assert set(said["kept"]) == mine.keys()
    assert set(said["written"]) == {*(f"checks/{name}" for name in SUITE), ".gitignore"} - mine.keys()
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\n.ddbverify/\n"
    again = json.loads(init("--json").stdout)
    assert again["written"] == []
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\n.ddbverify/\n"


def test_a_copy_of_an_older_suite_is_named(tmp_path, init):
    init("--source", "orders", "--target", "orders-v2")
    (tmp_path / "checks" / "check_keys.py").write_text("# of an older version\n")

    done = init()

    assert "kept   checks/check_keys.py, which is not the one of this version" in done.output
    (tmp_path / "checks" / "check_keys.py").unlink()
    assert "wrote  checks/check_keys.py" in init().output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--source is missing"),
        (("--source", "orders"), "--target is missing"),
        (("--source", "orders", "--target", "orders"), "the same table"),
        (("--source", "no table!", "--target", "orders"), "neither a table name nor a table ARN"),
        (("--source", "orders", "--target", "orders-v2", "--transform", "x"), "module:function"),
        (("--source", 'o"r\nders', "--target", "orders-v2"), "neither a table name nor a table ARN"),
    ],
)
def test_what_makes_no_migration_is_refused_and_nothing_is_written(tmp_path, init, arguments, said):
    done = init(*arguments)

    assert done.exit_code == 2
    assert said in done.output
    assert list(tmp_path.iterdir()) == []


def test_options_that_would_be_lost_are_refused(tmp_path, init):
    (tmp_path / "migration.toml").write_text("")

    done = init("--target-region", "eu-west-1")

    assert done.exit_code == 2
    assert "not changed" in done.output


def test_an_unwritable_folder_is_an_error_in_words(tmp_path, init):
    (tmp_path / "checks").write_text("a file")

    done = init("--source", "orders", "--target", "orders-v2")

    assert done.exit_code == 2
    assert "cannot be written" in done.output


def test_on_a_terminal_the_tables_are_asked_for(tmp_path, init, monkeypatch):
    monkeypatch.setattr("ddbverify.commands.init._is_a_terminal", lambda: True)

    done = init(input="orders\norders-v2\n")

    assert done.exit_code == 0, done.output
    assert config.load(tmp_path / "migration.toml").tables[0].target == "orders-v2"


def test_an_emulator_is_allowed_where_one_is_named(tmp_path, init):
    init("--source", "orders", "--target", "v2-orders", "--source-endpoint-url", "http://localhost:8000")

    loaded = config.load(tmp_path / "migration.toml")
    assert loaded.gate.emulator
    assert loaded.source.endpoint_url == "http://localhost:8000"


_NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=3, max_size=255)


@given(_NAMES, _NAMES, st.none() | st.text(), st.none() | st.text())
def test_whatever_the_names_the_file_is_valid(source, target, profile, region):
    side = Side(profile=profile, region=region)
    if source == target:
        return
    text = migration_toml(Answers(source=source, target=target, source_side=side))

    loaded = config.parse(text, folders.default_suite())

    assert MIGRATION_NAME.fullmatch(loaded.name)
    assert loaded.tables[0].source == source
    assert loaded.source == side


def test_every_example_in_the_comments_is_one_that_is_accepted(tmp_path):
    text = migration_toml(Answers(source="orders", target="orders-v2"))
    loaded = config.parse(re.sub(r"(?m)^# (?=\[|\w+ = )", "", text), tmp_path)

    assert loaded.gate == Gate(emulator=True)
    assert loaded.tables[0].accept == ("pitr", "tags.*")
    assert loaded.verification.settle == 60
    # The rest are the defaults.
    assert loaded.cutover == Cutover(pointer="ssm:/orders/table", before_flip="./agree.sh", way_back="7d")


@pytest.mark.parametrize(
    "section",
    ["tables", "replication", "stack", "verification", "checks", "gate", "metrics", "notify", "cutover"],
)
def test_the_file_names_every_setting_of_the_reference(section):
    """A setting that was added since was in no file that anybody had begun with."""
    reference = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    told = re.split(rf"## `\[+{section}\]+`", reference)[1].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (`[^|]+) \|", told)
    text = migration_toml(Answers(source="orders", target="orders-v2"))
    made = re.split(r"(?m)^(?:# )?\[", text.partition(f"[{section}]")[2])[0]

    assert set(re.findall(r"(?m)^(?:# )?(\w+) = ", made)) == set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_keys_of_the_cutover_can_be_added_at_the_end(tmp_path, init):
    init("--source", "orders", "--target", "orders-v2")
    with (tmp_path / "migration.toml").open("a") as file:
        file.write('pointer = "ssm:/shop/table"\n')

    assert config.load(tmp_path / "migration.toml").cutover.pointer == "ssm:/shop/table"


def test_the_examples_of_check_mine_are_checks(tmp_path, init):
    init("--source", "orders", "--target", "orders-v2")
    file = tmp_path / "checks" / "check_mine.py"
    lines = file.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# from"))
    code = [line[2:] for line in lines[start:] if line.startswith(("# from", "# @", "# def", "#     "))]
    (tmp_path / "checks" / "check_mine.py").write_text("\n".join(code))

    assert len(check_functions(tmp_path / "checks")) == len(check_functions(folders.default_suite())) + 2
    exec(compile("\n".join(code), "check_mine.py", "exec"), {})
