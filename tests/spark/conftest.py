"""
What `make test-spark` runs, in environments that have pyspark; in others nothing of it is collected.

Everything is on loopback, and takes one core: the lane shares a machine with others.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HAS_SPARK = importlib.util.find_spec("pyspark") is not None
collect_ignore_glob = [] if HAS_SPARK else ["test_*.py"]

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "600m",
    "spark.sql.shuffle.partitions": "2",
    "spark.log.level": "WARN",
}


@pytest.fixture(scope="session", autouse=True)
def the_machine() -> None:
    """Loopback, and this Python with this checkout in every task."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(ROOT)


@pytest.fixture(scope="session")
def session(the_machine, tmp_path_factory):
    """One session, as `spark-submit` leaves it: up to four attempts for a task."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1,4]").appName("tests")
    folder = tmp_path_factory.mktemp("spark")
    for name, value in (SETTINGS | {"spark.local.dir": str(folder)}).items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    yield made
    made.stop()


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
