"""A pass in several processes: what one finds, under one ceiling, and a clear end whatever happens."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.page_server import REGION, Asked, Fault, Generated, Listed, page_server
from ddbverify.compare import processes
from ddbverify.compare.alterations import ControlKind
from ddbverify.compare.inspection import ItemCheck, Refutation
from ddbverify.compare.processes import PlacedCheck, cores, worthwhile
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.compare.runner import compare
from ddbverify.config import parse
from ddbverify.diff.result import REFUTING, verdict_of
from ddbverify.errors import AccessError, ConfigurationError, Inconclusive
from ddbverify.items.states import State
from ddbverify.items.transform import Transform
from tests.ddbverify.compare.test_mutations import plan_of
from tests.ddbverify.generated import require_exactly
from tests.ddbverify.plugged import plugin, plugins_of
from tests.ddbverify.projects import REPOSITORY, table
from tests.processes import linux_only, wait_until

ITEMS = 8_000
SEGMENTS = 8
PLANTED = {0: "missing", 1_000: "extra", 5_000: "changed", ITEMS - 1: "changed"}

TRANSFORMS = """\
def same(item):
    return item

def choosy(item):
    if item["pk"].endswith("3"):
        return None
    if item["pk"].endswith("77"):
        raise KeyError("secret")
    return {**item, "made": True} if item["pk"].endswith("1") else item
"""

pytestmark = pytest.mark.usefixtures("on_loopback")


@pytest.fixture(scope="module")
def server():
    tables = {
        "orders": Generated(items=ITEMS, page_items=500),
        "equal": Generated(items=ITEMS, page_items=500),
        "altered": Generated(items=ITEMS, page_items=300, planted=PLANTED),
        "changed": Generated(items=ITEMS, planted={7: "changed", ITEMS - 7: "changed"}),
        "no-order": Generated(items=ITEMS, layout="scan-order"),
        "slow": Generated(items=ITEMS, page_items=50, delay_seconds=0.2),
    }
    with page_server(tables) as running:
        yield running


def config_of(server, folder, *, target="equal", transform=None, rekeys=False, **settings):
    side = f'region = "{REGION}"\nendpoint_url = "{server.endpoint_url}"\n'
    given = {"settle": "0s", "processes": 2} | settings
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    made = f'transform = "{transform}"\nrekeys = {json.dumps(rekeys)}\n' if transform else ""
    return parse(
        f"[source]\n{side}[target]\n{side}[verification]\n{lines}\n"
        f'[[tables]]\nsource = "orders"\ntarget = "{target}"\n{made}',
        folder,
    )


def ran(config, listeners=None, **request):
    return compare(config, config.tables[0], PassRequest(segments=SEGMENTS, **request), listeners)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that other processes find, too."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, text):
        (tmp_path / f"{name}.py").write_text(text)

    yield make
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def processes_below(pid=None):
    """Processes of ours that were begun by this one, or by *pid*."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((one / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == (pid or os.getpid()) and b"compare.worker" in (one / "cmdline").read_bytes():
                found.append(int(one.name))
        except OSError:
            continue
    return found


def is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- the same result ------------------------------------------------------------------------


def found(comparison):
    return sorted((str(one.state), str(one.key), one.paths) for one in comparison.differences)


def noticed(comparison):
    """What the negative controls could alter, and the engine noticed."""
    return {name for altered in comparison.controls.altered() for name in altered.names}


@pytest.mark.parametrize("transform", [None, "mine:same", "mine:choosy"])
@pytest.mark.parametrize("target", ["altered", "no-order"])
def test_two_processes_find_what_one_finds_for_the_same_reads(server, tmp_path, module, transform, target):
    module("mine", TRANSFORMS)
    one, two = (
        ran(config_of(server, tmp_path, target=target, transform=transform, processes=number))
        for number in (1, 2)
    )

    assert found(two) == found(one)
    assert two.counts == one.counts
    for mine, theirs in ((two.source, one.source), (two.target, one.target)):
        # A sample of many differences is drawn at random, and items are not all of a size.
        assert (mine.items, mine.scanned) == (theirs.items, theirs.scanned)
        assert mine.read_units == pytest.approx(theirs.read_units, rel=0.01 * (transform == "mine:choosy"))
    assert (two.unexamined, two.notes) == (one.unexamined, one.notes) == ((), one.notes)
    assert two.segments_finished == SEGMENTS
    assert len(two.controls._sources) == 3
    assert noticed(two) == noticed(one) >= set(ControlKind)
    assert not processes_below()


@pytest.mark.parametrize("kind", ["crc", "cut", "end", "count", "stuck"])
def test_two_processes_call_equal_only_what_was_read(server, tmp_path, kind):
    """What one has lost is looked up key by key, and the whole is not equal; an end is asked about again."""
    server.set_faults("equal", [Fault(kind=kind, first=2, times=None, segment=SEGMENTS - 1)])
    try:
        comparison = ran(config_of(server, tmp_path))
    finally:
        server.set_faults("equal", [])

    read_on = kind == "end"
    assert verdict_of(comparison)[0] == ("equal" if read_on else "inconclusive")
    assert bool(comparison.unexamined) is not read_on
    assert comparison.only(*REFUTING) == ()
    assert comparison.counts[State.MATCHED] == ITEMS
    assert comparison.target.scanned == (ITEMS if read_on else ITEMS - 500)


@pytest.mark.parametrize("case", ["films", "text-and-number", "binary"])
def test_every_kind_of_alteration_is_found(case, tmp_path, monkeypatch):
    seed = 300
    plan = plan_of(case, seed, at_most=2_000)
    random.Random(seed).shuffle(plan.target)
    tables = {
        "orders": Listed(keys=plan.schema, items=plan.source, page_items=97),
        "equal": Listed(keys=plan.schema, items=plan.target, page_items=250),
    }
    with page_server(tables) as server:
        comparison = ran(config_of(server, tmp_path))
        asked = server.stats()
    require_exactly(comparison, plan, seed)
    assert asked["orders"]["Scan"].items == len(plan.source)
    assert asked["equal"]["Scan"].items == len(plan.target)


def test_memory_that_is_too_small_changes_nothing(server, tmp_path):
    comparison = ran(config_of(server, tmp_path, target="no-order", memory="1MB"))

    assert comparison.counts[State.MATCHED] == ITEMS
    assert comparison.differences == comparison.unexamined == ()


def test_a_transform_that_raises_on_every_item(server, tmp_path, module):
    module("raising", "def always(item):\n    raise KeyError('secret')\n")
    told = []
    comparison = ran(config_of(server, tmp_path, transform="raising:always"), Listeners(found=told.append))

    assert comparison.counts[State.UNCOMPARABLE] == len(told) == ITEMS
    assert sum(comparison.counts.values()) == ITEMS
    assert {one.reason for one in told} == {"The transform raising:always raised KeyError"}


def test_a_transform_that_is_impure_on_one_item_in_a_thousand(server, tmp_path, module):
    """Each process has its own count; what it alters is refused wherever it comes, and never equal."""
    module(
        "impure",
        "SEEN = []\n\ndef sometimes(item):\n    SEEN.append(1)\n"
        "    return {**item, 'total': len(SEEN)} if len(SEEN) % 1000 == 0 else item\n",
    )
    told = []
    comparison = ran(config_of(server, tmp_path, transform="impure:sometimes"), Listeners(found=told.append))

    assert verdict_of(comparison)[0] == "inconclusive"
    refused = comparison.counts[State.UNCOMPARABLE]
    assert 2 <= refused == len(told) <= 2 * ITEMS // 1000
    assert comparison.counts[State.MATCHED] == ITEMS - refused
    assert {one.reason for one in told} == {"The transform impure:sometimes gave two results for one item"}


def test_plugins_are_asked_in_the_pass_itself(server, tmp_path):
    asked = []

    def compare_values(path):
        asked.append(os.getpid())
        return True

    asking = plugins_of(plugin(compare_values=compare_values))
    comparison = ran(config_of(server, tmp_path, target="changed"), plugins=asking)

    assert comparison.counts[State.DIFFERENT] == 0
    assert sum(one.keys for one in comparison.equal_by) == 2
    assert set(asked) == {os.getpid()}


def test_a_re_keyed_pair_is_read_by_one_process(server, tmp_path, module):
    begun = []
    module("mine", "def same(item):\n    return [item]\n")
    config = config_of(server, tmp_path, transform="mine:same", rekeys=True)
    comparison = ran(config, Listeners(progress=lambda _: begun.extend(processes_below())))

    assert comparison.counts[State.MATCHED] == ITEMS
    assert not begun


def test_a_transform_without_a_name_is_called_in_the_pass_itself(server, tmp_path):
    config, called, begun = config_of(server, tmp_path), [], []
    keys = {"pk": "S", "sk": "N"}
    own = Transform("made here", lambda item: called.append(os.getpid()) or item, keys, keys)
    ran(config, Listeners(progress=lambda _: begun.extend(processes_below())), transform=own)

    assert set(called) == {os.getpid()}
    assert not begun


def test_it_goes_on_with_any_number_of_processes(server, tmp_path):
    path = tmp_path / "checkpoint"
    for number in (2, 1, 3):

        def interrupted(progress, number=number):
            if progress.segments_finished >= 2 * number:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ran(
                config_of(server, tmp_path, target="altered", processes=number),
                Listeners(progress=interrupted),
                checkpoint=path,
            )
        assert not processes_below()
    comparison = ran(config_of(server, tmp_path, target="altered"), checkpoint=path)

    assert comparison.counts[State.MATCHED] == ITEMS - 3
    assert len(comparison.differences) == len(PLANTED)
    assert (comparison.source.scanned, comparison.target.scanned) == (ITEMS, ITEMS)


# --- one ceiling, one budget ----------------------------------------------------------------


def units(server):
    """Read units that scans of each table have cost so far."""
    stats = server.stats()
    return {name: stats[name].get("Scan", Asked()).units for name in ("orders", "equal")}


def test_the_ceiling_holds_for_both_together(server, tmp_path):
    before, began = units(server), time.monotonic()
    ran(config_of(server, tmp_path, read_units=400))
    seconds, after = time.monotonic() - began, units(server)

    for name, spent in after.items():
        # The first request is free, and the last one's time is not waited for.
        assert spent - before[name] - 2 * 256 <= 400 * seconds
        assert spent - before[name] > 900  # else the rate was not met


def test_the_budget_is_one(server, tmp_path):
    before = units(server)
    comparison = ran(config_of(server, tmp_path, max_read_units=500))
    spent = sum(units(server).values()) - sum(before.values())

    assert 500 <= spent <= 500 + 8 * 60  # a page has 60 units; one for each thread is under way
    assert spent == comparison.source.read_units + comparison.target.read_units
    assert all("The read budget of 500 units is spent" in one for one in comparison.unexamined)
    assert comparison.unexamined
    assert {one.state for one in comparison.differences} <= {State.UNDECIDED}


# --- whatever happens -----------------------------------------------------------------------


@contextmanager
def once_there_are_processes(act):
    """Do something to the processes of the pass, once there are any."""
    done = threading.Event()

    def wait():
        while not (there := processes_below()) and not done.is_set():
            time.sleep(0.01)
        time.sleep(1.5)
        act(there)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@linux_only
def test_a_process_that_is_killed_ends_the_pass_by_name(server, tmp_path):
    config = config_of(server, tmp_path, target="slow")
    with (
        once_there_are_processes(lambda there: os.kill(there[0], signal.SIGKILL)),
        pytest.raises(Inconclusive, match="A process of the comparison ended with signal 9"),
    ):
        ran(config)
    assert not processes_below()


@linux_only
def test_a_process_that_hangs_is_ended_after_the_time_limit(server, tmp_path):
    config = config_of(server, tmp_path, target="slow", time_limit="2s")
    with (
        once_there_are_processes(lambda there: os.kill(there[0], signal.SIGSTOP)),
        pytest.raises(Inconclusive, match="did not answer for 2 s, and was ended"),
    ):
        ran(config)
    assert not processes_below()


@pytest.mark.parametrize("slowly", [False, True], ids=["its line is first", "another line is first"])
def test_code_that_holds_the_interpreter_is_ended_after_the_time_limit(
    server, tmp_path, module, slowly, monkeypatch
):
    """Every line to the process sees its end, and the one that has ended it may be the last to say why."""
    killed = processes._Member.kill

    def kill(member):
        killed(member)
        time.sleep(0.5 if slowly else 0)

    monkeypatch.setattr(processes._Member, "kill", kill)
    module("holding", "def same(item):\n    sum(range(10**12))\n    return item\n")
    config = config_of(server, tmp_path, transform="holding:same", time_limit="2s")
    with pytest.raises(Inconclusive, match="did not answer for 2 s, and was ended"):
        ran(config)
    assert not processes_below()


def test_a_transform_that_another_process_cannot_import(server, tmp_path, module):
    module(
        "here_only",
        f"import os\n\nif os.getpid() != {os.getpid()}:\n    raise RuntimeError('not here')\n\n"
        "def same(item):\n    return item\n",
    )
    with pytest.raises(ConfigurationError, match=r"does not load: RuntimeError.*in another process") as e:
        ran(config_of(server, tmp_path, transform="here_only:same"))
    assert "processes = 1" in e.value.hint
    assert not processes_below()


def test_a_module_that_ends_the_process_it_is_imported_in(server, tmp_path, module):
    module(
        "ending",
        f"import os\n\nif os.getpid() != {os.getpid()}:\n    os._exit(7)\n\n"
        "def same(item):\n    return item\n",
    )
    with pytest.raises(Inconclusive, match="ended with exit status 7"):
        ran(config_of(server, tmp_path, transform="ending:same"))
    assert not processes_below()


def test_a_refusal_before_anything_was_read_is_raised(server, tmp_path):
    refusing = [Fault(kind="error", code="AccessDeniedException", times=None)]
    tables = {name: Generated(items=100, faults=refusing) for name in ("orders", "equal")}
    with page_server(tables) as other, pytest.raises(AccessError):
        ran(config_of(other, tmp_path))
    assert not processes_below()


def command(server, folder, *options):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "AWS_MAX_ATTEMPTS": "1"}
    reached = [
        word
        for side in ("source", "target")
        for word in (f"--{side}-region", REGION, f"--{side}-endpoint-url", server.endpoint_url)
    ]
    arguments = ["diff", "orders", "slow", *reached, "--processes", "2", "--segments", str(SEGMENTS)]
    return subprocess.Popen(
        [sys.executable, "-m", "ddbverify", *arguments, *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_none_outlives_the_command(server, tmp_path, number):
    running = command(server, tmp_path, "--out", "run")
    wait_until(lambda: len(processes_below(running.pid)) == 2, "there are two processes")
    time.sleep(1.0)
    there = processes_below(running.pid)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)

    assert running.returncode == (-9 if number == signal.SIGKILL else 3), err
    wait_until(lambda: not any(map(is_there, there)), "the processes have ended")
    assert "interrupted" in out + err or number == signal.SIGKILL
    assert "Traceback" not in err


# --- checks on items ------------------------------------------------------------------------

CHECKS = """\
from ddbverify import check, each_item

SEEN = []


@check(stateless=True)
@each_item
def check_the_total(target):
    assert not target["pk"].endswith("7")


@each_item
@check(stateless=True)
def check_that_raises(source, expected):
    raise KeyError("secret")


@each_item
def check_that_counts(source):
    SEEN.append(1)
"""


def item_checks(names):
    import checks_of_mine

    for name in names:
        made = getattr(checks_of_mine, name)
        settings = getattr(made, "ddb_settings", None)
        yield replace(made.ddb_item_check, stateless=bool(settings and settings.stateless))


def test_checks_that_keep_nothing_are_called_in_all_processes(server, tmp_path, module):
    module("checks_of_mine", CHECKS)
    checks, told, seen = list(item_checks(["check_the_total", "check_that_raises"])), [], []
    one, two = (
        ran(
            config_of(server, tmp_path, processes=number),
            Listeners(refuted=told.append, progress=lambda _: seen.append(len(processes_below()))),
            item_checks=checks,
        )
        for number in (1, 2)
    )

    assert max(seen) == 2
    for check in checks:
        ours, theirs = one.inspected[check.id], two.inspected[check.id]
        assert (ours.calls, ours.examined, ours.refuted) == (theirs.calls, theirs.examined, theirs.refuted)
        assert (ours.places, ours.raised) == (theirs.places, theirs.raised)
    first, second = two.inspected.values()
    assert (first.examined, first.refuted, len(first.examples)) == (ITEMS, ITEMS // 10, 5)
    assert second.raised.total() == ITEMS
    keys = [str(sorted(refutation.key.items())) for refutation in told]
    assert all(isinstance(one, Refutation) for one in told)
    assert len(keys) == 2 * len(set(keys)) == 2 * ITEMS // 10


def test_one_check_that_keeps_something_keeps_all_in_one_process(server, tmp_path, module):
    module("checks_of_mine", CHECKS)
    checks = list(item_checks(["check_the_total", "check_that_counts"]))
    begun = []
    ran(
        config_of(server, tmp_path),
        Listeners(progress=lambda _: begun.extend(processes_below())),
        item_checks=checks,
    )

    assert len(sys.modules["checks_of_mine"].SEEN) == ITEMS
    assert not begun


def test_a_check_of_items_that_differ_is_called_in_the_pass_itself(server, tmp_path):
    called = []
    check = ItemCheck("c", "c", lambda target: called.append(os.getpid()), ("target",), only_different=True)
    comparison = ran(config_of(server, tmp_path, target="altered"), item_checks=[check])

    assert called == [os.getpid()] * comparison.counts[State.DIFFERENT]


def test_a_check_that_another_process_cannot_find(module):
    module("checks_of_mine", CHECKS)
    (check,) = item_checks(["check_the_total"])

    assert PlacedCheck.of(check) is not None
    assert PlacedCheck.of(replace(check, stateless=False)) is None
    assert PlacedCheck.of(replace(check, function=lambda target: None)) is None


# --- how many -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "ceiling", "calls_code", "expected"),
    [
        (10_000_000, None, False, 1),
        (500_000_000, None, False, 1),
        (600_000_000, None, False, 2),
        (10**12, None, False, 4),
        (100_000_000, None, True, 1),
        (130_000_000, None, True, 2),
        (10**12, 100, True, 1),
        (10**12, 4_001, True, 2),
        (10**12, 4_001, False, 1),
        (10**12, 10**6, True, 4),
    ],
)
def test_as_many_as_are_worth_it(monkeypatch, size, ceiling, calls_code, expected):
    monkeypatch.setattr(processes, "cores", lambda: 4)
    both = [table(name, "eu-west-1", TableSizeBytes=size) for name in ("orders", "orders-v2")]

    assert worthwhile(*both, ceiling, calls_code=calls_code) == expected
    assert cores() >= 1
