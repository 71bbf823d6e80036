"""Comparisons on a cluster that loses executors: transform, runs, and what no log of theirs may hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.spark.conftest import ROOT, SETTINGS

TRANSFORM = '''
import os, signal, sys, time
from pathlib import Path

def in_a_task():
    pyspark = sys.modules.get("pyspark")
    return pyspark is not None and pyspark.TaskContext.get() is not None

def first(name):
    """Whether nobody has been here before: one task of all."""
    try:
        os.close(os.open(Path(__file__).with_name(name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def is_judging():
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "ddbverify.compare.coscan":
            return True
        if frame.f_code.co_qualname.startswith("FetchClaims."):  # of a re-keyed pair, again for who judges
            return True
        frame = frame.f_back
    return False

def kill_the_executor():
    """It is the parent of the process that all workers of Python are forked from."""
    parent = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(parent), signal.SIGKILL)
    time.sleep(60)

def made(item):
    if in_a_task():
        match item.get("what"):
            case "slow":
                if first("slow"):
                    time.sleep(40)
            case "kill":
                if first("killed-reading"):
                    kill_the_executor()
            case "kill-judging":
                if is_judging() and first("killed-judging"):
                    kill_the_executor()
            case "break":
                if first("broken"):
                    raise KeyboardInterrupt(item["id"])
    return item
'''


class Losing:
    """
    `ddbverify diff` in a folder that has the transform; every key and value in it has "telltale" in its text.

    Args:
        folder: Of the test; its workers' logs are there, too.
        master: Address of the cluster.
        settings: Of Spark, beside those of the lane.
        variables: Of the environment, beside this one's.
    """

    def __init__(self, folder, master, settings, variables=None):
        self.folder, self.variables = folder, variables or {}
        (folder / "losing.py").write_text(TRANSFORM)
        self.events = folder / "events"
        self.events.mkdir()
        settings = SETTINGS | settings
        settings |= {
            "spark.executor.memory": "500m",
            "spark.executorEnv.PYTHONPATH": str(ROOT),
            "spark.log.level": "INFO",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file://{self.events}",
            "spark.eventLog.compress": "false",
            "spark.local.dir": str(folder / "local"),
        }
        options = " ".join(
            f"--conf {name}={value}" for name, value in settings.items() if "driver.memory" not in name
        )
        self.submit = f"--master {master} --driver-memory 600m {options} pyspark-shell"

    def diff(self, *options):
        """Findings, summary, and what was said on standard error."""
        command = [sys.executable, "-m", "ddbverify", "diff", "--transform", "losing:made"]
        done = subprocess.run(
            [*command, "--format", "jsonl", "--quiet", *options],
            cwd=self.folder,
            env=os.environ | self.variables | {"PYTHONPATH": str(ROOT), "PYSPARK_SUBMIT_ARGS": self.submit},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert lines, done.stderr[-3000:]
        return sorted(map(str, lines[:-1])), lines[-1]["summary"], done.stderr

    def need_no_value(self, said):
        """No key and no value stands in event log, executors' logs or *said*; what broke is told by type."""
        logs = {"standard error": said}
        for folder in (self.events, self.folder / "work-0", self.folder / "work-1"):
            logs |= {
                str(path): path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()
            }
        assert len(logs) >= 4  # an event log, and what both executors and those in their places have said
        for name, text in logs.items():
            assert "telltale" not in text, name
        assert any("TaskFailed: KeyboardInterrupt in losing line" in text for text in logs.values())
