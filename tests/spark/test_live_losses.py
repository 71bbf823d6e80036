"""Executors killed while live tables are read: one verdict, the whole bill, and no value in any log."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.ddbverify.spark.lively import REGIONS, Tables
from tests.spark.conftest import ROOT, SETTINGS
from tests.spark.test_losses import TRANSFORM, standalone

__all__ = ["standalone"]

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.filterwarnings("ignore")]


@pytest.mark.full
@pytest.mark.timeout(900)
def test_lost_executors_read_live_tables_again_and_change_nothing(tmp_path, aws, unique, standalone):
    (tmp_path / "losing.py").write_text(TRANSFORM)
    items = [
        {"id": {"S": f"telltale-{number}"}, "v": {"S": f"telltale-value-{number}"}} for number in range(60)
    ]
    items[10] |= {"what": {"S": "kill"}}
    items[40] |= {"what": {"S": "break"}}
    differing = [
        one | ({"v": {"S": "telltale-other"}} if number % 6 == 2 else {}) for number, one in enumerate(items)
    ]
    pair = Tables(aws, unique("live"), {"id": "S"}).fill(items, differing[1:])
    events = tmp_path / "events"
    events.mkdir()
    variables = aws.variables(REGIONS[0])
    settings = {
        **SETTINGS,
        "spark.executor.memory": "500m",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.log.level": "INFO",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{events}",
        "spark.eventLog.compress": "false",
        "spark.local.dir": str(tmp_path / "local"),
    } | {
        f"spark.executorEnv.{name}": variables[name]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "NO_PROXY")
    }
    options = " ".join(
        f"--conf {name}={value}" for name, value in settings.items() if "driver.memory" not in name
    )
    command = [sys.executable, "-m", "ddbverify", "diff", pair.name, pair.name, "--transform", "losing:made"]
    command += ["--source-region", REGIONS[0], "--target-region", REGIONS[1], "--settle", "0s"]
    command += ["--segments", "5", "--format", "jsonl", "--quiet"]

    def run(*more):
        done = subprocess.run(
            [*command, *more],
            cwd=tmp_path,
            env=os.environ
            | variables
            | {
                "PYTHONPATH": str(ROOT),
                "PYSPARK_SUBMIT_ARGS": f"--master {standalone} --driver-memory 600m {options} pyspark-shell",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert lines, done.stderr[-3000:]
        return sorted(map(str, lines[:-1])), lines[-1]["summary"], done.stderr

    here, whole, _ = run("--processes", "1")
    there, summary, said = run("--engine", "spark")
    assert (there, summary["reasons"]) == (here, whole["reasons"])
    assert (summary["verdict"], summary["complete"]) == ("different", True)
    assert (summary["matched"], summary["different"], summary["missing"]) == (49, 10, 1)
    assert {"killed-reading", "broken"} <= {path.name for path in tmp_path.iterdir()}
    assert sum(summary["read_units"].values()) > sum(whole["read_units"].values())
    assert any("by a later attempt" in note for note in summary["notes"])
    logs = {"standard error": said}
    for folder in (events, tmp_path / "work-0", tmp_path / "work-1"):
        logs |= {str(path): path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert len(logs) >= 4  # an event log, and what both executors and those in their places have said
    for name, text in logs.items():
        assert "telltale" not in text, name
    assert any("TaskFailed: KeyboardInterrupt in losing line" in text for text in logs.values())
