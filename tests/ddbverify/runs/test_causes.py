"""How findings differ stands wherever one is sent to look: attribute, kind, line of a check, no value."""

from __future__ import annotations

import html
import json
import re

import pytest

from ddbverify.config import load
from ddbverify.evidence import folders
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.reports import ci
from ddbverify.runs import run as runs
from tests.ddbverify import projects

TOKEN = "token-of-a-value"
PATHS = (["price: N -> S"], ["price: N -> S", f"info.{TOKEN}: value"])


@pytest.fixture
def project(tmp_path, monkeypatch):
    return projects.runnable(tmp_path, monkeypatch)


def test_causes_are_in_evidence_summary_annotations_json_and_reasons(project):
    different = [
        {"state": "different", "key": {"id": {"S": TOKEN + str(number)}}, "paths": paths}
        for number, paths in enumerate(PATHS)
    ]
    projects.write_spec(
        project.parent,
        counts={"matched": 3, "missing": 1, "different": 2},
        differences=[{"state": "missing", "key": {"id": {"S": TOKEN}}}, *different],
    )

    result = runs.run(project)

    suite = (folders.checks_folder(load(project)) / "check_items.py").read_text().splitlines()
    line = next(number for number, text in enumerate(suite, 1) if text.startswith("    require("))
    causes = [
        "`price` is S instead of N (2 findings)",
        "`info` has another value (1 finding)",
        "not in the target (1 finding)",
    ]
    why = f"check_items.py:{line}: {'; '.join(causes)}"
    (found,) = [check for check in result.evidence.checks if check.name.endswith("every_item_is_equal")]
    page = html.unescape((result.folder / "summary.md").read_text()).replace("\\", "")
    annotations = ci.annotations_of_run(result.evidence)
    document = result.as_json()
    reasons = [reason.message for reason in gate.judge(load(project)).reasons]
    assert found.why == why
    assert f"check_items.py::check_every_item_is_equal ({found.pair}): {why}" in page
    assert [one for one in annotations if one.endswith(f"in 6 examined: {why}")]
    assert why in {check["why"] for check in document["checks"]}
    assert document["pairs"][0]["causes"] == causes
    assert [one for one in reasons if f"in 6 examined: {why}; fix" in one]
    assert TOKEN not in "".join([page, *annotations, *reasons, json.dumps(document)])


def test_a_setting_that_differs_is_named_without_what_it_is(project):
    projects.write_spec(project.parent, settings={"orders": {"tags.team": TOKEN}})

    result = runs.run(project)

    (why,) = [check.why for check in result.evidence.checks if check.state is CheckState.FAILED]
    assert re.fullmatch(r"check_table\.py:\d+: tags\.team differs", why)
    assert TOKEN not in (result.folder / "summary.md").read_text()
