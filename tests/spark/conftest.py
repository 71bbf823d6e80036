"""
What `make test-spark` runs, in environments that have pyspark; in others nothing of it is collected.

Everything is on loopback, and takes one core: the lane shares a machine with others.
"""

from __future__ import annotations

import importlib.util
import os
import sys
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
