"""Every bad `migration.toml` is refused with the table and the key to change."""

from __future__ import annotations

import pytest

from ddbverify.config import load, parse, with_coverage
from ddbverify.config_checks import split_host
from ddbverify.errors import ConfigurationError
from ddbverify.names import pair_id

GOOD = '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n'


def test_only_tables_are_required(tmp_path):
    config = parse(GOOD, tmp_path)

    assert (config.name, config.verification.coverage, config.gate.clean_runs) == ("migration", "full", 1)
    assert config.replication is None
    assert config.replicated.groups == 32
    assert config.folder == tmp_path
    assert config.verification.sampled_fraction is None


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "migration.toml").write_text(GOOD, encoding="utf-8-sig")

    assert load(tmp_path / "migration.toml").tables[0].source == "orders"


def test_durations_sizes_and_samples_are_read_with_their_units(tmp_path):
    text = (
        GOOD + '[verification]\nsettle = "1.5m"\nmemory = "2GB"\ncoverage = "0.5%"\n[gate]\nmax_age = "2h"\n'
    )
    config = parse(text, tmp_path)

    assert config.verification.settle == 90
    assert config.verification.memory == 2_000_000_000
    assert config.verification.sampled_fraction == 0.005
    assert config.gate.max_age == 7200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"no \[\[tables\]\] section"),
        ("tables = []", r"no \[\[tables\]\] section"),
        ("[[tables]\n", "not valid TOML"),
        ('folder = "x"\n' + GOOD, "unknown key `folder`"),
        ('nmae = "x"\n' + GOOD, "unknown key `nmae`; perhaps `name` is meant"),
        (GOOD + '[cutovr]\nquiet = "3s"\n', "unknown key `cutovr`; perhaps `cutover` is meant"),
        (
            GOOD + '[replication]\noverlapp = "3s"\n',
            "replication: unknown key `overlapp`; perhaps `overlap` is meant",
        ),
        (GOOD + '[gate]\nsettle = "3s"\n', r"gate: unknown key `settle`; there is one in \[verification\]"),
        (GOOD + "[gate]\nxyz = 1\n", r"gate: unknown key `xyz`\."),
        (GOOD + '[gate]\nunclaimed = ["churning"]\n', r"gate\.unclaimed.*churning"),
        (GOOD + '[gate]\nunclaimed = "extraneous"\n', r"gate\.unclaimed"),
        ('foldr = "x"\n' + GOOD, r"unknown key `foldr`\."),
        ('name = "shop-back-1"\n' + GOOD, "what the way back of a migration is called"),
        ('name = "shop-over-12"\n' + GOOD, "what the way back of a migration is called"),
        (GOOD + '[cutover]\nway_back = "a week"\n', r"\[cutover\] way_back = 'a week' is neither"),
        (GOOD + "[cutover]\nway_back = 7\n", "cutover.way_back"),
        (
            f'name = "{"n" * 23}"\n{GOOD}[cutover]\nway_back = "7d"\n',
            "too long for [cutover] way_back".replace("[", r"\[").replace("]", r"\]"),
        ),
        (GOOD + '[cutover]\nway_back = "7d"\nfence = "command:./fence"\n', "which table to fence"),
        (GOOD + 'transfrom = "a:b"\n', r"\[\[tables\]\] number 1.*unknown key `transfrom`"),
        (GOOD + "rekeys = 1\n", r"\[\[tables\]\] number 1, rekeys"),
        (GOOD + "rekeys = true\n", r"\[\[tables\]\] number 1.*needs a transform"),
        (GOOD + 'transform = "no colon"\n', r"\[\[tables\]\] number 1, transform"),
        (GOOD + 'transform = "a:b"\ninverse = "no colon"\n', r"\[\[tables\]\] number 1, inverse"),
        (GOOD + 'inverse = "a:b"\n', r"\[\[tables\]\] number 1: inverse needs a transform"),
        (GOOD + 'transform = "a:b"\ninverse = "a:c"\nrekeys = true\n', r"number 1: .*has no inverse"),
        ('[[tables]]\nsource = "orders"\n', r"\[\[tables\]\] number 1.*`target` is missing"),
        ('[[tables]]\nsource = "or"\ntarget = "orders"\n', r"number 1, source"),
        ('[[tables]]\nsource = "orders"\ntarget = "orders"\n', "number 1: source and target are the same"),
        (GOOD + GOOD, "number 2: the target is also the target of number 1"),
        (GOOD + "[source]\nregion = 1\n", "source.region"),
        (
            '[[tables]]\nsource = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"\ntarget = "v2-x"\n'
            '[source]\nregion = "us-east-1"\n',
            "number 1, source: the ARN is of eu-west-1",
        ),
        (GOOD + '[verification]\nsettle = "60"\n', "verification.settle"),
        (GOOD + "[verification]\nprocesses = 0\n", "processes = 0 is out of range"),
        (GOOD + "[verification]\nmax_read_units = 0\n", "max_read_units = 0 is out of range"),
        (GOOD + "[verification]\nmax_read_units = 1.5\n", "verification.max_read_units"),
        (GOOD + '[verification]\nevery = "90m"\n', "every is 1.5 hours"),
        (GOOD + '[verification]\nevery = "1h"\n', "every is 1 hours"),
        (GOOD + '[verification]\nevery = "4d"\n', "every is 96 hours"),
        (GOOD + '[verification]\ncoverage = "half"\n', "coverage"),
        (GOOD + '[verification]\ncoverage = "0%"\n', "coverage"),
        (GOOD + '[verification]\ncoverage = "101%"\n', "coverage"),
        (GOOD + "[verification]\nread_units = 0\n", "read_units"),
        (GOOD + "[gate]\nclean_runs = 0\n", "clean_runs"),
        (GOOD + "[gate]\nrequired = []\n", "required"),
        (GOOD + '[gate]\nsigning_key = "key.pem"\n', "signing_key"),
        (GOOD + "[replication]\ngroups = 0\n", "groups"),
        (GOOD + "[replication]\nworker = true\nscheduled_audit = true\n", "scheduled_audit"),
        (GOOD + '[replication]\nbackfill = "magic"\n', "replication.backfill"),
        (GOOD + '[cutover]\npointer = "orders"\n', "pointer"),
        (GOOD + '[cutover]\nfence = "wall"\n', "fence"),
        (GOOD + '[metrics]\ntextfile = " "\n', r"\[metrics\] textfile names no folder"),
        (GOOD + '[metrics]\notlp = "localhost:4318"\n', r"\[metrics\] otlp is no address"),
        (
            GOOD + '[metrics]\notlp = "http://user:SECRET@host"\n',
            r"otlp is no address(?!.*SECRET)",
        ),
        (GOOD + '[metrics]\notlp = "http://host:port"\n', r"\[metrics\] otlp is no address"),
        (GOOD + '[metrics]\nstatsd = "localhost"\n', r"\[metrics\] statsd = 'localhost'"),
        (GOOD + '[metrics]\nstatsd = "localhost:99999"\n', r"\[metrics\] statsd"),
        (GOOD + '[metrics]\nprometheus = "x"\n', "unknown key `prometheus`"),
        (GOOD + '[notify]\ncommand = " "\n', r"\[notify\] command names no command"),
        (GOOD + '[notify]\ncommand = "./tell \'me"\n', r"\[notify\] command names no command"),
        (GOOD + '[notify]\ntopic = "migrations"\n', r"\[notify\] topic = 'migrations' is not the ARN"),
        (GOOD + '[notify]\ntopic = "arn:aws:sns:eu-west-1:111122223333:a.fifo"\n', r"\[notify\] topic"),
        ('name = "Orders"\n' + GOOD, "name = 'Orders'"),
    ],
)
def test_bad_input_is_refused_with_the_place_and_a_hint(tmp_path, text, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        parse(text, tmp_path)

    assert caught.value.hint


def test_the_same_table_name_in_another_region_is_another_table(tmp_path):
    text = '[[tables]]\nsource = "orders"\ntarget = "orders"\n'

    assert parse(text + '[source]\nregion = "eu-west-1"\n[target]\nregion = "eu-west-3"\n', tmp_path)


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "migration.toml")
    (tmp_path / "migration.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load(tmp_path / "migration.toml")


def test_coverage_given_for_one_run_is_checked_too(tmp_path):
    config = parse(GOOD, tmp_path)

    assert with_coverage(config, "10%").verification.sampled_fraction == 0.1
    with pytest.raises(ConfigurationError, match="coverage"):
        with_coverage(config, "most")


def test_pair_ids_are_short_stable_and_tell_pairs_apart():
    assert pair_id("orders", "orders-v2") == pair_id("orders", "orders-v2")
    assert len({pair_id("a" * 99, "b"), pair_id("a" * 99, "c"), pair_id("orders", "b")}) == 3
    assert len(pair_id("a" * 255, "b")) <= 23


def test_there_is_a_way_back_unless_it_is_switched_off(tmp_path):
    for said, seconds in (("", 7 * 86_400), ('way_back = "12h"\n', 43_200), ('way_back = "off"\n', None)):
        assert parse(GOOD + "[cutover]\n" + said, tmp_path).cutover.way_back_seconds == seconds
    parse(f'name = "{"n" * 23}"\n{GOOD}[cutover]\nfence = "command:./fence"\n', tmp_path)
    assert parse('name = "the-way-back"\n' + GOOD, tmp_path).name == "the-way-back"


@pytest.mark.parametrize(
    ("text", "split"),
    [("localhost:8125", ("localhost", 8125)), ("[::1]:8125", ("::1", 8125)), ("10.0.0.1:1", ("10.0.0.1", 1))],
)
def test_a_host_has_a_port(text, split):
    assert split_host(text) == split


STACK = 'tables = [{source = "orders", target = "orders-v2"}]\n[stack]\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            'permissions_boundary = "team"',
            r"\[stack\] permissions_boundary = 'team' is not the ARN of a policy",
        ),
        ('writer_boundary = "arn:aws:iam::1:role/x"', "writer_boundary"),
        ('role_path = "migrations"', "role_path = 'migrations' is not a path"),
        ('role_prefix = "a b"', "role_prefix"),
        ('role_prefix = "an-uncommonly-long-prefix-of-names"', "too long for roles"),
        ('subnets = ["subnet-1"]', "one of subnets and security_groups"),
        ('subnets = ["orders"]\nsecurity_groups = ["sg-1"]', "subnets: 'orders' is no id"),
        ('queue_key = "alias/orders"', "queue_key = 'alias/orders' is not the ARN of a KMS key"),
        ("log_retention = 31", "log_retention = 31 is none that CloudWatch has"),
        ("forwarder_memory = 64", "forwarder_memory = 64 is out of range"),
        ("concurrency = 1", "concurrency = 1 is out of range"),
        ('tags = {"aws:x" = "y"}', "'aws:x' is reserved"),
        ('tags = {"replicator:migration" = "y"}', "is reserved"),
        ("tag = {}", "perhaps `tags` is meant"),
    ],
)
def test_what_the_stacks_cannot_have_is_refused(tmp_path, text, named):
    with pytest.raises(ConfigurationError, match=named):
        parse(STACK + text, tmp_path)


def test_more_tags_than_aws_allows_are_refused(tmp_path):
    tags = ", ".join(f"t{number} = 'x'" for number in range(50))
    with pytest.raises(ConfigurationError, match="too many tags"):
        parse(f"{STACK}tags = {{{tags}}}", tmp_path)


def test_in_a_way_back_the_keys_of_state_and_ledger_change_places(tmp_path):
    keys = [f"arn:aws:kms:eu-west-1:123456789012:key/{name}" for name in ("state", "ledger")]
    config = parse(f'{STACK}table_key = "{keys[0]}"\nledger_key = "{keys[1]}"\nconcurrency = 7', tmp_path)

    back, over = config.turned(1).stack, config.turned(2).stack
    assert [back.table_key, back.ledger_key, back.concurrency] == [keys[1], keys[0], 7]
    assert over == config.stack
