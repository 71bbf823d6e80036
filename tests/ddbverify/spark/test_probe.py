"""What keeps tasks from running is named before there are any, with what to do about it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ddbverify.errors import AccessError, ConfigurationError
from ddbverify.spark import probe
from ddbverify.spark.arrow import TaskFailed, guarded
from ddbverify.spark.cluster import SparkCluster
from tests.ddbverify.exports.exporting import full
from tests.ddbverify.fakes import item
from tests.ddbverify.projects import REPOSITORY
from tests.ddbverify.spark.pretending import PretendedCluster
from tests.ddbverify.spark.test_scan import diff

FITS = {"version": [3, 11], "python": "/x/python3", "missing": "", "digests": {"a": "1"}}


def test_what_fits_is_let_through():
    probe.require_fit(FITS, {"a": "1"})
    probe.require_no_wheel("")
    probe.require_no_wheel("s3://bucket/transforms.zip,other.py")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"version": [3, 9]}, "needs Python 3.11 or later"),
        ({"missing": "ModuleNotFoundError: msgspec._core"}, "does not import ddbverify"),
        ({"digests": {"a": "2"}}, "another build of ddbverify"),
    ],
)
def test_a_python_that_cannot_run_tasks_is_refused(said, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        probe.require_fit(FITS | said, {"a": "1"})
    assert "PYSPARK_PYTHON" in raised.value.hint
    assert "/x/python3" in raised.value.message


@pytest.mark.parametrize("files", ["a.zip, ddbverify-0.1.0-py3-none-any.whl", "x.whl"])
def test_a_wheel_in_py_files_is_refused(files):
    with pytest.raises(ConfigurationError, match="--py-files has a wheel"):
        probe.require_no_wheel(files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[PYTHON_VERSION_MISMATCH] Python in worker has", "another Python than this process"),
        ("Python in worker has different version 3.9 than that in driver 3.11", "another Python"),
        ("ModuleNotFoundError: No module named 'pyarrow'", "no pyarrow"),
        ('java.io.IOException: Cannot run program "/x/python3"', "PYSPARK_PYTHON names is not there"),
        ("anything, with a value in it", "a first task has failed"),
    ],
)
def test_a_first_task_that_fails_says_what_to_set(text, message):
    class Session:
        class conf:  # noqa: N801
            @staticmethod
            def get(_, default):
                return default

        @staticmethod
        def range(*_):
            raise RuntimeError(text)

    with pytest.raises(ConfigurationError, match=message) as raised:
        probe.require_usable(Session)
    assert "PYSPARK_PYTHON" in raised.value.hint
    assert "value" not in str(raised.value)


def test_where_there_is_no_pyspark_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ConfigurationError, match="pyspark is not here") as raised:
        SparkCluster.found_or_made()
    assert "ddbverify[spark]" in raised.value.hint


@pytest.mark.parametrize(
    "error", [ValueError("telltale"), KeyboardInterrupt("telltale"), SystemExit("telltale")]
)
def test_an_error_in_a_task_is_a_type_and_a_place(error):
    def rows():
        yield 1
        raise error

    with pytest.raises(TaskFailed) as raised:
        list(guarded(rows))
    assert str(raised.value).startswith(f"{type(error).__name__} in {__name__} line ")
    assert raised.value.__suppress_context__
    assert "telltale" not in str(raised.value)


def test_credentials_that_are_not_in_the_tasks_are_named(tmp_path, monkeypatch):
    sides = [full(tmp_path / name, [item("a")]) for name in "ab"]

    def refused(*_):
        raise AccessError("AWS refused to read x: no credentials.", "give some.")

    monkeypatch.setattr("ddbverify.spark.job.store_of", refused)
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: PretendedCluster()))
    _, summary, code = diff(*sides, "--engine", "spark", key="id:S")
    assert code == 3
    assert sum("those of the executors' role" in reason for reason in summary["reasons"]) == 2


def test_nothing_but_the_engine_imports_pyspark():
    program = "import sys, ddbverify.diff.diff, ddbverify.spark.scan, ddbverify.spark.cluster; "
    program += "sys.exit('pyspark' in sys.modules or 'pyarrow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
    for file in (REPOSITORY / "ddbverify").rglob("*.py"):
        text = file.read_text()
        assert "import pyspark" not in text or file.parent.name == "spark", file
        assert "from pyspark" not in text or file.parent.name == "spark", file
