"""What a pointer can say, what it cannot, and that no part of it is lost on the way."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import AccessError, ConfigurationError, EngineError
from replicator.aws import pointer
from tests.replicator.fakes import refusal

SPLIT = [("crm", "users"), ("crm", "orders")]
TWO = [("users", "users-v2"), ("orders", "orders-v2")]
ONE = [("orders", "orders-v2")]


class FakeParameters:
    """SSM's parameters, with its limits; refuses to set those that are named."""

    def __init__(self):
        self.values, self.tiers, self.types, self.refused, self.denied = {}, {}, {}, set(), set()
        self.owner = "arn:aws:ssm:eu-west-1:123456789012"

    def put_parameter(self, *, Name, Value, Type, Overwrite, Tier="Standard"):  # noqa: N803
        assert Type == "String"
        if Name in self.denied:
            raise refusal("AccessDeniedException")
        if Name in self.values and not Overwrite:
            raise refusal("ParameterAlreadyExists")
        assert Overwrite, "a rehearsal would have made it"
        if Name in self.refused or len(Value) > pointer.LIMITS[Tier.lower()]:
            raise refusal("ValidationException")
        self.values[Name], self.tiers[Name] = Value, Tier

    def get_parameter(self, *, Name):  # noqa: N803
        if Name not in self.values:
            raise refusal("ParameterNotFound")
        held = {"Value": self.values[Name], "Type": self.types.get(Name, "String")}
        return {"Parameter": held | {"ARN": f"{self.owner}:parameter{Name}"}}


def context(tmp_path, pairs, settings='pointer = "ssm:/shop/tables"'):
    tables = "".join(f'[[tables]]\nsource = "{source}"\ntarget = "{target}"\n' for source, target in pairs)
    ssm = FakeParameters()
    return SimpleNamespace(
        config=parse(f"{tables}[cutover]\n{settings}\n", tmp_path), ssm=ssm, source_client=lambda _: ssm
    )


def arn(target):
    return f"arn:aws:dynamodb:eu-central-1:123456789012:table/{target}"


def made(here):
    return pointer.of(here, {pair: arn(pair.target) for pair in here.config.tables})


def read(here):
    return {name: json.loads(value) if "{" in value else value for name, value in here.ssm.values.items()}


# --- what it says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "settings", "parameters"),
    [
        (ONE, 'pointer = "ssm:/t"', {"/t": arn("orders-v2")}),
        (TWO, 'pointer = "ssm:/t"', {"/t": {"users": arn("users-v2"), "orders": arn("orders-v2")}}),
        (
            SPLIT,
            'pointer = "ssm:/t"\npointer_form = "target"',
            {"/t": {"users": arn("users"), "orders": arn("orders")}},
        ),
        (ONE, 'pointer = "ssm:/t"\npointer_form = "target"', {"/t": {"orders-v2": arn("orders-v2")}}),
        (
            TWO,
            'pointer = "ssm:/t/{source}"',
            {"/t/users": arn("users-v2"), "/t/orders": arn("orders-v2")},
        ),
        (
            SPLIT,
            'pointer = "ssm:/t/{source}/{target}"',
            {"/t/crm/users": arn("users"), "/t/crm/orders": arn("orders")},
        ),
    ],
)
def test_an_application_finds_every_table(tmp_path, pairs, settings, parameters):
    here = context(tmp_path, pairs, settings)
    found = made(here)
    assert not found.is_begun()
    found.flip()

    assert read(here) == parameters
    assert found.is_begun()
    assert not found.is_surely_not_begun()


def test_whether_it_may_be_set_is_found_out_without_setting_it(tmp_path):
    here = context(tmp_path, TWO, 'pointer = "ssm:/t/{source}"')
    here.ssm.values["/t/users"] = "the old table"
    (said,) = made(here).rehearse()

    assert said == "whether /t/orders may be set: there is no such parameter yet"
    assert (here.ssm.values, here.ssm.tiers) == ({"/t/users": "the old table"}, {}), "none was set"
    here.ssm.denied.add("/t/users")
    with pytest.raises(AccessError):
        made(here).rehearse()


def test_what_else_is_refused_leaves_it_unknown(tmp_path, monkeypatch):
    here = context(tmp_path, ONE, 'pointer = "ssm:/t"')
    here.ssm.values["/t"] = "the old table"

    def throttled(**_):
        raise refusal("ThrottlingException")

    monkeypatch.setattr(here.ssm, "put_parameter", throttled)
    (said,) = made(here).rehearse()
    assert said.startswith("whether /t may be set: ")


def test_without_a_pointer_there_is_none(tmp_path):
    assert made(context(tmp_path, ONE, 'quiet = "60s"')) is None


@pytest.mark.parametrize(
    ("pairs", "settings", "said", "hint"),
    [
        (SPLIT, 'pointer = "ssm:/t"', "keyed by source", 'pointer_form = "target"'),
        (SPLIT, 'pointer = "ssm:/t/{source}"', "names one parameter", "{target}"),
        (
            [*TWO, ("users", "archive")],
            'pointer = "ssm:/t"',
            "users -> users-v2 and users -> archive",
            "target",
        ),
    ],
)
def test_what_it_cannot_say_is_refused(tmp_path, pairs, settings, said, hint):
    """Of a source that was split into two targets, the pointer held one, and nobody was told."""
    with pytest.raises(ConfigurationError) as caught:
        made(context(tmp_path, pairs, settings))
    assert said in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        'pointer = "ssm:/t/{table}"',
        'pointer = "ssm:/t/{source"',
        'pointer = "ssm:/t"\npointer_form = "both"',
        'pointer = "ssm:/t"\npointer_tier = "large"',
        'pointer = "ssm:/t/{target}"\npointer_form = "target"',
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path, settings):
    with pytest.raises(ConfigurationError):
        context(tmp_path, ONE, settings)


# --- its limits ---------------------------------------------------------------------------------


def many(count, length=0):
    return [(f"table-{number:0{length}}", f"table-{number:0{length}}-v2") for number in range(count)]


def test_a_pointer_above_the_limit_is_refused_and_says_why(tmp_path):
    """40 pairs with long names: found out at the flip, after the fenced verification, every time."""
    pairs = many(40, 24)
    with pytest.raises(
        ConfigurationError, match=r"would hold 4,\d{3} characters for 40 pairs.*4,096"
    ) as caught:
        made(context(tmp_path, pairs))
    assert "{source}" in caught.value.hint
    assert 'pointer_tier = "advanced"' in caught.value.hint

    for settings in (
        'pointer = "ssm:/t"\npointer_tier = "advanced"',
        'pointer = "ssm:/t/{source}"',
    ):
        here = context(tmp_path, pairs, settings)
        made(here).flip()
        assert len(read(here)) in (1, 40)


def test_one_above_every_limit_is_not_told_of_another_tier(tmp_path):
    with pytest.raises(ConfigurationError, match="8,192") as caught:
        made(context(tmp_path, many(120, 12), 'pointer = "ssm:/t"\npointer_tier = "advanced"'))
    assert "pointer_tier" not in caught.value.hint
    with pytest.raises(ConfigurationError, match="4,096") as caught:
        made(context(tmp_path, many(120, 12)))
    assert "pointer_tier" not in caught.value.hint


@pytest.mark.parametrize("tier", ["standard", "advanced"])
def test_the_limit_is_met_to_the_character(tmp_path, tier):
    limit, pairs = pointer.LIMITS[tier], 30 if tier == "standard" else 60
    here = context(tmp_path, many(pairs), f'pointer = "ssm:/t"\npointer_tier = "{tier}"')
    targets = {pair: arn(pair.target) for pair in here.config.tables}
    room = limit - len(pointer.of(here, targets).value)
    last = here.config.tables[-1]
    for more, fits in ((room, True), (room + 1, False)):
        longer = {**targets, last: targets[last] + "x" * more}
        if fits:
            pointer.of(here, longer).flip()
        else:
            with pytest.raises(ConfigurationError):
                pointer.of(here, longer)
    assert here.ssm.tiers["/t"] == tier.capitalize()


# --- several parameters are not set at once -------------------------------------------------------


@pytest.mark.parametrize("refused", ["/t/users", "/t/orders"])
def test_a_flip_of_which_a_part_was_done_counts_as_begun(tmp_path, refused):
    here = context(tmp_path, TWO, 'pointer = "ssm:/t/{source}"')
    found = made(here)
    here.ssm.refused = {refused}
    with pytest.raises(EngineError):
        found.flip()
    assert found.is_begun() is (refused == "/t/orders")

    here.ssm.refused = set()
    found.flip()
    assert set(read(here)) == {"/t/users", "/t/orders"}


@pytest.mark.parametrize("kind", ["SecureString", "StringList"])
def test_a_parameter_of_another_type_is_found_before_the_fence(tmp_path, kind):
    """AWS does not change a parameter's type: the flip failed, behind the fence, every time."""
    here = context(tmp_path, TWO, 'pointer = "ssm:/t/{source}"')
    made(here).check()
    here.ssm.values["/t/orders"], here.ssm.types["/t/orders"] = "x", kind

    with pytest.raises(ConfigurationError, match=f"/t/orders is a {kind}"):
        made(here).check()
    here.ssm.types["/t/orders"] = "String"
    made(here).check()


def test_what_cannot_be_read_is_not_surely_unflipped(tmp_path):
    here = context(tmp_path, ONE)
    assert made(here).is_surely_not_begun()

    def refuse(**_):
        raise refusal("AccessDeniedException")

    here.ssm.get_parameter = refuse
    assert not made(here).is_surely_not_begun()
    with pytest.raises(EngineError, match="read the parameter"):
        made(here).check()


# --- given by its ARN -----------------------------------------------------------------------------

BY_ARN = "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter"


@pytest.mark.parametrize(("path", "parameter"), [("/t", "/t"), ("/t/{source}", "/t/orders")])
def test_an_arn_names_the_parameter_that_is_read_and_set(tmp_path, path, parameter):
    here = context(tmp_path, ONE, f'pointer = "{BY_ARN}{path}"')
    found = made(here)
    found.check()
    found.flip()

    assert found.name == path
    assert read(here) == {parameter: arn("orders-v2")}
    assert found.is_begun()
    found.check()


@pytest.mark.parametrize("path", ["/t", "/t/{source}"])
@pytest.mark.parametrize(
    ("owner", "part"),
    [
        ("arn:aws:ssm:eu-west-1:222233334444", "account"),
        ("arn:aws:ssm:eu-central-1:123456789012", "region"),
        ("arn:aws-cn:ssm:eu-west-1:123456789012", "partition"),
    ],
)
def test_an_answer_about_another_parameter_than_the_arn_names_is_refused(tmp_path, path, owner, part):
    here = context(tmp_path, ONE, f'pointer = "{BY_ARN}{path}"')
    made(here).flip()
    here.ssm.owner = owner

    with pytest.raises(ConfigurationError, match=rf"\[cutover\] pointer = .*the {part} "):
        made(here).check()
    with pytest.raises(ConfigurationError, match="AWS answered with another resource"):
        made(here).is_begun()


@pytest.mark.parametrize(
    "pointer",
    [
        "ssm:arn:aws:ssm:eu-west-1:1234:parameter/t",
        "ssm:arn:aws:sns:eu-west-1:123456789012:parameter/t",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/t",
        "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter",
    ],
)
def test_what_is_no_arn_of_a_parameter_is_refused(tmp_path, pointer):
    with pytest.raises(ConfigurationError, match="names no parameter"):
        context(tmp_path, ONE, f'pointer = "{pointer}"')
