"""``docs/promises.md`` names tests that exist; and the promises that are held by reading the code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
WRITES = {
    "batch_write_item",
    "create_table",
    "delete_item",
    "delete_resource_policy",
    "delete_table",
    "execute_statement",
    "put_item",
    "put_resource_policy",
    "transact_write_items",
    "update_item",
    "update_table",
    "update_time_to_live",
}


def rows() -> list[str]:
    lines = (ROOT / "docs/promises.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"\| \d+ \|", line)]


def test_there_is_a_row_for_each_of_the_sixteen():
    assert [int(row.split("|")[1]) for row in rows()] == list(range(1, 17))


def test_each_row_names_tests_that_exist():
    for row in rows():
        named = re.findall(r"`(tests/[^`]+)::(test_[a-z0-9_]+)`", row)
        assert named, row
        for path, name in named:
            found = ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
            assert name in {one.name for one in found if isinstance(one, ast.FunctionDef)}, f"{path}::{name}"


def calls(package: str, names: set[str]) -> list[tuple[str, str, str]]:
    """File, what is called, and the call's own text, of each call of a method with one of these names."""
    return [
        (path.name, ast.unparse(node.func), ast.unparse(node))
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
    ]


def test_nothing_that_is_called_on_the_sources_side_deletes_empties_or_disables_the_source():
    """Its canary's item, its stream on (and off again, if we turned it on), and our own staging table."""
    made = {
        (file, called, text.split("(", 1)[1].split(",")[1].strip() if called == "tables.delete" else "")
        for file, called, text in calls("replicator", {*WRITES, "delete"})
        if called.startswith("context.source.") or (called == "tables.delete" and "context.source," in text)
    }
    assert made == {
        ("canary.py", "context.source.put_item", ""),
        ("canary.py", "context.source.delete_item", ""),
        ("stream_switch.py", "context.source.update_table", ""),
        ("filling.py", "tables.delete", "staging.name"),
        ("down.py", "tables.delete", "staging"),
        ("clearing.py", "tables.delete", "staging"),
    }


def test_ddbverify_calls_nothing_that_writes():
    assert calls("ddbverify", WRITES) == []


def test_the_verifiers_policy_only_reads():
    text = (ROOT / "docs/permissions.md").read_text(encoding="utf-8")
    section = text.split("## The verifier", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    actions = set()
    for block in blocks:
        for statement in json.loads(block)["Statement"]:
            named = statement["Action"]
            actions |= {named} if isinstance(named, str) else set(named)
    assert actions
    reads = re.compile(r"[a-z0-9-]+:(BatchGet|Describe|Get|List|Query|Scan)[A-Za-z]*")
    assert {one for one in actions if not reads.fullmatch(one)} <= {"kms:Sign"}
