"""Ctrl-C, SIGTERM and SIGHUP while every thread waits: for a rate, or for a table that throttles for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.page_server import REGION, Fault, Listed, page_server
from tests.ddbverify.projects import REPOSITORY

ODD = {"id": {"S": "odd"}, "x": {"X": "from the future"}}
# Its page costs a hundred units: at one a second, the next request is due in a hundred seconds.
LARGE = {"id": {"S": "large"}, "v": {"S": "x" * 400_000}}
ITEMS = [ODD, LARGE, {"id": {"S": "last"}}]
TABLES = {
    "orders": Listed(keys={"id": "S"}, items=ITEMS, page_items=1),
    "orders-v2": Listed(keys={"id": "S"}, items=[dict(reversed(ODD.items())), *ITEMS[1:]], page_items=1),
}
LONG_BEFORE_THE_RATE_ALLOWS_IT = 60  # seconds


def diff(server, folder, *more):
    sides = [
        f"--{side}-{name}={value}"
        for side in ("source", "target")
        for name, value in (("region", REGION), ("endpoint-url", server.endpoint_url))
    ]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "ddbverify", "diff", "orders", "orders-v2", *sides),
            *("--format=jsonl", "--quiet", f"--out={folder / 'out'}", *more),
        ],
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": f"{REPOSITORY}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "NO_PROXY": "127.0.0.1",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nobody_waits_for_the_rate_after_a_signal(tmp_path, number):
    with page_server(TABLES) as server:
        with diff(server, tmp_path, "--read-units=1") as running:
            first = running.stdout.readline()
            wait_until(lambda: all(side["Scan"].requests == 2 for side in server.stats().values()))
            running.send_signal(number)
            out, said = running.communicate(timeout=LONG_BEFORE_THE_RATE_ALLOWS_IT)
        assert all(side["Scan"].requests == 2 for side in server.stats().values())
    require_readable(tmp_path, running, first, out, said)


def test_nobody_waits_for_a_throttled_table_after_a_signal(tmp_path):
    with page_server(TABLES) as server:
        server.set_faults("orders", [Fault(kind="error", code="ThrottlingException", first=2, times=None)])
        with diff(server, tmp_path) as running:
            first = running.stdout.readline()
            # botocore's seven attempts are over, and the pauses are the engine's own.
            wait_until(lambda: server.stats()["orders"]["Scan"].requests >= 5)
            running.send_signal(signal.SIGINT)
            out, said = running.communicate(timeout=LONG_BEFORE_THE_RATE_ALLOWS_IT)
    require_readable(tmp_path, running, first, out, said)


def require_readable(folder, ended, first, out, said):
    """What had been found is in the file and was printed, the summary says why it ended, and it is not 0."""
    finding = json.loads(first)
    assert (finding["finding"], finding["key"]) == ("uncomparable", {"id": {"S": "odd"}})
    assert (folder / "out" / "findings.jsonl").read_text() == first
    summary = json.loads(out)["summary"]
    assert (summary["verdict"], summary["reasons"]) == ("inconclusive", ["it was interrupted"])
    assert json.loads((folder / "out" / "summary.json").read_text()) == summary
    assert (ended.returncode, said) == (3, "")
