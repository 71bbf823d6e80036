"""What a check starts beside itself, and nobody looks at, keeps it from passing."""

from __future__ import annotations

import pytest

from ddbverify.evidence import record
from tests.ddbverify import projects
from tests.ddbverify.session.pytest.test_hooks import run as run

TOKEN = "SENTINEL-77fe"
CHECK = """\
import asyncio, multiprocessing, threading, time
from multiprocessing.pool import ThreadPool
from threading import Event
from concurrent.futures import ThreadPoolExecutor
from ddbverify import Finding, Verdict, require

def fails():
    raise ValueError("".join({token}))

async def fails_later():
    fails()

def refutes():
    require(Verdict(examined=3, findings=(Finding("it is red"),)))

def fails_with(_):
    fails()

def late():
    time.sleep(0.2)
    fails()

def waits():
    Event().wait()

def works():
    return 1

POOL, THREADS, FORK = ThreadPoolExecutor(), ThreadPool(2), multiprocessing.get_context("fork")

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
        # pools of multiprocessing, of threads and of processes
        ("THREADS.apply_async(works)", "passed", ""),
        ("THREADS.apply_async(fails)", "inconclusive", "a job of a pool ended with ValueError"),
        ("THREADS.map_async(fails_with, [1, 2])", "inconclusive", "a job of a pool ended with ValueError"),
        ("THREADS.imap(fails_with, [1])", "inconclusive", "a job of a pool ended with ValueError"),
        ("THREADS.imap_unordered(fails_with, [1])", "inconclusive", "a job of a pool ended with ValueError"),
        (
            "with ThreadPool(1) as pool:\n    pool.map(str, [1])\n    pool.apply_async(late)",
            "inconclusive",
            "a job of a pool was never done",
        ),
        ("with ThreadPool(1) as pool: assert next(pool.imap(str, [1, 2, 3])) == '1'", "passed", ""),
        (
            "assert not THREADS.apply_async(fails).wait()",
            "inconclusive",
            "a job of a pool ended with ValueError",
        ),
        ("assert THREADS.apply_async(works).get() == 1", "passed", ""),
        ("assert list(THREADS.imap(str, [1])) == ['1']", "passed", ""),
        ("try: THREADS.apply_async(fails).get()\nexcept ValueError: pass", "passed", ""),
        ("try: next(THREADS.imap(fails_with, [1]))\nexcept ValueError: pass", "passed", ""),
        ("job = THREADS.apply_async(fails)\njob.wait()\nassert not job.successful()", "passed", ""),
        ("left = []\nTHREADS.apply_async(fails, error_callback=left.append)", "passed", ""),
        ("THREADS.map(fails_with, [1])", "errored", ""),
        ("THREADS.apply_async(refutes)", "failed", ""),
        (
            "with FORK.Pool(1) as pool:\n    pool.apply_async(fails).wait()",
            "inconclusive",
            "a job of a pool ended",
        ),
        ("with FORK.Pool(1) as pool: assert pool.map(str, [1]) == ['1']", "passed", ""),
        # processes
        ("FORK.Process(target=works).start()", "passed", ""),
        ("FORK.Process(target=fails).start()", "inconclusive", "a process ended with status 1"),
        ("one = FORK.Process(target=fails)\none.start()\none.join()\nassert one.exitcode == 1", "passed", ""),
        # daemon threads: those of a library go on, those of a check have to end
        (
            "threading.Thread(target=late, daemon=True).start()",
            "inconclusive",
            "a thread ended with ValueError",
        ),
        ("threading.Thread(target=works, daemon=True).start()", "passed", ""),
        (
            "timer = threading.Timer(0.2, fails)\ntimer.daemon = True\ntimer.start()",
            "inconclusive",
            "a thread ended with ValueError",
        ),
        ("threading.Thread(target=Event().wait, daemon=True).start()", "passed", ""),
        (
            "threading.Thread(target=waits, daemon=True).start()",
            "inconclusive",
            "a daemon thread has not come to its end",
        ),
        (
            "class Own(threading.Thread):\n    def run(self): waits()\nOwn(daemon=True).start()",
            "inconclusive",
            "a daemon thread has not come to its end",
        ),
        (
            "import functools\nthreading.Thread(target=functools.partial(late), daemon=True).start()",
            "inconclusive",
            "a thread ended with ValueError",
        ),
        # our own, which asks plugins, wherever we are installed
        (
            "from ddbverify.plugins.asking import Asker, Implementation\n"
            "assert Asker()(Implementation('p', 'h', int, ()), int) == 0",
            "passed",
            "",
        ),
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
