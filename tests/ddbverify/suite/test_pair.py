"""Tables are read once; messages hold neither values nor keys; each planted fault is somebody's to find."""

from __future__ import annotations

import importlib.util

import msgspec
import pytest

from ddbverify import CheckFailed, Outcome, Pair, State, require
from ddbverify.config import load
from ddbverify.errors import EngineError
from ddbverify.suite.verdicts import NotApplicable
from tests.ddbverify import projects

TOKEN = "SENTINEL-55ad"
INVERSE = "check_the_inverse_holds"
TRANSFORMS = (
    "check_the_target_has_what_the_transform_makes",
    "check_the_target_has_nothing_that_the_transform_does_not_make",
)


def test_a_count_without_its_examples_still_refutes(tmp_path, monkeypatch):
    pair = _pair(tmp_path, monkeypatch, counts={"matched": 3, "missing": 2})

    assert pair.verdict(State.MISSING).outcome is Outcome.FAILED
    assert pair.verdict(State.DIFFERENT).outcome is Outcome.PASSED


def test_messages_hold_keyed_hashes_and_attribute_names_only(tmp_path, monkeypatch):
    key = {"id": {"S": TOKEN}}
    difference = {
        "state": "different",
        "key": key,
        "paths": [f"tags.{TOKEN}: S -> N", "price: values differ"],
    }
    pair = _pair(tmp_path, monkeypatch, counts={"different": 1}, differences=[difference])

    with pytest.raises(CheckFailed) as caught:
        require(pair.verdict(State.DIFFERENT))

    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(pair)
    assert pair.key_hash(key) in str(caught.value)
    assert "in price, tags" in str(caught.value)
    other = Pair(pair.config, pair.settings, secret=b"another run")
    assert other.key_hash(key) != pair.key_hash(key)


def test_all_checks_of_a_pair_share_one_pass_and_a_sample_costs_no_second(tmp_path, monkeypatch):
    pair = _pair(tmp_path, monkeypatch)
    assert pair.compared is None
    assert projects.passes(tmp_path) == 0

    for _ in range(3):
        pair.verdict(State.MISSING)
    assert pair.sample is pair.comparison is pair.compared

    assert projects.passes(tmp_path) == 1


def test_a_pass_that_failed_is_not_tried_again(tmp_path, monkeypatch):
    pair = _pair(tmp_path, monkeypatch)
    asked = []

    def refused(*_, **__):
        asked.append(1)
        raise EngineError("refused", "wait")

    monkeypatch.setattr("ddbverify.compare.runner.compare", refused)
    for _ in range(2):
        with pytest.raises(EngineError, match="refused"):
            pair.verdict(State.MISSING)
    assert asked == [1]


@pytest.mark.parametrize(
    ("spec", "refuted"),
    [
        ({"counts": {"matched": 3}}, set()),
        (
            {"counts": {"matched": 3, "missing": 1}},
            {
                "check_item_counts_agree",
                "check_every_source_key_is_in_the_target",
                "check_every_item_is_equal",
            },
        ),
        (
            {"counts": {"matched": 3, "extraneous": 1}},
            {
                "check_item_counts_agree",
                "check_no_key_is_in_the_target_only",
            },
        ),
        (
            {
                "counts": {"matched": 3, "different": 1},
                "differences": [{"state": "different", "key": {"id": {"S": "7"}}, "paths": ["n: value"]}],
            },
            {
                "check_every_item_is_equal",
            },
        ),
        (
            {
                "counts": {"matched": 3, "different": 1},
                "differences": [{"state": "different", "key": {"id": {"S": "7"}}, "paths": ["n: N -> S"]}],
            },
            {
                "check_every_item_is_equal",
                "check_no_attribute_changes_its_type",
            },
        ),
        ({"problems": ["a gap is latched"]}, {"check_the_pipeline_is_healthy"}),
        ({"settings": {"orders": {"pitr": "on"}}}, {"check_the_settings_are_the_same"}),
        ({"settings": {"orders-v2": {"tags.team": "1"}}}, {"check_the_settings_are_the_same"}),
        ({"settings": {"orders": {"autoscaling.read": "1 to 9"}}}, {"check_the_capacity_is_the_same"}),
        ({"settings": {"orders": {"index.by_day": "local"}}}, {"check_the_indexes_are_the_same"}),
        (
            {"tables": {"orders-v2": {"ttl": {"TimeToLiveStatus": "ENABLED", "AttributeName": "gone"}}}},
            {"check_time_to_live_is_off_in_the_target"},
        ),
        (
            {"tables": {"orders-v2": {"BillingModeSummary": None}}},
            {"check_the_capacity_is_the_same"},
        ),
        (
            {
                "tables": {
                    "orders": {
                        "GlobalSecondaryIndexes": [
                            {
                                "IndexName": "by_year",
                                "KeySchema": [{"AttributeName": "year", "KeyType": "HASH"}],
                                "Projection": {"ProjectionType": "ALL"},
                            }
                        ]
                    }
                }
            },
            {"check_the_indexes_are_the_same"},
        ),
        (
            {
                "tables": {
                    "orders-v2": {
                        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "N"}],
                        "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
                    }
                }
            },
            {"check_the_key_schema_fits"},
        ),
    ],
)
def test_each_planted_fault_is_found_by_exactly_the_checks_that_claim_to(
    tmp_path, monkeypatch, spec, refuted
):
    pair = _pair(tmp_path, monkeypatch, **spec)

    assert _outcomes(pair, CheckFailed) == refuted


@pytest.mark.parametrize(
    ("pair_changes", "left_out"),
    [
        ({}, {"check_sampled_items_are_equal", *TRANSFORMS, INVERSE}),
        ({"transform": "shop:one"}, {"check_sampled_items_are_equal", "check_every_item_is_equal", INVERSE}),
        ({"sampled": True}, {*TRANSFORMS, INVERSE}),
    ],
)
def test_a_check_that_would_say_what_another_says_is_not_applicable(
    tmp_path, monkeypatch, pair_changes, left_out
):
    found = [{"state": "different", "key": {"id": {"S": "7"}}, "paths": ["n: value"]}]
    pair = _pair(tmp_path, monkeypatch, counts={"matched": 3, "different": 1}, differences=found)
    assert pair.comparison
    if pair_changes.get("transform"):
        pair.settings = msgspec.structs.replace(pair.settings, transform="shop:one")
    pair._fraction = 0.5 if pair_changes.get("sampled") else None

    assert _outcomes(pair, NotApplicable) == left_out
    assert len(_outcomes(pair, CheckFailed)) == (2 if pair._fraction else 1)


def _outcomes(pair, kind):
    """The checks of the default suite that end in a kind of error."""
    found = set()
    for name, check in _default_suite().items():
        try:
            check(pair)
        except (CheckFailed, NotApplicable) as error:
            found |= {name} if isinstance(error, kind) else set()
    return found


def test_counts_that_agree_by_accident_are_caught_by_the_keys(tmp_path, monkeypatch):
    pair = _pair(tmp_path, monkeypatch, counts={"matched": 3, "missing": 5, "extraneous": 5})
    suite = _default_suite()

    suite["check_item_counts_agree"](pair)
    with pytest.raises(CheckFailed):
        suite["check_every_source_key_is_in_the_target"](pair)


def test_every_check_of_the_suite_says_what_it_claims_and_what_not():
    suite = _default_suite()

    assert len(suite) == 15
    for check in suite.values():
        assert {"Refuted by", "Silent about", "Cost"} <= {
            line.partition(":")[0].strip() for line in (check.__doc__ or "").splitlines()
        }


def _pair(folder, monkeypatch, **spec):
    config = load(projects.make_project(folder, default_suite=False, **spec))
    projects.stand_in(folder, monkeypatch)
    return Pair(config, config.tables[0], secret=b"of this run")


def _default_suite():
    found = {}
    for file in sorted((projects.REPOSITORY / "checks").glob("check_*.py")):
        spec = importlib.util.spec_from_file_location(f"suite_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= {name: one for name, one in vars(module).items() if name.startswith("check_")}
    return found
