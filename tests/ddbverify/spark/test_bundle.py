"""What a platform is given: wheels, a Python that sees them, and lines that can be copied."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.spark import bundle
from ddbverify.spark.lines import GLUES, lines_of
from tests.ddbverify.projects import REPOSITORY


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A bundle in which pip has found one small wheel."""

    def download(folder, python, machine):
        with zipfile.ZipFile(folder / "shown-1.0-cp311-cp311-manylinux2014_x86_64.whl", "w") as file:
            file.writestr("shown/__init__.py", "WHERE = __file__\n")
            file.writestr("shown-1.0.data/platlib/shown/compiled.py", "")
            file.writestr("shown-1.0.data/scripts/shown", "")

    monkeypatch.setattr(bundle, "_download", download)
    return bundle.make(tmp_path / "out", python="3.11", machine="x86_64")


def test_the_extra_and_the_bundle_name_the_same(monkeypatch):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["spark"]
    assert sorted(one for one in extra if not one.startswith("pyspark")) == sorted(bundle.BESIDE_SPARK)
    names = [one.partition(">")[0] for one in bundle.requirements("3.11")]
    assert {"msgspec", "boto3", "pyarrow", "click"} <= set(names)
    assert not {"pyspark", "hypothesis", "ruff", "sphinx"} & set(names)


def test_our_wheel_installs_and_is_the_same_each_time(tmp_path):
    name, content = bundle.own_wheel()
    assert bundle.own_wheel() == (name, content)
    wheel = tmp_path / name
    wheel.write_bytes(content)
    with zipfile.ZipFile(wheel) as file:
        (record,) = (one for one in file.namelist() if one.endswith("/RECORD"))
        for line in file.read(record).decode().splitlines()[:-1]:
            path, digest, size = line.rsplit(",", 2)
            made = base64.urlsafe_b64encode(hashlib.sha256(file.read(path)).digest()).decode().rstrip("=")
            assert (f"sha256={made}", len(file.read(path))) == (digest, int(size))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(tmp_path / "site"), str(wheel)], check=True)
    installed = tmp_path / "site" / "ddbverify" / "spark" / "tasks.py"
    assert installed.read_bytes() == (REPOSITORY / "ddbverify" / "spark" / "tasks.py").read_bytes()


def test_the_archive_is_a_python_that_sees_what_is_in_it(tmp_path, made):
    folder = tmp_path / "environment"
    with tarfile.open(made.folder / bundle.ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    assert (folder / "site" / "shown" / "compiled.py").exists()
    assert not list(folder.rglob("scripts"))
    program = "import shown, ddbverify; print(shown.WHERE); print(ddbverify.__file__)"
    done = subprocess.run(
        [folder / "bin" / "python", "-c", program],
        env={"DDBVERIFY_PYTHON": sys.executable, "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.startswith(str(folder)) for line in done.stdout.split()] == [True, True]


@pytest.mark.parametrize("way", [["--version"], ["--JOB_NAME", "x", "--ddbverify", "--version"]])
def test_the_launcher_runs_the_command_and_ends_well(made, way):
    done = subprocess.run(
        [sys.executable, made.folder / bundle.LAUNCHER, *way],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "ddbverify, version" in done.stdout) == (0, True), done.stderr


def test_the_launcher_says_what_a_python_that_is_too_old_needs(made):
    text = (made.folder / bundle.LAUNCHER).read_text().replace("< (3, 11)", "< (99,)")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or later" in done.stderr
    assert "PYSPARK_PYTHON" in done.stderr


def test_glue_gets_wheels_and_a_list_of_them(made):
    with zipfile.ZipFile(made.folder / bundle.WHEELS) as file:
        listed = file.read("wheels/requirements.txt").decode().splitlines()
        names = {name for name in file.namelist() if name.endswith(".whl")}
    assert [one.partition("==")[0] for one in listed] == ["ddbverify", "shown"]
    assert names == {f"wheels/{name}" for name in made.packages}


def test_the_lines_can_be_copied(made):
    lines = lines_of(made, "s3://bucket/ddbverify/")
    assert list(lines) == ["copy it first", "EMR Serverless", "EMR", "spark-submit", "Glue 5.1"]
    for line in lines.values():
        assert shlex.split(line)
    words = shlex.split(lines["EMR Serverless"])
    driver = json.loads(words[words.index("--job-driver") + 1])["sparkSubmit"]
    assert driver["entryPoint"] == f"s3://bucket/ddbverify/{bundle.LAUNCHER}"
    assert f"s3://bucket/ddbverify/{bundle.ARCHIVE}#environment" in driver["sparkSubmitParameters"]
    words = shlex.split(lines["Glue 5.1"])
    arguments = json.loads(words[words.index("--default-arguments") + 1])
    assert arguments["--additional-python-modules"] == f"s3://bucket/ddbverify/{bundle.WHEELS}"
    assert shlex.split(arguments["--ddbverify"])[:1] == ["diff"]
    assert set(GLUES.values()) <= set(bundle.PYTHONS)


def test_the_command_prints_them_and_says_what_pip_lacks(tmp_path, monkeypatch, made):
    monkeypatch.setattr(bundle, "make", lambda out, **_: made)
    done = CliRunner().invoke(main, ["spark", "bundle", "--out", str(tmp_path), "--to", "s3://b/c"])
    assert done.exit_code == 0
    assert "# EMR Serverless\naws emr-serverless start-job-run" in done.stdout
    done = CliRunner().invoke(main, ["spark", "bundle", "--json"])
    assert set(json.loads(done.stdout)) == {"command", "files", "wheels", "lines"}


def test_a_wheel_that_pip_does_not_find_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "requirements", lambda _: ["no-such-thing-of-anybody>=1"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    done = CliRunner().invoke(main, ["spark", "bundle", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "pip has not found all wheels for Python 3.11 on x86_64" in done.output
    assert "no-such-thing-of-anybody" in done.output


@pytest.mark.parametrize("to", ["nobucket", "https://b/c", "s3://", "s3://b/c; d", "/mnt/spark", "s3:b"])
def test_a_place_that_is_no_bucket_is_refused_before_anything_is_fetched(monkeypatch, tmp_path, to):
    """It stands in lines that are copied into a shell."""
    monkeypatch.setattr(bundle, "make", lambda *_, **__: pytest.fail("wheels were fetched"))
    done = CliRunner().invoke(main, ["spark", "bundle", "--out", str(tmp_path), "--to", to])
    assert done.exit_code == 2
    assert "s3://BUCKET/PREFIX" in done.output


def test_a_slash_at_the_end_of_the_place_is_none_of_its_name(made, monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "make", lambda out, **_: made)
    done = CliRunner().invoke(main, ["spark", "bundle", "--out", str(tmp_path), "--to", "s3://b/c/"])
    assert done.exit_code == 0
    assert f"s3://b/c/{bundle.LAUNCHER}" in done.output
