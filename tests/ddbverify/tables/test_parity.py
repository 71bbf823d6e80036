"""Every setting that differs is named once, by itself, and can be accepted by that name only."""

from __future__ import annotations

import pytest

from ddbverify import Outcome, Pair, Verdict
from ddbverify.config import parse
from ddbverify.errors import ConfigurationError
from ddbverify.pipeline import health
from ddbverify.pipeline.health import PipelineHealth
from ddbverify.setting_names import FAMILIES, SETTINGS, Kind, Pattern, Setting, is_one_of, pattern
from ddbverify.tables.parity import compare_settings
from ddbverify.tables.settings import TableSettings, described
from tests.ddbverify import projects
from tests.ddbverify.suite.test_pair import _default_suite

INDEX = {
    "index.by_day": "global",
    "index.by_day.keys": "HASH day (S)",
    "index.by_day.projection": "ALL",
    "index.by_day.status": "ACTIVE",
}
MORE = ('index."by_day".shape', 'index."by day"', "index.コスト", 'index."by_day', "capacity.index.")
PROVISIONED = {"billing": "provisioned", "capacity.read": "5", "capacity.write": "5"}
BASE = {"billing": "on demand", "table_class": "STANDARD", "encryption": "with a key that DynamoDB owns"}


def _names(source, target, *, reshaped=False, same_place=True, stream_is_ours=False, unread=None, **more):
    parity = compare_settings(
        TableSettings(projects.settings_named(BASE | source), {}),
        TableSettings(projects.settings_named(BASE | target), {pattern(one): "" for one in unread or ()}),
        reshaped=reshaped,
        same_place=same_place,
        stream_is_ours=stream_is_ours,
        **more,
    )
    return [str(one.setting) for one in parity.differences if not one.deferred]


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
        (INDEX, INDEX | {"index.by_day.keys": "HASH day (S) + RANGE hour (N)"}, ["index.by_day.keys"]),
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


UNLUCKY = ("order.status", "order.keys", "a.b.c", "status", "by_day.projection", "read", "x.read", "team")


@pytest.mark.parametrize("name", UNLUCKY)
@pytest.mark.parametrize("kind", [Kind.INDEX, Kind.TAG, Kind.UNKNOWN])
def test_every_name_is_spelled_so_that_it_alone_is_meant(kind, name):
    one, others = Setting(kind, name), [Setting(kind, other) for other in UNLUCKY if other != name]
    others += [Setting(Kind.INDEX, "order", field) for field in ("status", "keys")]
    others += [Setting(Kind.INDEX, name, field) for field in ("status", "keys", "projection")]

    assert pattern(str(one)).means(one)
    assert not [str(other) for other in others if pattern(str(one)).means(other)]


@pytest.mark.parametrize("name", UNLUCKY)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        *((Kind.INDEX, field) for field in ("keys", "projection", "status")),
        *((Kind.INDEX_CAPACITY, field) for field in ("read", "warm_write")),
        (Kind.INDEX_AUTOSCALING, "write"),
        (Kind.INDEX_UNKNOWN, "Anything"),
    ],
)
def test_every_field_of_an_index_is_spelled_so_that_it_alone_is_meant(kind, field, name):
    one = Setting(kind, name, field)

    assert pattern(str(one)).means(one)
    assert not pattern(str(one)).means(Setting(Kind.INDEX, f"{name}.{field}"))
    assert pattern(f"{kind}.*").means(one)


def test_an_old_spelling_means_what_it_meant_where_only_one_thing_can_be_meant():
    status = Setting(Kind.INDEX, "order", "status")

    assert pattern("index.order.status").means(status)
    assert not pattern("index.order.status").means(Setting(Kind.INDEX, "order.status"))
    assert pattern("index.by.date").means(Setting(Kind.INDEX, "by.date"))
    assert pattern("index.by.date.keys").means(Setting(Kind.INDEX, "by.date", "keys"))
    assert pattern("index.order.*").means(status)
    assert not pattern("index.order.*").means(Setting(Kind.INDEX, "order.status"))
    assert pattern("index.*.status").means(Setting(Kind.INDEX, "a.b", "status"))
    assert pattern("tags.a.b").means(Setting(Kind.TAG, "a.b"))
    assert pattern("capacity.*").means(Setting(Kind.INDEX_CAPACITY, "a.b", "read"))


@pytest.mark.parametrize("name", ["order.status", "order.keys", "by_day.projection"])
def test_an_index_with_an_unlucky_name_is_missed_and_is_no_difference_of_its_own(name):
    index = {
        Setting(Kind.INDEX, name, field): value
        for field, value in (
            ("", "global"),
            ("keys", "HASH a (S)"),
            ("projection", "ALL"),
            ("status", "ACTIVE"),
        )
    }
    values = {**projects.settings_named(BASE), **index}

    def compared(source, target):
        settings = (TableSettings(one, {}) for one in (source, target))
        parity = compare_settings(*settings, reshaped=False, same_place=True, stream_is_ours=False)
        return [str(one.setting) for one in parity.differences]

    assert compared(values, values) == []
    assert compared(values, projects.settings_named(BASE)) == [f'index."{name}"']
    assert compared(projects.settings_named(BASE), values) == [f'index."{name}"']


@pytest.mark.parametrize("key", ["warm_standby", "max_read", "autoscaling.read", "index.a.read", "pitr.days"])
@pytest.mark.parametrize("base", [{}, PROVISIONED], ids=["on demand", "provisioned"])
def test_a_tag_that_is_called_like_a_setting_is_a_tag(base, key):
    one = base | {f"tags.{key}": "1"}

    assert _names(one, base) == [f"tags.{key}"]
    assert _names(one, base | {f"tags.{key}": "2"}) == [f"tags.{key}"]
    assert _names(one, one) == []


@pytest.mark.parametrize("name", ["warm_standby", "max_read", "index"])
def test_an_index_that_is_called_like_a_setting_is_an_index(name):
    one = PROVISIONED | {
        f"index.{name}": "global",
        f"capacity.index.{name}.read": "5",
        f"capacity.index.{name}.write": "5",
    }

    assert _names(one, one | {f"capacity.index.{name}.read": "6"}) == [f"capacity.index.{name}.read"]
    assert _names(one, PROVISIONED) == [f"index.{name}"]


def test_what_was_not_read_is_not_compared():
    assert _names({"tags.team": "1", "pitr": "on", "pitr.days": "7"}, {}, unread=["tags.*", "pitr"]) == []


@pytest.mark.parametrize("name", [*SETTINGS, *(f"{family}x.read" for family in FAMILIES)])
def test_every_setting_is_some_checks_and_only_one(name, tmp_path, monkeypatch):
    """A difference in it, whatever its name, is refuted by exactly one check of the default suite."""
    refuted = []
    pair = _pair(tmp_path, monkeypatch)

    def parity(*names):
        refuted.append(is_one_of(projects.setting(name), map(pattern, names)))
        return Verdict(examined=1)

    monkeypatch.setattr(pair, "parity", parity)
    for check in ("indexes_are", "capacity_is", "settings_are"):
        _default_suite()[f"check_the_{check}_the_same"](pair)
    _default_suite()["check_time_to_live_is_off_in_the_target"](pair)

    assert sum(refuted) == 1


@pytest.mark.parametrize(
    "spelling",
    [
        *("pitr", "pitr*", "tags.team", "tags.*", "index.by_date.*", "capacity.*", "autoscaling.*"),
        *("tags.コスト", "tags.a b/c:d=e+f-g@h", "tags.Straße", 'index."order.status"', 'index."a.b".keys'),
        *('capacity.index."order.status".read', "unknown.VectorIndexes", "unknown.*"),
    ],
)
def test_settings_can_be_accepted_by_name(spelling):
    assert Pattern.parse(spelling) is not None


@pytest.mark.parametrize(
    "spelling",
    ["*", "*.*", "*.read", "*e*", "", "pitrr", "tags", "tags.", "keys", "index.", "[a-z]*", "PITR", *MORE],
)
def test_what_names_no_setting_or_all_of_them_is_refused(spelling, tmp_path):
    toml = projects.TOML + f"accept = ['{spelling}']\n"

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


@pytest.mark.parametrize("source_follows", [False, True])
def test_the_state_table_says_which_table_follows(tmp_path, monkeypatch, source_follows):
    pair = _pair(tmp_path, monkeypatch, settings={"orders": {"ttl": "by the attribute gone"}})
    found = PipelineHealth(exists=True, source_follows=source_follows)
    monkeypatch.setattr(health, "health", lambda *_: found)

    assert pair.parity("ttl").outcome is (Outcome.FAILED if source_follows else Outcome.PASSED)


@pytest.mark.parametrize("key", ["コスト", "cost.centre", "warm_standby", "a b/c:d=e+f-g@h"])
def test_a_tag_of_any_name_is_accepted_by_the_spelling_that_its_finding_shows(tmp_path, monkeypatch, key):
    settings = {"orders": {f"tags.{key}": "1"}}
    pair = _pair(tmp_path / "a", monkeypatch, settings=settings)
    hint = pair.parity("tags.*").hint
    accepting = _pair(
        tmp_path / "b", monkeypatch, hint.partition("[[tables]] ")[2].rstrip(".") + "\n", settings=settings
    )

    assert pair.parity("tags.*").outcome is Outcome.FAILED
    assert accepting.parity("tags.*").outcome is Outcome.PASSED


def test_an_index_with_dots_is_accepted_by_the_spelling_that_its_finding_shows(tmp_path, monkeypatch):
    settings = {"orders": {'index."order.status"': "global"}}
    pair = _pair(tmp_path / "a", monkeypatch, settings=settings)
    accept = pair.parity("index.*").hint.partition("[[tables]] ")[2].rstrip(".")
    accepting = _pair(tmp_path / "b", monkeypatch, accept + "\n", settings=settings)

    assert accept == """accept = ['index."order.status"']"""
    assert accepting.parity("index.*").outcome is Outcome.PASSED


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
    why = {pattern("tags.*"): "it takes the permission dynamodb:ListTagsOfResource on orders"}
    monkeypatch.setattr(
        "ddbverify.tables.settings.read", lambda _, table: TableSettings(described(table), why)
    )

    verdict = pair.parity("tags.*")

    assert verdict.outcome is outcome
    said = verdict.unexamined or verdict.accepted
    assert "permission dynamodb:ListTagsOfResource" in said[0]


def _pair(folder, monkeypatch, accept="", **spec):
    folder.mkdir(exist_ok=True)
    config = parse(projects.TOML + accept, folder)
    projects.make_project(folder, default_suite=False, **spec)
    projects.stand_in(folder, monkeypatch)
    return Pair(config, config.tables[0], secret=b"of this run")


@pytest.mark.parametrize("source_follows", [False, True])
def test_time_to_live_has_to_be_off_in_the_table_that_follows(source_follows):
    on = {"ttl": "by the attribute gone"}
    follower, other = ((on, {}), ({}, on)) if source_follows else (({}, on), (on, {}))

    assert _names(*follower, source_follows=source_follows) == ["ttl"]
    assert _names(on, on, source_follows=source_follows) == ["ttl"]
    assert _names(*other, source_follows=source_follows) == []
