"""Every setting that differs is named once, by itself, and can be accepted by that name only."""

from __future__ import annotations

import pytest

from ddbverify import Outcome, Pair, Verdict
from ddbverify.config import parse
from ddbverify.errors import ConfigurationError
from ddbverify.setting_names import FAMILIES, SETTINGS, is_known, is_one_of
from ddbverify.tables.parity import compare_settings
from ddbverify.tables.settings import TableSettings, described
from tests.ddbverify import projects
from tests.ddbverify.suite.test_pair import _default_suite

INDEX = {
    "index.by_day": "global",
    "index.by_day.keys": "day",
    "index.by_day.projection": "ALL",
    "index.by_day.status": "ACTIVE",
}
PROVISIONED = {"billing": "provisioned", "capacity.read": "5", "capacity.write": "5"}
BASE = {"billing": "on demand", "table_class": "STANDARD", "encryption": "with a key that DynamoDB owns"}


def _names(source, target, *, reshaped=False, same_place=True, stream_is_ours=False, unread=None):
    parity = compare_settings(
        TableSettings(BASE | source, {}),
        TableSettings(BASE | target, unread or {}),
        reshaped=reshaped,
        same_place=same_place,
        stream_is_ours=stream_is_ours,
    )
    return [one.name for one in parity.differences if not one.deferred]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ({}, {}, []),
        ({"pitr": "on", "pitr.days": "35"}, {}, ["pitr"]),
        ({"pitr": "on", "pitr.days": "35"}, {"pitr": "on", "pitr.days": "7"}, ["pitr.days"]),
        ({}, {"pitr": "on"}, ["pitr"]),
        ({"deletion_protection": "on"}, {}, ["deletion_protection"]),
        ({"policy": "1"}, {"policy": "2"}, ["policy"]),
        ({"tags.team": "1", "tags.a b": "1"}, {"tags.team": "2"}, ["tags.a b", "tags.team"]),
        ({"stream": "NEW_IMAGE"}, {}, ["stream"]),
        ({"stream": "NEW_IMAGE"}, {"stream": "KEYS_ONLY"}, ["stream"]),
        ({"table_class": "STANDARD_INFREQUENT_ACCESS"}, {}, ["table_class"]),
        ({"kinesis": "arn"}, {}, ["kinesis"]),
        ({"replicas": "eu-west-1"}, {}, ["replicas"]),
        ({"contributor_insights": "on"}, {}, ["contributor_insights"]),
        ({"encryption": "with KMS", "encryption.key": "k"}, {}, ["encryption"]),
        (
            {"encryption": "with KMS", "encryption.key": "k"},
            {"encryption": "with KMS", "encryption.key": "l"},
            ["encryption.key"],
        ),
        ({}, {"ttl": "by the attribute gone"}, ["ttl"]),
        ({"ttl": "by the attribute gone"}, {"ttl": "by the attribute gone"}, ["ttl"]),
        ({"ttl": "by the attribute gone"}, {}, []),
        (INDEX, {}, ["index.by_day"]),
        (INDEX | {"capacity.index.by_day.read": "5"}, {}, ["index.by_day"]),
        ({}, INDEX, ["index.by_day"]),
        (INDEX, INDEX | {"index.by_day.projection": "KEYS_ONLY"}, ["index.by_day.projection"]),
        (INDEX, INDEX | {"index.by_day.keys": "day + hour"}, ["index.by_day.keys"]),
        (INDEX, INDEX | {"index.by_day": "local"}, ["index.by_day"]),
        (INDEX, INDEX | {"index.by_day.status": "CREATING"}, ["index.by_day.status"]),
        (INDEX | {"index.by_day.status": "CREATING"}, INDEX, []),
        (PROVISIONED, {}, ["billing"]),
        (PROVISIONED, PROVISIONED | {"capacity.read": "1"}, ["capacity.read"]),
        (
            PROVISIONED | {"autoscaling.read": "1 to 9"},
            PROVISIONED | {"autoscaling.read": "1 to 9", "capacity.read": "1", "capacity.write": "1"},
            ["capacity.write"],
        ),
        (
            PROVISIONED | {"autoscaling.read": "1 to 9"},
            PROVISIONED | {"autoscaling.read": "1 to 5"},
            ["autoscaling.read"],
        ),
        ({"capacity.warm_write": "40000"}, {"capacity.warm_write": "4000"}, ["capacity.warm_write"]),
        ({"capacity.warm_write": "4000"}, {"capacity.warm_write": "40000"}, []),
        ({"capacity.max_read": "10"}, {}, ["capacity.max_read"]),
    ],
)
def test_each_difference_has_its_name_and_no_other(source, target, expected):
    assert _names(source, target) == expected


def test_a_key_of_encryption_cannot_be_the_same_elsewhere():
    one, other = ({"encryption": "with KMS", "encryption.key": key} for key in "kl")

    assert _names(one, other, same_place=False) == []


def test_a_stream_that_the_migration_turned_on_is_not_missed():
    assert _names({"stream": "NEW_IMAGE"}, {}, stream_is_ours=True) == []
    assert _names({"stream": "NEW_IMAGE"}, {"stream": "NEW_IMAGE"}, stream_is_ours=True) == ["stream"]


def test_a_reshaped_target_has_indexes_of_its_own_that_have_to_be_active():
    assert _names(INDEX, {}, reshaped=True) == []
    assert _names({}, INDEX | {"index.by_day.status": "CREATING"}, reshaped=True) == ["index.by_day.status"]
    assert _names({"pitr": "on"}, {}, reshaped=True) == ["pitr"]


def test_what_was_not_read_is_not_compared():
    assert (
        _names({"tags.team": "1", "pitr": "on", "pitr.days": "7"}, {}, unread={"tags.*": "", "pitr": ""})
        == []
    )


@pytest.mark.parametrize("name", [*SETTINGS, *(f"{family}x.read" for family in FAMILIES)])
def test_every_setting_is_some_checks_and_only_one(name, tmp_path, monkeypatch):
    """A difference in it, whatever its name, is refuted by exactly one check of the default suite."""
    refuted = []
    pair = _pair(tmp_path, monkeypatch)

    def parity(*names):
        refuted.append(is_one_of(name, names))
        return Verdict(examined=1)

    monkeypatch.setattr(pair, "parity", parity)
    for check in ("indexes_are", "capacity_is", "settings_are"):
        _default_suite()[f"check_the_{check}_the_same"](pair)
    _default_suite()["check_time_to_live_is_off_in_the_target"](pair)

    assert sum(refuted) == 1


@pytest.mark.parametrize(
    "pattern",
    ["pitr", "pitr*", "tags.team", "tags.*", "index.by_date.*", "capacity.*", "autoscaling.*"],
)
def test_settings_can_be_accepted_by_name(pattern):
    assert is_known(pattern)


@pytest.mark.parametrize(
    "pattern", ["*", "*.*", "*.read", "*e*", "", "pitrr", "tags", "tags.", "keys", "index.", "[a-z]*", "PITR"]
)
def test_what_names_no_setting_or_all_of_them_is_refused(pattern, tmp_path):
    toml = projects.TOML + f'accept = ["{pattern}"]\n'

    with pytest.raises(ConfigurationError, match=r"accept: .* names no setting"):
        parse(toml, tmp_path)


def test_an_accepted_difference_passes_and_is_told(tmp_path, monkeypatch):
    settings = {"orders": {"pitr": "on", "tags.team": "1", "ttl": "by the attribute gone"}}
    pair = _pair(tmp_path, monkeypatch, 'accept = ["pitr", "tags.team"]\n', settings=settings)

    verdict = pair.parity("*")

    assert verdict.outcome is Outcome.PASSED
    assert verdict.accepted == (
        "pitr: on in the source, not set in the target",
        "tags.team: not in the target",
        "ttl: by the attribute gone in the source; turn it on after the cutover (until the cutover)",
    )


def test_one_accepted_name_does_not_accept_its_neighbours(tmp_path, monkeypatch):
    settings = {"orders": {"tags.team": "1", "tags.tea": "1"}}
    pair = _pair(tmp_path, monkeypatch, 'accept = ["tags.team"]\n', settings=settings)

    assert [str(one) for one in pair.parity("tags.*").findings] == ["tags.tea: not in the target"]


@pytest.mark.parametrize(
    ("accept", "outcome"),
    [("", Outcome.INCONCLUSIVE), ('"tags.team"', Outcome.INCONCLUSIVE), ('"tags.*"', Outcome.PASSED)],
)
def test_what_could_not_be_read_is_undecided_unless_all_of_it_is_accepted(
    tmp_path, monkeypatch, accept, outcome
):
    pair = _pair(tmp_path, monkeypatch, f"accept = [{accept}]\n")
    why = {"tags.*": "it takes the permission dynamodb:ListTagsOfResource on orders"}
    monkeypatch.setattr(
        "ddbverify.tables.settings.read", lambda _, table: TableSettings(described(table), why)
    )

    verdict = pair.parity("tags.*")

    assert verdict.outcome is outcome
    said = verdict.unexamined or verdict.accepted
    assert "permission dynamodb:ListTagsOfResource" in said[0]


def _pair(folder, monkeypatch, accept="", **spec):
    config = parse(projects.TOML + accept, folder)
    projects.make_project(folder, default_suite=False, **spec)
    projects.stand_in(folder, monkeypatch)
    return Pair(config, config.tables[0], secret=b"of this run")
