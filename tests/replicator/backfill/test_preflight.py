"""Each thing that can be found wrong beforehand is, with the table and key to change, and nothing is made."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify import config as configuration
from ddbverify.errors import AccessError, ConfigurationError
from ddbverify.names import state_table
from replicator.backfill import ownership, preflight
from replicator.context.console import Console
from replicator.context.context import Context

SOURCE_REGION, TARGET_REGION = "eu-west-1", "eu-central-1"

pytestmark = pytest.mark.engine("ministack")

TRANSFORMS = """
import uuid
def same(item):
    return item

def raises(item):
    raise LookupError(item["id"])

def raises_sometimes(item):
    if item["id"] == "a":
        raise LookupError
    return item

def stamped(item):
    return {**item, "moved": str(uuid.uuid4())}

def scrambled(item):
    return {**item, "n": hash(item["id"])}

def reading(item):
    open(__file__.replace(".py", ".json")).close()
    return item

def renamed(item):
    return {"order": item.pop("id"), **item}

def narrower(item):
    item.pop("kept", None)
    return item

def wider(item, before):
    return {**item, "kept": before["kept"]} if before else item

def rekeyed(item):
    return [{"id": "x" + item["id"]}]
"""


class World:
    """A source table on the embedded AWS, and a migration.toml beside it."""

    def __init__(self, aws, unique, folder, monkeypatch):
        for name, value in aws.variables(SOURCE_REGION).items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(folder)
        self.aws, self.folder, self.monkeypatch = aws, folder, monkeypatch
        self.name = unique("m")[:14]
        self.source, self.target = unique("orders"), unique("orders-v2")
        self.module = unique("preflight_transforms").replace("-", "_")
        (folder / f"{self.module}.py").write_text(TRANSFORMS)
        self.create(self.source, SOURCE_REGION)

    def client(self, region):
        return self.aws.client("dynamodb", region)

    def create(self, name, region, keys=(("id", "S"),), items=()):
        self.client(region).create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for (key, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],
            BillingMode="PAY_PER_REQUEST",
        )
        self.put(name, region, *items)

    def create_indexed(self, name, region, *keys, types):
        """A table with an index ``by_place`` that has these (role, attribute) *keys*."""
        self.client(region).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": one, "AttributeType": kind} for one, kind in {"id": "S", **types}.items()
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_place",
                    "KeySchema": [{"AttributeName": one, "KeyType": role} for role, one in keys],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(self, name, region, *items):
        for item in items:
            self.client(region).put_item(TableName=name, Item=item)

    def context(self, *, pair="", replication="", target=TARGET_REGION, table=None, source=None, sides=""):
        path = self.folder / "migration.toml"
        path.write_text(
            f'name = "{self.name}"\n[source]\nregion = "{SOURCE_REGION}"\n{sides}'
            f'[target]\nregion = "{target}"\n'
            f'[[tables]]\nsource = "{source or self.source}"\ntarget = "{table or self.target}"\n{pair}\n'
            f"[replication]\n{replication}\n"
        )
        return Context(configuration.load(path), Console(as_json=True), path)

    def tables(self):
        regions = (SOURCE_REGION, TARGET_REGION)
        return {region: sorted(self.client(region).list_tables()["TableNames"]) for region in regions}

    def refused(self, *words, **settings):
        """What is refused, once it was seen that nothing was made and that the words are in it."""
        before = self.tables()
        with pytest.raises(ConfigurationError) as caught:
            preflight.check(self.context(**settings))
        assert self.tables() == before
        for word in words:
            assert word in caught.value.message, caught.value.message
        assert caught.value.hint
        return caught.value


@pytest.fixture
def world(aws, unique, tmp_path, monkeypatch):
    return World(aws, unique, tmp_path, monkeypatch)


def test_a_target_that_is_yet_to_be_made_gets_the_sources_key(world):
    (plan,) = preflight.check(world.context())

    assert plan.target is None
    assert not plan.needs_staging
    assert plan.target_arn == f"arn:aws:dynamodb:{TARGET_REGION}:{world.aws.account_id}:table/{world.target}"
    assert plan.digest == ""


def test_a_source_that_does_not_exist(world):
    world.refused("[[tables]] source = 'no-such-table'", SOURCE_REGION, source="no-such-table")


def test_a_second_of_the_past_on_a_table_that_keeps_none(world):
    error = world.refused("point-in-time recovery", replication='backfill = "pitr"')
    assert "turn it on" in error.hint
    world.client(SOURCE_REGION).update_continuous_backups(
        TableName=world.source, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    assert preflight.check(world.context(replication='backfill = "pitr"'))


def test_a_short_overlap_on_aws(world):
    context = world.context(replication='overlap = "59s"')
    assert preflight.check(context)  # an emulator's backups are exact
    context.__dict__["emulator"] = False

    with pytest.raises(ConfigurationError, match=r"\[replication\] overlap of 59 s"):
        preflight.check(context)


def test_source_and_target_that_turn_out_to_be_one_table(world):
    """The file cannot show it: one is a name, the other an ARN."""
    arn = f"arn:aws:dynamodb:{SOURCE_REGION}:{world.aws.account_id}:table/{world.source}"
    world.refused("[[tables]] source and target are the same table", table=arn, target=SOURCE_REGION)


def test_a_target_that_is_not_empty(world):
    world.create(world.target, TARGET_REGION, items=[{"id": {"S": "a"}}])
    world.refused(f"[[tables]] target = '{world.target}' exists and is not empty")


def test_a_target_that_this_migrations_own_load_has_begun_to_fill(world):
    world.create(world.target, TARGET_REGION, items=[{"id": {"S": "a"}}])
    table = state_table(world.name)
    world.create(table, SOURCE_REGION, keys=(("pk", "S"), ("sk", "S")))
    context = world.context()
    state = context.state(context.config.tables[0])
    state.put(ownership.FILLING, id=context.target_table(context.config.tables[0]).id)

    assert preflight.check(context)
    state.put(ownership.FILLING, id="of a table that is gone")
    with pytest.raises(ConfigurationError, match="exists and is not empty"):
        preflight.check(context)


def test_a_target_that_is_empty(world):
    world.create(world.target, TARGET_REGION)
    (plan,) = preflight.check(world.context())

    assert plan.needs_staging


@pytest.mark.parametrize("keys", [(("id", "N"),), (("other", "S"),), (("id", "S"), ("at", "N"))])
def test_a_target_with_another_key_and_no_transform(world, keys):
    world.create(world.target, TARGET_REGION, keys=keys)
    world.refused(f"[[tables]] target = '{world.target}' has the key", "the source has id (S)")


REGION_AND_CATEGORY = (("HASH", "region"), ("RANGE", "category"))


@pytest.mark.parametrize("kind", ["N", "B"])
def test_a_target_whose_index_wants_another_type_is_refused(world, kind):
    source = f"{world.source}-indexed"
    world.create_indexed(source, SOURCE_REGION, ("HASH", "region"), types={"region": "S"})
    world.create_indexed(world.target, TARGET_REGION, ("HASH", "region"), types={"region": kind})

    world.refused(
        f"[[tables]] target = '{world.target}'",
        f"region is S in the source and {kind} in the target",
        source=source,
        pair='accept = ["index.*"]',
    )


@pytest.mark.parametrize(
    "keys", [(("HASH", "region"), ("HASH", "category")), (("HASH", "category"), ("RANGE", "region"))]
)
def test_a_target_whose_index_has_other_roles_is_refused_unless_it_may_differ(world, keys):
    source, types = f"{world.source}-indexed", {"region": "S", "category": "S"}
    world.create_indexed(source, SOURCE_REGION, *REGION_AND_CATEGORY, types=types)
    world.create_indexed(world.target, TARGET_REGION, *keys, types=types)

    world.refused(
        f"[[tables]] target = '{world.target}' has an index by_place with another key",
        "HASH region (S) + RANGE category (S) in the source",
        source=source,
    )
    assert preflight.check(world.context(source=source, pair='accept = ["index.by_place.keys"]'))


def test_a_target_with_an_index_that_no_item_of_the_source_fits_is_refused(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}, "price": {"S": "9"}}, {"id": {"S": "b"}})
    world.create_indexed(world.target, TARGET_REGION, ("HASH", "price"), types={"price": "N"})

    world.refused(
        f"[[tables]] target = '{world.target}' has an index whose key price is of the type N", "have S"
    )

    world.put(world.source, SOURCE_REGION, {"id": {"S": "c"}, "price": {"N": "9"}})
    assert preflight.check(world.context())  # the others will stand in the quarantine


def test_a_target_with_an_index_that_nothing_the_transform_makes_fits_is_refused(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}, "price": {"S": "9"}})
    world.create_indexed(world.target, TARGET_REGION, ("HASH", "price"), types={"price": "N"})

    transform = f'transform = "{world.module}:same"'
    world.refused("has an index whose key price is of the type N", pair=transform)
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}, "price": {"N": "9"}})
    assert preflight.check(world.context(pair=transform))


def test_a_target_with_the_sources_index_is_taken(world):
    source, types = f"{world.source}-indexed", {"region": "S", "category": "S"}
    for name, region in ((source, SOURCE_REGION), (world.target, TARGET_REGION)):
        world.create_indexed(name, region, *REGION_AND_CATEGORY, types=types)

    assert preflight.check(world.context(source=source))


@pytest.mark.parametrize("keys", [(("id", "N"),), (("id", "S"), ("at", "N"))])
def test_a_target_whose_key_the_sources_cannot_become(world, keys):
    world.create(world.target, TARGET_REGION, keys=keys)
    error = world.refused(
        f"[[tables]] target = '{world.target}'", "cannot become", pair=f'transform = "{world.module}:same"'
    )
    assert "rekeys = true" in error.hint


def test_a_renamed_key_is_allowed(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}, "x": {"N": "1"}})
    world.create(world.target, TARGET_REGION, keys=(("order", "S"),))
    (plan,) = preflight.check(world.context(pair=f'transform = "{world.module}:renamed"'))

    assert plan.digest


@pytest.mark.parametrize("name", ["no_such_module:same", "{module}:smae"])
def test_a_transform_that_does_not_load(world, name):
    name = name.format(module=world.module)
    world.refused(f"The transform {name} does not load", pair=f'transform = "{name}"')


def test_a_transform_that_fails_on_every_item_of_a_sample(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "secret"}})
    error = world.refused(
        "raised LookupError", "each of 1 sampled items", pair=f'transform = "{world.module}:raises"'
    )

    assert "secret" not in str(error)


def test_a_transform_that_makes_another_key_without_a_target_is_told_to_make_one(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}})
    error = world.refused("'id' (S)", pair=f'transform = "{world.module}:renamed"')

    assert "create the target table" in error.hint


def test_a_transform_that_rekeys_without_saying_so(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}})
    error = world.refused("returned a list", pair=f'transform = "{world.module}:rekeyed"')
    assert "rekeys = true" in error.hint
    assert preflight.check(world.context(pair=f'transform = "{world.module}:rekeyed"\nrekeys = true'))


@pytest.mark.parametrize(
    ("function", "how"), [("stamped", "when it was called twice"), ("scrambled", "in a second process")]
)
def test_a_transform_that_gives_two_results_for_one_item(world, function, how):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "secret"}})
    error = world.refused(
        "gave two results for one of 1 sampled items", how, pair=f'transform = "{world.module}:{function}"'
    )

    assert "secret" not in str(error)


def test_a_transform_that_reads_a_file_which_nobody_names(world):
    (world.folder / f"{world.module}.json").write_text("{}")
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}})
    pair = f'transform = "{world.module}:reading"'
    error = world.refused(f'reads "{world.module}.json"', pair=pair)

    assert f'transform_files = ["{world.module}.json"]' in error.hint
    assert preflight.check(world.context(pair=f'{pair}\ntransform_files = ["{world.module}.json"]'))


def test_a_transform_that_fails_on_some_items_is_left_to_the_quarantine(world):
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}}, {"id": {"S": "b"}})

    assert preflight.check(world.context(pair=f'transform = "{world.module}:raises_sometimes"'))


@pytest.mark.parametrize(
    ("inverse", "said"),
    [
        ("same", "inverse(transform(item), item) == item does not hold: other kept"),
        ("smae", "has no function smae"),
        ("reading", "reads"),
    ],
)
def test_an_inverse_that_is_none_is_refused_before_anything_is_made(world, inverse, said):
    (world.folder / f"{world.module}.json").write_text("{}")
    world.put(world.source, SOURCE_REGION, {"id": {"S": "a"}, "kept": {"S": "secret"}})
    pair = f'transform = "{world.module}:narrower"\ninverse = "{world.module}:{inverse}"'

    error = world.refused(f"The inverse {world.module}:{inverse}", said, pair=pair)
    assert "secret" not in str(error)

    assert preflight.check(world.context(pair=pair.replace(f":{inverse}", ":wider")))


def test_no_credentials(world):
    world.monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    world.monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(AccessError) as caught:
        preflight.check(world.context())
    assert "profile" in caught.value.hint


def test_a_profile_that_does_not_exist(world):
    world.refused("no AWS profile 'legacy'", sides='profile = "legacy"\n')


def test_a_target_in_another_partition_cannot_be_written_to_and_none_is_taken_over_from_the_source():
    source = SimpleNamespace(arn="arn:aws:dynamodb:eu-west-1:111122223333:table/orders")
    there = SimpleNamespace(meta=SimpleNamespace(region_name="cn-north-1"))
    context = SimpleNamespace(target=there, target_identity="arn:aws-cn:iam::444455556666:user/operator")
    made = preflight._arn_to_be(context, SimpleNamespace(target="orders-v2"))

    assert made == "arn:aws-cn:dynamodb:cn-north-1:444455556666:table/orders-v2"
    with pytest.raises(ConfigurationError, match="the partition aws, the target in aws-cn"):
        preflight._account_in_reach(source, made)
    assert preflight._account_in_reach(source, made.replace("aws-cn", "aws")) == "444455556666"
