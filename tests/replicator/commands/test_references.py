"""An ARN of another account is never a table of the same name in ours: no command changes anything then."""

from __future__ import annotations

import pytest

from ddbverify import config as configuration
from ddbverify.errors import ConfigurationError, Refused
from replicator.commands import audit, cutover, down, pause, quarantine, repair, restart, restore, resume, up
from replicator.commands.status import status
from replicator.context.console import Console
from replicator.context.context import Context
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = pytest.mark.engine("ministack")

OTHER = "222233334444"
COMMANDS = {
    "up": up.up,
    "restore": restore.restore,
    "status": status,
    "pause": pause.pause,
    "resume": resume.resume,
    "audit": audit.audit,
    "quarantine": quarantine.listed,
    "repair": repair.repair,
    "restart": restart.restart,
    "cutover": cutover.cutover,
    "down": down.down,
}


class Named:
    """A migration whose tables can be named in other ways; ours of the same names are there as well."""

    def __init__(self, aws, name, folder):
        self.moving = Migration(aws, name, folder)
        self.moving.configure()
        self.moving.put("k1", "v1")
        self.account = aws.account_id

    def arn(self, side, *, account=None, region=None, partition="aws"):
        ours = SOURCE_REGION if side == "source" else TARGET_REGION
        name = getattr(self.moving, side)
        return f"arn:{partition}:dynamodb:{region or ours}:{account or self.account}:table/{name}"

    def context(self, **tables):
        """The migration's settings with other spellings of source and target; more lines by *more*."""
        path = self.moving.folder / "migration.toml"
        text = path.read_text()
        more = tables.pop("more", "")
        for side, spelling in tables.items():
            text = text.replace(f'{side} = "{getattr(self.moving, side)}"', f'{side} = "{spelling}"')
        other = path.with_name("named.toml")
        other.write_text(text + more)
        return Context(configuration.load(other), Console(as_json=True), other)

    def seen(self):
        """Everything in both regions that a command could have changed."""
        found = []
        for region in (SOURCE_REGION, TARGET_REGION):
            client = self.moving.aws.client("dynamodb", region)
            names = client.list_tables()["TableNames"]
            stream = {
                name: client.describe_table(TableName=name)["Table"].get("StreamSpecification")
                for name in names
                if self.moving.name in name or name in (self.moving.source, self.moving.target)
            }
            stacks = self.moving.aws.client("cloudformation", region).describe_stacks()["Stacks"]
            status = [one["StackStatus"] for one in stacks if self.moving.name in one["StackName"]]
            found.append((stream, status))
        state = f"replicator-{self.moving.name}-state"
        if state in found[0][0]:
            rows = self.moving.database.scan(TableName=state, ConsistentRead=True)["Items"]
            facts = {(row["pk"]["S"], row["sk"]["S"]) for row in rows}
            found.append({one for one in facts if not one[1].startswith(("canary", "counters"))})
        return found


@pytest.fixture
def named(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    return Named(aws, unique("n"), tmp_path)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize(
    ("unlike", "words"),
    [
        ({"account": OTHER}, f"instead of {OTHER}"),
        ({"partition": "aws-cn"}, "the partition aws instead of aws-cn"),
        ({"partition": "aws-us-gov", "account": OTHER}, "the partition aws instead of aws-us-gov"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_arn_of_somebody_else_is_refused_before_anything_is_made(named, command, side, unlike, words):
    before = named.seen()

    with pytest.raises(ConfigurationError) as caught:
        COMMANDS[command](named.context(**{side: named.arn(side, **unlike)}))

    assert f"[[tables]] {side}" in caught.value.message
    assert words in caught.value.message
    assert named.seen() == before


@pytest.mark.e2e
@pytest.mark.parametrize("side", ["source", "target"])
def test_an_arn_of_somebody_else_ends_every_command_of_a_running_migration(named, side):
    named.moving.up()
    named.moving.restore()
    before = named.seen()

    for command in COMMANDS.values():
        with pytest.raises(ConfigurationError, match=f"instead of {OTHER}"):
            command(named.context(**{side: named.arn(side, account=OTHER)}))

    assert named.seen() == before
    arns = {one: named.arn(one) for one in ("source", "target")}
    with pytest.raises(ConfigurationError, match=f"--table.*instead of {OTHER}"):
        restart.restart(named.context(**arns), sources=[named.arn("source", account=OTHER)])
    assert named.seen() == before
    with pytest.raises(Refused, match=named.moving.pair.id):  # our own, but of another spelling
        down.down(named.context(**arns))
    assert named.seen() == before
    named.moving.down()
    assert named.moving.left_over() == []


@pytest.mark.parametrize(
    "topic",
    [f"arn:aws-cn:sns:{SOURCE_REGION}:{OTHER}:alarms", f"arn:aws:sns:{TARGET_REGION}:{OTHER}:alarms"],
)
def test_an_alarm_topic_that_no_alarm_of_the_source_can_reach_is_refused(named, topic):
    before = named.seen()
    text = named.moving.folder / "migration.toml"
    text.write_text(text.read_text().replace("[replication]", f'[replication]\nalarm_topic = "{topic}"'))

    with pytest.raises(ConfigurationError, match=r"\[replication\] alarm_topic"):
        up.up(named.context())

    assert named.seen() == before


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (f"arn:aws:ssm:{SOURCE_REGION}:{OTHER}", f"instead of {OTHER}"),
        (f"arn:aws:ssm:{TARGET_REGION}:ACCOUNT", "the region "),
        (f"arn:aws-cn:ssm:{SOURCE_REGION}:ACCOUNT", "the partition aws instead of aws-cn"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_pointer_of_somebody_else_is_refused_before_anything_is_made(named, command, owner, words):
    before = named.seen()
    text = named.moving.folder / "migration.toml"
    pointer = f"ssm:{owner.replace('ACCOUNT', named.account)}:parameter/shop/orders"
    text.write_text(text.read_text().replace('"ssm:/shop/orders"', f'"{pointer}"'))

    with pytest.raises(ConfigurationError, match=r"\[cutover\] pointer") as caught:
        COMMANDS[command](named.context())

    assert words in caught.value.message
    assert named.seen() == before
