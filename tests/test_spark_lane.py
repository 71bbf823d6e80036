"""`make test-spark` where Java is missing: left out with a sentence on a laptop, never in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import spark_lane
from tests.spark_lane import VERSIONS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("ci", [False, True])
def test_without_java_the_lane_is_left_out_with_a_sentence(tmp_path, ci):
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.spark_lane", "4"],
        cwd=ROOT,
        env=environment | {"PATH": str(tmp_path)} | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ci
    assert "Spark wants Java 17" in done.stdout
    assert "make test-spark" in done.stdout


def test_the_lane_and_the_extra_speak_of_the_same_spark():
    extra = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"pyspark>=3.5,<5"' in extra
    assert list(VERSIONS.values()) == ["pyspark>=3.5,<4", "pyspark>=4,<5"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"SPARK ?= {' '.join(VERSIONS)}\n" in makefile
    assert "make test-spark SPARK=4" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_benchmark_is_run_in_place_of_the_tests_with_all_its_options(monkeypatch):
    run = []

    def noted(command, **_):
        run.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(spark_lane, "java_version", lambda: 17)
    monkeypatch.setattr(spark_lane, "environment", lambda version: Path(version))
    monkeypatch.setattr(spark_lane.subprocess, "run", noted)
    # `--workers 4` is no version of Spark.
    assert spark_lane.main(["--bench", "4", "--items", "20000", "--workers", "4"]) == 3
    assert run == [["4", "-m", "benchmarks.on_spark", "--items", "20000", "--workers", "4"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "tests.spark_lane --bench $(lastword $(SPARK)) $(BENCH_ARGS)" in makefile
