"""Whole migrations under traffic: small ones always, full ones with ``make test-full``."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.demonstration import Told, demonstrate
from tests.shared_data import films

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e, pytest.mark.timeout(600)]


def assert_nothing_was_lost(told: Told) -> None:
    assert told.status == 0, told.text[-4000:]
    assert told.outcome["held"]
    assert told.wrong == 0
    assert told.outcome["proof"]["expected"] > 0
    assert told.outcome["writes_after_flip"] > 0
    assert told.text.rstrip().endswith("lost 0, resurrected 0, stale 0")


def some_films(folder: Path, count: int) -> Path:
    """The first *count* films, as plain JSON."""
    text = gzip.decompress(films().read_bytes())
    few = json.loads(text, parse_float=str)[:count]
    for film in few:
        info = film["info"]
        info["rating"] = float(info["rating"]) if "rating" in info else 5.5
    path = folder / "films.json"
    path.write_text(json.dumps(few), encoding="utf-8")
    return path


@pytest.mark.full
def test_generated_items_of_every_type(tmp_path):
    told = demonstrate("--count", "300", "--traffic", "25", "--report", str(tmp_path / "reports"))

    assert_nothing_was_lost(told)
    altered, end = ((tmp_path / "reports" / name).read_text() for name in ("altered.html", "report.html"))
    assert "1 key different" in altered
    assert "fence_limit" in end
    assert str(tmp_path) not in altered + end


@pytest.mark.full
def test_a_transform_that_renames_the_hash_key_converts_a_type_and_drops_items(tmp_path):
    path = some_films(tmp_path, 300)
    told = demonstrate("--items", str(path), "--traffic", "25", "--transform", "film_transforms:by_release")
    assert_nothing_was_lost(told)
    assert told.outcome["proof"]["expected"] < 300 + 100  # some films are left out


@pytest.mark.full
def test_a_transform_that_rekeys_and_two_items_that_swap_keys(tmp_path):
    path = some_films(tmp_path, 300)
    told = demonstrate("--items", str(path), "--traffic", "25", "--transform", "film_transforms:by_id")
    assert_nothing_was_lost(told)
    assert any("swap" in step["step"] for step in told.outcome["steps"])


@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_films(seed):
    assert_nothing_was_lost(demonstrate("--items", str(films()), "--traffic", "100", "--seed", str(seed)))


@pytest.mark.full
@pytest.mark.parametrize("transform", ["film_transforms:by_release", "film_transforms:by_id"])
def test_all_films_through_a_transform(transform):
    assert_nothing_was_lost(
        demonstrate("--items", str(films()), "--traffic", "100", "--transform", transform)
    )
