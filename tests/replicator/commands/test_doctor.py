"""`replicator doctor` on the embedded AWS: before `up`, behind it, and where something is in the way."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.client import BaseClient
from click.testing import CliRunner

from ddbverify.errors import AccessError, ConfigurationError
from replicator.cli import main
from replicator.commands.doctor import doctor
from replicator.context.context import Context
from replicator.doctor import accounts
from replicator.doctor.findings import State, problem
from replicator.doctor.quotas import Count
from replicator.stack import bundle
from tests.replicator.fakes import refusal
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration

pytestmark = pytest.mark.engine("ministack")

DOCS = Path(__file__).parents[3] / "docs"

KEPT: list[bundle.Bundle] = []


@pytest.fixture
def moving(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    made = Migration(aws, unique("d"), tmp_path)
    made.configure(pointer=f"ssm:/{made.name}/orders")
    made.put("k1", "SENTINEL-41c7")
    return made


@pytest.fixture(autouse=True)
def built_once(monkeypatch):
    """The bundle takes a second to build, and is the same for all that have no transform."""
    build, kept = bundle.build, KEPT

    def once(transforms):
        if transforms:
            return build(transforms)
        if not kept:
            kept.append(build(transforms))
        return kept[0]

    monkeypatch.setattr("replicator.commands.doctor.bundle.build", once)


@pytest.fixture
def asked(monkeypatch):
    """What the doctor's clients ask, as IAM names it; `asked.refused` has what AWS denies."""
    own = Context.own_client

    class Asked(Counter):
        refused, code = "", "AccessDeniedException"

    seen = Asked()

    def hooked(self, side, service, **how):
        made = own(self, side, service, **how)

        def look(model, **_):
            prefix = {"dynamodbstreams": "dynamodb"}.get(service, service)
            action = f"{prefix}:{model.name}"
            seen[action] += 1
            if action == seen.refused:
                raise refusal(seen.code, model.name)

        made.meta.events.register("before-call", look)
        return made

    monkeypatch.setattr(Context, "own_client", hooked)
    return seen


def written(monkeypatch, values):
    """As CloudWatch answers how much was written: sums of hours."""
    call = BaseClient._make_api_call

    def made(self, operation_name, api_params):
        if operation_name == "GetMetricData":
            (query,) = api_params["MetricDataQueries"]
            assert query["MetricStat"]["Metric"]["MetricName"] == "ConsumedWriteCapacityUnits"
            hours = (api_params["EndTime"] - api_params["StartTime"]).total_seconds() / 3600
            assert (hours, api_params["EndTime"] <= datetime.now(UTC)) == (24.0, True)
            return {"MetricDataResults": [{"Id": "writes", "Values": values}]}
        return call(self, operation_name, api_params)

    monkeypatch.setattr(BaseClient, "_make_api_call", made)


def states(answer):
    return {(one["check"], one["state"]) for one in answer["findings"]}


def of(answer, check):
    return [one for one in answer["findings"] if one["check"] == check]


def point(moving):
    moving.aws.client("ssm", SOURCE_REGION).put_parameter(
        Name=f"/{moving.name}/orders", Value="orders", Type="String"
    )


def test_before_up_nothing_stands_in_the_way_of_a_sound_migration(moving, monkeypatch):
    monkeypatch.setattr(accounts, "_stacks", lambda _: Count(1, 2000))  # the emulator has no such quota,
    monkeypatch.setattr("replicator.commands.doctor_permissions.examine", lambda *_: [])  # and no permissions
    point(moving)
    answer = doctor(moving.context())

    assert {state for _, state in states(answer)} == {"ok"}
    assert (answer["ok"], answer["exit_code"]) == (True, 0)


def test_behind_up_its_own_stacks_and_forwarder_are_no_obstacle(moving):
    point(moving)
    moving.up()
    answer = doctor(moving.context())

    assert answer["counts"]["problem"] == 0
    assert len(of(answer, "stacks")) == 2
    assert all("goes on with it" in one["what"] for one in of(answer, "stacks"))
    assert "no function reads it" in of(answer, "stream-readers")[0]["what"]


def test_it_reads_only_what_the_documented_policy_lets_it_read(moving, asked):
    """Its section of docs/permissions.md is what it asks: with a target and without, behind `up`."""
    used = set()

    def look():
        asked.clear()
        doctor(moving.context())
        used.update(asked)

    look()
    moving.configure(transform="louder", way_back="1d")
    moving.create(moving.target, TARGET_REGION)
    look()
    moving.up()
    look()

    text = (DOCS / "permissions.md").read_text(encoding="utf-8")
    section = text.split("### Doctor", 1)[1].split("\n### ", 1)[0]
    documented = set()
    for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
        for statement in json.loads(block)["Statement"]:
            named = statement["Action"]
            documented |= {named} if isinstance(named, str) else set(named)
    needed = used - {"sts:GetCallerIdentity"}

    # What the emulator does not know or have; tests/replicator/doctor/test_accounts.py asks for these.
    unreached = {"cloudformation:ListStacks", "kms:DescribeKey", "kms:GetKeyPolicy"}
    unreached |= {"iam:GetRole", "iam:SimulatePrincipalPolicy"}  # and test_simulating.py for these
    assert needed == documented - unreached
    assert all(re.fullmatch(r"[a-z-]+:(Describe|Get|List|Query|Scan|Simulate)\w*", one) for one in documented)


@pytest.mark.parametrize(
    ("action", "check", "code"),
    [
        ("dynamodb:DescribeTimeToLive", "time-to-live", "ThrottlingException"),
        ("cloudformation:DescribeStacks", "stacks", "AccessDeniedException"),
        ("dynamodb:DescribeTable", "pair", "AccessDeniedException"),
        ("dynamodb:DescribeTimeToLive", "time-to-live", "AccessDeniedException"),
        ("dynamodb:DescribeContinuousBackups", "target-lacks", "AccessDeniedException"),
        ("dynamodb:GetResourcePolicy", "policy", "AccessDeniedException"),
        ("lambda:ListEventSourceMappings", "stream-readers", "AccessDeniedException"),
        ("ssm:GetParameter", "pointer", "AccessDeniedException"),
        ("lambda:GetAccountSettings", "concurrency", "AccessDeniedException"),
        ("iam:GetAccountSummary", "role-quota", "AccessDeniedException"),
    ],
)
def test_what_aws_refuses_is_not_checked_and_the_rest_is(moving, asked, action, check, code):
    point(moving)
    moving.database.update_table(
        TableName=moving.source,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    asked.refused, asked.code = action, code
    answer = doctor(moving.context())

    assert answer["exit_code"] == 3
    assert (check, "not checked") in states(answer)
    assert (check, "ok") not in states(answer)
    assert answer["counts"]["problem"] == 0
    assert answer["counts"]["ok"] >= 3
    (told, *_) = [one for one in of(answer, check) if one["state"] == "not checked"]
    assert code in told["what"]


def test_credentials_that_have_ended_end_it_before_anything_is_looked_at(moving, asked):
    asked.refused, asked.code = "sts:GetCallerIdentity", "ExpiredTokenException"

    with pytest.raises(AccessError):
        doctor(moving.context())
    ended = CliRunner().invoke(main, ["doctor", "--config", str(moving.folder / "migration.toml"), "--json"])
    assert ended.exit_code == 6
    assert json.loads(ended.stdout)["ok"] is False


def test_a_table_that_is_not_there_or_is_in_another_region_is_a_problem(moving):
    moving.database.delete_table(TableName=moving.source)
    answer = doctor(moving.context())

    assert answer["exit_code"] == 1
    (found,) = of(answer, "pair")
    assert f"no such table in {SOURCE_REGION}" in found["what"]
    assert {one["state"] for one in of(answer, "fence")} == {"not checked"}
    assert {one["state"] for one in of(answer, "pointer")} == {"not checked"}


def test_a_table_of_another_account_by_its_arn_is_a_mistake_in_the_settings(moving):
    arn = f"arn:aws:dynamodb:{SOURCE_REGION}:999999999999:table/{moving.source}"
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text().replace(f'source = "{moving.source}"', f'source = "{arn}"'))

    with pytest.raises(ConfigurationError):
        doctor(moving.context())
    assert CliRunner().invoke(main, ["doctor", "--config", str(path)]).exit_code == 2


def test_what_up_refuses_of_a_pair_is_a_problem_and_the_rest_is_looked_at(moving):
    moving.create(moving.target, TARGET_REGION)
    moving.aws.client("dynamodb", TARGET_REGION).put_item(
        TableName=moving.target, Item={"id": {"S": "SENTINEL-9a"}}
    )
    answer = doctor(moving.context())

    (found,) = of(answer, "pair")
    assert (found["state"], "not empty" in found["what"]) == ("problem", True)
    assert of(answer, "stream-readers")
    assert {one["about"] for one in of(answer, "time-to-live")} == {moving.source, moving.target}
    assert "SENTINEL" not in json.dumps(answer)


@pytest.mark.e2e
def test_a_target_that_follows_is_no_obstacle(moving):
    moving.up()
    moving.restore()
    answer = doctor(moving.context())

    assert answer["counts"]["problem"] == 0
    assert [one["state"] for one in of(answer, "pair")] == ["ok"]
    assert len(of(answer, "stacks")) == 4


def test_both_tables_are_looked_at(moving, monkeypatch):
    """The emulator has no table that is not active, and no replicas: it is the asking that counts."""
    moving.create(moving.target, TARGET_REGION)

    def judge(check):
        return lambda table, *_: iter([problem(check, table.name, "seen", "none.")])

    for check in ("settings.status", "settings.replicas", "settings.policy", "streams.view"):
        monkeypatch.setattr(f"replicator.doctor.examination.{check}", judge(check))
    answer = doctor(moving.context())

    both = {moving.source, moving.target}
    for check in ("settings.status", "settings.replicas", "settings.policy"):
        assert {one["about"] for one in of(answer, check)} == both, check
    assert {one["about"] for one in of(answer, "streams.view")} == {moving.source}


def test_a_stack_of_another_build_is_told(moving, monkeypatch):
    moving.up()
    monkeypatch.setattr("replicator.doctor.examination.deployed.version", lambda _: "999")
    answer = doctor(moving.context())

    assert {one["state"] for one in of(answer, "stacks")} == {"warning"}
    assert all("another build" in one["what"] for one in of(answer, "stacks"))


def test_a_time_to_live_is_told_of_both_sides_and_to_the_way_back(moving):
    moving.configure(way_back="1d")
    moving.create(moving.target, TARGET_REGION)
    for region, table in ((SOURCE_REGION, moving.source), (TARGET_REGION, moving.target)):
        moving.aws.client("dynamodb", region).update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )
    answer = doctor(moving.context())

    assert [one["state"] for one in of(answer, "time-to-live")] == ["warning", "problem"]
    assert [one["state"] for one in of(answer, "way-back")] == ["warning"]


def test_source_and_target_of_one_name_are_two_tables(moving):
    """In another region the target has the source's name: what is so of one is not so of the other."""
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text().replace(f'target = "{moving.target}"', f'target = "{moving.source}"'))
    path.write_text(path.read_text().replace('way_back = "off"', 'way_back = "1d"'))
    moving.create(moving.source, TARGET_REGION)
    moving.database.update_time_to_live(
        TableName=moving.source, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    answer = doctor(moving.context())

    assert [one["state"] for one in of(answer, "time-to-live")] == ["warning", "ok"]
    assert [one["state"] for one in of(answer, "way-back")] == ["warning"]


@pytest.mark.parametrize(
    ("fence", "state"),
    [("command:sh fence.sh", "ok"), ("command:no-such-program-41c7 x", "problem"), ("command:'", "problem")],
)
def test_a_fence_by_a_command_needs_its_program(moving, fence, state):
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text() + f'fence = "{fence}"\n')
    answer = doctor(moving.context())

    assert [one["state"] for one in of(answer, "fence")] == [state]


def test_a_fence_without_room_is_a_problem_on_either_side(moving):
    moving.create(moving.target, TARGET_REGION)
    for region, table in ((SOURCE_REGION, moving.source), (TARGET_REGION, moving.target)):
        client = moving.aws.client("dynamodb", region)
        arn = client.describe_table(TableName=table)["Table"]["TableArn"]
        statements, text = [], ""
        while len(text) < 20_100:
            one = {"Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": arn}
            statements.append({"Sid": f"S{len(statements)}", **one})
            text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
        client.put_resource_policy(ResourceArn=arn, Policy=text)
    answer = doctor(moving.context())

    assert [one["state"] for one in of(answer, "fence")] == ["problem", "problem"]
    assert all("no room" in one["what"] for one in of(answer, "fence"))


def test_a_table_that_down_could_not_delete_is_told(moving):
    moving.up()
    assert [one["state"] for one in of(doctor(moving.context()), "protection")] == ["ok"]
    state = moving.context().state_table
    moving.database.update_table(TableName=state, DeletionProtectionEnabled=True)
    (found,) = of(doctor(moving.context()), "protection")

    assert found["state"] == "warning"
    assert state in found["what"]
    assert "--no-deletion-protection-enabled" in found["try"]


def test_a_last_verification_that_reads_all_is_in_the_fences_budget(moving):
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text() + '[verification]\nlast = "full"\n')
    (found,) = of(doctor(moving.context()), "fence-budget")

    assert f"verification of {moving.source} -> {moving.target}" in found["what"]
    assert "streams read to their ends" not in found["what"]


def test_a_ceiling_is_held_against_what_is_written(moving, monkeypatch):
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text().replace("groups = 2", "groups = 2\nwrite_units = 100"))
    unknown = of(doctor(moving.context()), "write-ceiling")
    written(monkeypatch, [86_400.0 * 30])
    known = of(doctor(moving.context()), "write-ceiling")

    assert [one["state"] for one in (*unknown, *known)] == ["not checked", "problem"]
    assert "less than the 120 that following takes" in known[0]["what"]


@pytest.mark.parametrize(
    ("old", "new", "check", "words"),
    [
        (
            "groups = 2",
            'groups = 2\nalarm_topic = "arn:aws:sns:us-west-2:123456789012:alarms"',
            "settings",
            "alarm_topic",
        ),
        ('quiet = "0s"', 'quiet = "20m"', "cutover", "fence_limit"),
    ],
)
def test_settings_that_cannot_be_kept_are_problems(moving, old, new, check, words):
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text().replace(old, new))
    (found,) = of(doctor(moving.context()), check)

    assert found["state"] == "problem"
    assert words in found["what"]


def test_a_pointer_of_another_type_cannot_be_flipped(moving):
    moving.aws.client("ssm", SOURCE_REGION).put_parameter(
        Name=f"/{moving.name}/orders", Value="orders", Type="StringList"
    )
    (found,) = of(doctor(moving.context()), "pointer")

    assert (found["state"], "StringList" in found["what"]) == ("problem", True)


def test_code_that_cannot_be_built_is_a_problem_before_it_is_to_be_deployed(moving):
    (moving.folder / f"{moving.module}.py").write_text("import no_such_library_41c7\ndef same(i): return i\n")
    moving.configure(transform="same")
    answer = doctor(moving.context())

    assert [one["state"] for one in of(answer, "code")] == ["problem"]
    assert "no_such_library_41c7" in of(answer, "code")[0]["what"]


def test_without_a_pointer_no_cutover_is_planned(moving):
    path = moving.folder / "migration.toml"
    path.write_text(path.read_text().replace(f'pointer = "ssm:/{moving.name}/orders"\n', ""))
    answer = doctor(moving.context())

    assert [one["state"] for one in of(answer, "pointer")] == ["warning"]
    assert not of(answer, "fence")


def test_the_terminal_shows_what_to_do_and_ends_with_the_status(moving):
    moving.database.delete_table(TableName=moving.source)
    ended = CliRunner().invoke(main, ["doctor", "--config", str(moving.folder / "migration.toml")])

    assert ended.exit_code == 1
    assert "✗ pair" in ended.output
    assert "Try: mend `source`" in ended.output
    assert "1 problem, " in ended.output
    assert "Next: replicator up" not in ended.output


def test_every_check_is_documented_by_its_name():
    """As the code names them: a check that nobody can look up is none."""
    root = DOCS.parent / "replicator"
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in [*(root / "doctor").glob("*.py"), *(root / "commands").glob("doctor*.py")]
    )
    named = set(
        re.findall(r'(?:ok|warning|problem|not_checked|tried|judged|_enough|room)\(\s*"([a-z-]+)"', code)
    )
    section = (DOCS / "commands.md").read_text(encoding="utf-8").split("### `replicator doctor`", 1)[1]
    table = section.split("\n### ", 1)[0].split("| check |", 1)[1]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)}

    assert len(named) > 12
    assert named == documented
    assert {str(state) for state in State} == {"ok", "warning", "not checked", "problem"}
