"""A pair is started anew, under writes, from every state that a migration can be in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.names import Fact
from replicator.cli import main
from replicator.commands import audit, repair
from replicator.commands.clearing import _purge
from replicator.commands.cutover import CUTOVER
from replicator.commands.restart import _chosen, _may_begin
from replicator.context import clock
from replicator.handlers.state import State
from replicator.stack import stacks
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture
def begun(aws, unique, tmp_path, monkeypatch):
    """A migration that is not up yet; each test goes as far as it needs."""
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    made = Migration(aws, unique("r"), tmp_path)
    made.configure()
    for number in range(30):
        made.put(f"k{number}", f"v{number}")
    yield made
    made.down()  # mappings that poll for nobody slow the others' tests down


def busy(migration):
    def write(number):
        key = f"k{number % 40}"
        if number % 7 == 3:
            migration.remove(key)
        else:
            migration.put(key, f"w{number}")

    return migration.traffic(write)


def test_it_is_refused_before_anything_is_touched_where_it_cannot_be(begun):
    with pytest.raises(Refused, match="has not begun"):
        begun.restart()
    begun.up()
    state = begun.state()

    with pytest.raises(ConfigurationError, match="no pair"):
        begun.restart(sources=["no-such-table"])
    for flag in ("flipped", "flipping", "fenced"):
        begun.context().whole.put(CUTOVER, steps={}, **{flag: True})
        with pytest.raises(Refused, match=r"moved to the target|left its fence up"):
            begun.restart()
    begun.context().whole.delete(CUTOVER)
    mine = begun.database.create_backup(TableName=begun.source, BackupName="mine")["BackupDetails"]
    state.latch_gap("as asked for by a test")
    with pytest.raises(Refused, match="a gap is latched"):
        begun.restart(backup=mine["BackupArn"])
    assert state.get(Fact.RESTARTING) is None
    assert state.get(Fact.GAP) is not None

    # While one is under way every other command says so; `down` ends it.
    state.put(Fact.RESTARTING, number=1, backup="", at="now")
    for command in (begun.up, begun.restore, begun.cutover):
        with pytest.raises(Refused, match=r"A restart of .* is under way"):
            command()
    with pytest.raises(Refused, match="another --backup"):
        begun.restart(backup=mine["BackupArn"])
    begun.down()
    assert begun.left_over() == []


PAIRS = """
[[tables]]
source = "orders"
target = "orders-v2"

[[tables]]
source = "arn:aws:dynamodb:eu-west-1:111122223333:table/clients"
target = "clients-v2"
"""


def test_one_pair_of_several_is_chosen_by_its_source(tmp_path):
    source = SimpleNamespace(arn="arn:aws:dynamodb:eu-west-1:111122223333:table/clients")
    context = SimpleNamespace(config=parse(PAIRS, tmp_path), source_table=lambda _: source)

    assert len(_chosen(context, (), "new")) == 2
    for name in ("clients", "arn:aws:dynamodb:eu-west-1:111122223333:table/clients"):
        assert [str(pair) for pair in _chosen(context, (name,), "arn:backup")] == ["clients -> clients-v2"]
    with pytest.raises(ConfigurationError, match=r"--table.*instead of 222233334444"):
        _chosen(context, ("arn:aws:dynamodb:eu-west-1:222233334444:table/clients",), "new")
    with pytest.raises(ConfigurationError, match="has several"):
        _chosen(context, (), "arn:backup")
    scans = SimpleNamespace(config=parse(PAIRS + '[replication]\nbackfill = "scan"\n', tmp_path))
    with pytest.raises(ConfigurationError, match="does not fit"):
        _chosen(scans, ("orders",), "arn:backup")


def test_a_purge_that_is_under_way_is_waited_for():
    answers = [refusal("AWS.SimpleQueueService.PurgeQueueInProgress"), None]

    def purge_queue(**_):
        answer = answers.pop(0)
        if answer:
            raise answer

    sqs = SimpleNamespace(purge_queue=purge_queue)
    _purge(SimpleNamespace(source_client=lambda _: sqs, pace=SimpleNamespace(poll_seconds=0)), "url")
    assert answers == []


@pytest.mark.e2e
@pytest.mark.full
def test_under_traffic_with_a_gap_another_stream_and_another_transform(begun):
    """Everything that only a restart mends, at once."""
    begun.configure(transform="same")
    begun.up()
    begun.restore()
    state, old = begun.state(), begun.context().resources(begun.pair)
    state.latch_gap("as asked for by a test")
    state.quarantine("hash", {"id": {"S": "k1"}}, "0" * 40, "as asked for by a test")
    for on in (False, True):
        spec = {"StreamEnabled": on, **({"StreamViewType": "NEW_IMAGE"} if on else {})}
        begun.database.update_table(TableName=begun.source, StreamSpecification=spec)
    begun.put("unseen", "by the old stream")
    begun.configure(transform="louder")
    with pytest.raises(Refused, match="has changed"):
        begun.restore()

    with busy(begun):
        answer = begun.restart()

    begun.assert_equal()
    new = begun.context().resources(begun.pair)
    assert answer["pairs"][str(begun.pair)]["restart"] == 1
    assert (state.get(Fact.GAP), state.quarantined()) == (None, {})
    assert new["queue_url"] == old["queue_url"]
    assert new["stream_arn"] == begun.context().source_table(begun.pair).stream_arn != old["stream_arn"]
    there = begun.aws.client("dynamodb", TARGET_REGION).list_tables()["TableNames"]
    assert new["ledger_table"] in there
    assert old["ledger_table"] not in there
    assert audit.run(begun.context(), begun.pair, to_the_end=True).lost == []
    begun.down()
    assert begun.left_over() == []


@pytest.mark.e2e
def test_an_older_backup_will_do_while_nothing_after_it_was_consumed(begun):
    """What is needed when a transform turns out to be wrong in the middle of the load."""
    begun.configure(transform="sulky")
    backup = begun.up()["pairs"][str(begun.pair)]["backup_arn"]
    begun.put("later", "v")

    begun.restart(backup=backup)

    assert begun.state().get(Fact.BOUNDARY)["backup_arn"] == backup
    begun.assert_equal()
    with pytest.raises(Refused, match="the consumer was on after its boundary"):
        begun.restart(backup=backup)
    assert begun.state().get(Fact.RESTARTING) is None
    assert begun.state().get(Fact.FOLLOWING) is not None


@pytest.mark.full
def test_a_target_that_was_there_before_is_emptied_and_not_removed(begun):
    begun.create(begun.target, TARGET_REGION)
    client = begun.aws.client("dynamodb", TARGET_REGION)
    made = client.describe_table(TableName=begun.target)["Table"]["TableId"]
    begun.configure(transform="by_name", rekeys=True)
    begun.up()
    begun.restore()
    with busy(begun):
        begun.restart()

    assert client.describe_table(TableName=begun.target)["Table"]["TableId"] == made
    begun.drain()
    repair.run(begun.context(), begun.pair)
    begun.assert_equal()


def test_down_ends_though_its_lease_went_with_the_state_table(begun, monkeypatch):
    """CloudFormation takes longer to remove the base than the lease lasts, which nobody can renew then."""
    begun.up()
    delete, began = stacks.delete, clock.seconds()

    def slowly(client, name, **more):
        done = delete(client, name, **more)
        if name.endswith("-base"):
            monkeypatch.setattr(clock, "seconds", lambda: began + 3600)
            assert not stacks.exists(client, name)  # asked again and again, until it is gone
        return done

    monkeypatch.setattr(stacks, "delete", slowly)
    begun.down()
    assert not begun.left_over()


@pytest.mark.parametrize(
    "backup", ["latest", "", "NEW", "new ", "arn:aws:dynamodb:eu-west-1:111122223333:table/orders", "arn:x"]
)
def test_a_backup_that_is_neither_new_nor_an_arn_is_a_usage_error(backup, tmp_path):
    done = CliRunner().invoke(main, ["restart", "--backup", backup, "--config", str(tmp_path / "none.toml")])

    assert done.exit_code == 2
    assert "Usage: main restart" in done.output
    assert "neither `new` nor the ARN of a backup" in " ".join(done.output.split())


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_an_arn_of_a_backup_is_taken(partition, tmp_path):
    arn = f"arn:{partition}:dynamodb:eu-west-1:111122223333:table/or.d_e-rs/backup/01489602797149-73d8d5bc"
    done = CliRunner().invoke(main, ["restart", "--backup", arn, "--config", str(tmp_path / "none.toml")])

    assert "neither" not in done.output  # there are no settings, which is found out behind the usage


ADDRESS = "s3://exports/AWSDynamoDB/01700000000000-0a1b2c3d"


@pytest.mark.parametrize(
    ("begun_with", "backfill", "named", "goes_on"),
    [
        ("", "export", "", True),
        (ADDRESS, "export", ADDRESS, True),
        (ADDRESS, "export", "", False),
        (ADDRESS, "export", ADDRESS.replace("0a1b", "0a1c"), False),
        ("", "export", ADDRESS, False),
        (ADDRESS, "backup", "", False),
        (ADDRESS, "pitr", ADDRESS, False),
        ("", "scan", ADDRESS, True),
        (ADDRESS, "pitr", "", False),
        ("arn:aws:dynamodb:eu-west-1:111122223333:table/orders/backup/1", "backup", "", True),
        ("arn:aws:dynamodb:eu-west-1:111122223333:table/orders/backup/1", "pitr", "", False),
        ("", "pitr", "", True),
    ],
)
def test_an_interrupted_restart_goes_on_from_what_it_was_begun_with(
    tmp_path, begun_with, backfill, named, goes_on
):
    """One that was begun with something older has not waited for what its consumer had in hand."""
    export = f'export = "{named}"\n' if named else ""
    to = 'export_to = "s3://exports"\n' if backfill == "export" else ""
    text = f'[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n{export}'
    config = parse(f'{text}[replication]\nbackfill = "{backfill}"\n{to}', tmp_path)
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    state.put(Fact.RESTARTING, number=1, backup=begun_with, at="now")
    context = SimpleNamespace(config=config, state=lambda _: state)

    if goes_on:
        _may_begin(context, config.tables[0], None)
        return
    with pytest.raises(Refused, match="the settings say otherwise"):
        _may_begin(context, config.tables[0], None)
