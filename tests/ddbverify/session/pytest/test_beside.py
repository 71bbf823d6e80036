"""What a check starts beside itself, and nobody looks at, keeps it from passing."""

from __future__ import annotations

import pytest

from ddbverify.evidence import record
from tests.ddbverify import projects
from tests.ddbverify.session.pytest.test_hooks import run as run

TOKEN = "SENTINEL-77fe"
CHECK = """\
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from ddbverify import Finding, Verdict, require

def fails():
    raise ValueError("".join({token}))

async def fails_later():
    fails()

def refutes():
    require(Verdict(examined=3, findings=(Finding("it is red"),)))

def works():
    return 1

POOL = ThreadPoolExecutor()

def check_it(pair):
    assert pair.comparison
{body}
"""


@pytest.mark.parametrize(
    ("body", "state", "why"),
    [
        ("threading.Thread(target=works).start()", "passed", ""),
        ("threading.Thread(target=fails).start()", "inconclusive", "a thread ended with ValueError"),
        ("threading.Timer(0.3, fails).start()", "inconclusive", "a thread ended with ValueError"),
        ("POOL.submit(fails)", "inconclusive", "a job of an executor ended with ValueError"),
        ("POOL.map(lambda _: fails(), [1])", "inconclusive", "a job of an executor ended with ValueError"),
        ("with ThreadPoolExecutor() as pool: pool.submit(fails)", "inconclusive", "a job of an executor"),
        ("assert POOL.submit(works).result() == 1", "passed", ""),
        ("assert POOL.submit(fails).exception()", "passed", ""),
        ("try: POOL.submit(fails).result()\nexcept ValueError: pass", "passed", ""),
        ("POOL.submit(fails).result()", "errored", ""),
        (
            "async def main():\n    asyncio.ensure_future(fails_later())\n    await asyncio.sleep(0.01)\n"
            "asyncio.run(main())",
            "inconclusive",
            "a task ended with ValueError",
        ),
        ("asyncio.run(asyncio.wait_for(asyncio.sleep(0), 1))", "passed", ""),
        (
            "async def main():\n    assert (await asyncio.gather(fails_later(), return_exceptions=True))\n"
            "asyncio.run(main())",
            "passed",
            "",
        ),
        ("thread = threading.Thread(target=refutes)\nthread.start()\nthread.join()", "failed", ""),
        ("POOL.submit(refutes)", "failed", ""),
    ],
)
def test_what_fails_beside_a_check_and_is_not_looked_at_leaves_it_undecided(pytester, run, body, state, why):
    projects.make_project(pytester.path, default_suite=False)
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (pytester.path / "checks" / "check_it.py").write_text(CHECK.format(body=lines, token=list(TOKEN)))

    result = run("--ddb-record", "record.jsonl", "-rA", "checks")

    (check,) = record.read(pytester.path / "record.jsonl").checks.values()
    assert str(check.state) == state
    assert why in check.why
    assert TOKEN not in result.stdout.str() + result.stderr.str()
