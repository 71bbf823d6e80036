"""Options become the settings that a file would have given, and errors name the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbverify.config import Side, Verification
from ddbverify.diff.options import Options, config_of
from ddbverify.errors import ConfigurationError

EXPORT = "file:///copies/AWSDynamoDB/01700000000000-0a1b2c3d"
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"


def test_what_is_not_given_is_the_default_of_the_file():
    config = config_of(Options(source="orders", target="orders-v2"), Path("here"))
    assert config.verification == Verification()
    assert (config.tables[0].source, config.tables[0].target) == ("orders", "orders-v2")
    assert (config.source, config.target, config.folder) == (Side(), Side(), Path("here"))


def test_everything_that_is_given_arrives():
    config = config_of(
        Options(
            source=ARN,
            target="orders-v2",
            target_side=Side(region="eu-central-1", endpoint_url="http://127.0.0.1:1"),
            transform="shop:new",
            rekeys=True,
            ignore=("a.b[0]",),
            settle="0s",
            memory="2GB",
            read_units=7,
            max_read_units=9,
            processes=3,
        ),
        Path(),
    )
    (pair,) = config.tables
    assert (pair.transform, pair.rekeys, pair.ignore) == ("shop:new", True, ("a.b[0]",))
    settings = config.verification
    assert (settings.settle, settings.memory) == (0, 2_000_000_000)
    assert (settings.read_units, settings.max_read_units) == (7, 9)
    assert settings.processes == 3
    assert settings.sampled_fraction is None
    assert config.target == Side(region="eu-central-1", endpoint_url="http://127.0.0.1:1")


def test_a_sample_is_a_fraction():
    config = config_of(Options(source="orders", target="orders-v2", sample="0.5%"), Path())
    assert config.verification.sampled_fraction == 0.005


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "no"}, "SOURCE: 'no' is neither a table name nor a table ARN"),
        ({"target": "a table"}, "TARGET: "),
        ({"source": ARN, "source_side": Side(region="us-east-1")}, "--source-region is us-east-1"),
        ({"transform": "shop"}, "--transform: 'shop' is not of the form module:function"),
        ({"rekeys": True}, "--rekeys needs a transform"),
        ({"ignore": ("a", "a..b")}, r"--ignore: 'a..b' is not an attribute path"),
        ({"sample": "5"}, "--sample"),
        ({"sample": "0%"}, "--sample"),
        ({"sample": "101%"}, "--sample"),
        ({"sample": "5%", "transform": "shop:new", "rekeys": True}, "--sample: a re-keyed pair"),
        ({"settle": "60"}, "--settle: '60' is not understood"),
        ({"settle": "1 week"}, "--settle"),
        ({"settle": "5s", "target": EXPORT}, "--settle 5s: an export does not move"),
        ({"settle": "0s", "source": EXPORT, "target": EXPORT}, "--settle 0s: an export does not move"),
        ({"memory": "512"}, "--memory: '512' is not understood"),
    ],
)
def test_errors_name_the_option(given, message):
    with pytest.raises(ConfigurationError) as caught:
        config_of(Options(**{"source": "orders", "target": "orders-v2"} | given), Path())
    assert message in caught.value.message
    assert "[[tables]]" not in str(caught.value)
    assert caught.value.hint


def test_a_copy_of_an_export_that_is_named_by_its_path_is_told_how_to_be_named():
    with pytest.raises(ConfigurationError) as caught:
        config_of(Options(source="copies/AWSDynamoDB/01700000000000-0a1b2c3d", target="orders"), Path())
    assert "file:///" in caught.value.hint
