"""A hash in a message leads to the key, on the machine that has the findings."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.commands.lookup import explain
from ddbverify.compare.inspection import Refutation
from ddbverify.errors import ConfigurationError
from ddbverify.evidence.findings import FindingsFile
from ddbverify.items.states import Difference, State

HASHES = ["5ba3000000000001", "5ba3000000000002", "77aa000000000003"]


@pytest.fixture
def home(tmp_path):
    """Two runs and a session, the hashes as above."""
    home = tmp_path / ".ddbverify"
    for age, (folder, hashes) in enumerate(
        (("runs/a", HASHES[:1]), ("runs/b", HASHES[1:2]), ("pytest/c", HASHES[2:]))
    ):
        (home / folder).mkdir(parents=True)
        with FindingsFile(home / folder / "findings.jsonl") as file:
            for key_hash in hashes:
                key = {"id": {"S": f"key-{key_hash[-1]}"}}
                paths = ("price: N -> S", "tags.\x1b[31m: value")
                file.write(
                    "orders", Difference(state=State.DIFFERENT, key=key, paths=paths), key_hash=key_hash
                )
                refutation = Refutation("check_x.py::check_it", key, "at check_x.py:3: assert a")
                file.write_refutation("orders", refutation, key_hash=key_hash)
        os.utime(home / folder / "findings.jsonl", (age, age))
    return home


def test_all_that_was_found_about_a_key_is_shown(home):
    found = explain("77AA0000", home)

    assert [one.line["finding"] for one in found] == ["different", "refuted"]
    assert found[0].text() == (
        'different: orders\n  key     {"id": {"S": "key-3"}}\n  path    price: N -> S\n'
        f"  path    tags.\\x1b[31m: value\n  from    {home}/pytest/c/findings.jsonl"
    )
    assert "check   check_x.py::check_it" in found[1].text()


def test_letters_of_every_script_are_printed_as_such_also_in_json(home, monkeypatch):
    (home / "runs" / "c").mkdir()
    with FindingsFile(home / "runs" / "c" / "findings.jsonl") as file:
        missing = Difference(state=State.MISSING, key={"id": {"S": "grüezi 日本"}}, paths=())
        file.write("orders", missing, key_hash="abcdef0000000000")
    monkeypatch.chdir(home.parent)

    for option in ((), ("--json",)):
        assert "grüezi 日本" in CliRunner().invoke(main, ["explain", "abcdef", *option]).stdout


def test_a_run_that_lies_elsewhere_is_found_by_its_name_and_as_the_latest(home, tmp_path):
    (tmp_path / "out").mkdir()
    (home / "runs" / "b" / "findings.jsonl").rename(tmp_path / "out" / "findings.jsonl")
    (home / "latest").symlink_to(tmp_path / "out")

    assert explain(HASHES[1], home)
    assert explain(HASHES[1], home, tmp_path / "out")
    with pytest.raises(ConfigurationError, match="Nothing in"):
        explain(HASHES[1], home, home / "runs" / "a")


@pytest.mark.parametrize(
    ("asked", "said"),
    [("5ba300", "Several keys"), ("5ba3", "no hash"), ("x" * 16, "no hash"), ("0" * 16, "Nothing in")],
)
def test_what_leads_to_no_single_key_is_refused(home, asked, said):
    with pytest.raises(ConfigurationError, match=said):
        explain(asked, home)


def test_a_last_line_that_was_cut_off_is_stepped_over(home):
    with (home / "runs" / "a" / "findings.jsonl").open("a") as file:
        file.write('{"pair": "orders", "key_hash": "5ba3000000000001", "fin')

    assert len(explain(HASHES[0], home)) == 2


def test_the_command_shows_it_and_its_exit_status_says_whether(home):
    config = str(home.parent / "migration.toml")
    done = CliRunner().invoke(main, ["explain", HASHES[2], "--config", config])
    assert (done.exit_code, '{"id": {"S": "key-3"}}' in done.output) == (0, True)

    done = CliRunner().invoke(main, ["explain", HASHES[2], "--config", config, "--json"])
    assert [one["key"] for one in json.loads(done.output)["found"]] == [{"id": {"S": "key-3"}}] * 2

    assert CliRunner().invoke(main, ["explain", "0" * 16, "--config", config]).exit_code == 2
