"""Executors that are killed, a task that is run twice at once: one verdict, and no value in any log."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ddbverify.exports.exporting import full
from tests.spark.conftest import ROOT, SETTINGS

pytestmark = pytest.mark.filterwarnings("ignore")

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


@pytest.fixture
def standalone(tmp_path):
    """The address of a master with two workers of one core each, on loopback."""
    import pyspark

    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(tmp_path / "local")}
    address = f"spark://127.0.0.1:{port}"
    here = ["--host", "127.0.0.1", "--webui-port", "0"]
    log = tmp_path / "machines.log"
    begun = []

    def begin(name, *arguments):
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *here, *arguments]
        with log.open("ab") as file:
            begun.append(
                subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
            )

    def wait_for(text, times):
        while log.read_text().count(text) < times:
            assert all(one.poll() is None for one in begun), log.read_text()[-2000:]
            time.sleep(0.2)

    try:
        begin("master.Master", "--port", str(port))
        wait_for("New state: ALIVE", 1)
        for number in range(2):
            work = str(tmp_path / f"work-{number}")
            begin("worker.Worker", "--cores", "1", "--memory", "700m", "--work-dir", work, address)
        wait_for("Registering worker", 2)
        yield address
    finally:
        for one in begun:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_lost_executors_and_tasks_that_run_twice_change_nothing(tmp_path, standalone):
    (tmp_path / "losing.py").write_text(TRANSFORM)
    whats = ["", "kill", "slow", "break", "kill-judging"]
    pieces = [
        [
            {"id": {"S": f"telltale-{part}-{number}"}, "v": {"S": f"telltale-value-{number}"}}
            | ({"what": {"S": what}} if number == 3 and what else {})
            for number in range(6)
        ]
        for part, what in enumerate(whats)
    ]
    items = [one for some in pieces for one in some]
    differing = [
        one | ({"v": {"S": "telltale-other"}} if number % 6 in (2, 3) else {})
        for number, one in enumerate(items)
    ]
    source, target = full(tmp_path / "a", *pieces), full(tmp_path / "b", differing[1:], [])
    events = tmp_path / "events"
    events.mkdir()
    settings = {
        **SETTINGS,
        "spark.executor.memory": "500m",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.log.level": "INFO",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{events}",
        "spark.eventLog.compress": "false",
        "spark.local.dir": str(tmp_path / "local"),
        "spark.speculation": "true",
        "spark.speculation.interval": "200ms",
        "spark.speculation.quantile": "0.3",
        "spark.speculation.multiplier": "2",
        "spark.speculation.minTaskRuntime": "1s",
    }
    options = " ".join(
        f"--conf {name}={value}" for name, value in settings.items() if "driver.memory" not in name
    )
    command = [sys.executable, "-m", "ddbverify", "diff", source.address, target.address, "--key", "id:S"]
    command += ["--transform", "losing:made", "--format", "jsonl", "--quiet"]

    def run(*more):
        done = subprocess.run(
            [*command, *more],
            cwd=tmp_path,
            env=os.environ
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

    here, whole, _ = run()
    there, summary, said = run("--engine", "spark")
    assert (there, summary["reasons"]) == (here, whole["reasons"])
    assert summary["verdict"] == "different"
    assert summary["complete"]
    assert (summary["matched"], summary["different"], summary["missing"]) == (19, 10, 1)
    flags = {"killed-reading", "killed-judging", "broken", "slow"}
    assert flags <= {path.name for path in tmp_path.iterdir()}
    assert any("by a later attempt" in note for note in summary["notes"])
    logs = {"standard error": said}
    for folder in (events, tmp_path / "work-0", tmp_path / "work-1"):
        logs |= {str(path): path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert len(logs) >= 4  # an event log, and what both executors and those in their places have said
    for name, text in logs.items():
        assert "telltale" not in text, name
    assert any("TaskFailed: KeyboardInterrupt in losing line" in text for text in logs.values())
