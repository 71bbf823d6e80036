"""Histories on the embedded AWS: a short one always, ten of five minutes with ``make test-full``."""

from __future__ import annotations

import pytest

from tests.history.judge import told
from tests.history.run import FAULTS, History, Options, make

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e, pytest.mark.timeout(900)]

SHAPES = ("", "marked", "moved")

NO_GUARD = (
    "replicator/handlers/ledger.py",
    """f"attribute_not_exists(pk) OR n {'<=' if write.repair else '<'} :n",""",
    '"attribute_not_exists(pk) OR n <> :n",',
)


def assert_held(history: History, options: Options) -> None:
    again = f"python -m tests.history --seed {options.seed} --seconds {options.seconds:g} "
    again += f"--workers {options.workers} "
    assert history.judgement.holds, f"{told(history.judgement)}\n{again}--shape '{options.shape}'"
    assert history.holds, (
        f"drained {history.drained}, gap {history.gap}, run {history.verified} {history.not_passed}, "
        f"diff {history.by_two}\n{again}"
    )


def test_a_short_history_through_a_transform_that_rekeys_and_stumbles(tmp_path):
    options = Options(seed=3, seconds=8, shape="moved")
    history = make(tmp_path, options)
    assert_held(history, options)
    assert sum(history.struck.values()) > 5, "the nemesis did next to nothing"


def test_a_short_history_that_workers_carry(tmp_path):
    options = Options(seed=5, seconds=8, shape="marked", workers=2)
    history = make(tmp_path, options)
    assert_held(history, options)
    assert sum(history.struck.values()) > 5, "the nemesis did next to nothing"


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 4))
def test_five_minutes_that_workers_carry(tmp_path, seed):
    options = Options(seed=seed, seconds=300, shape=SHAPES[seed % 3], workers=2)
    history = make(tmp_path, options)
    assert_held(history, options)
    assert {"death", "end"} <= set(history.done)


@pytest.mark.full
def test_without_the_guard_a_history_is_found_out(tmp_path):
    history = make(tmp_path, Options(seed=4, seconds=10, patches=(NO_GUARD,), drain_seconds=6))
    assert not history.judgement.holds
    assert history.struck["again"] > 0


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 11))
def test_five_minutes(tmp_path, seed):
    options = Options(seed=seed, seconds=300, shape=SHAPES[seed % 3])
    history = make(tmp_path, options)
    assert_held(history, options)
    assert set(history.struck) == set(FAULTS)
