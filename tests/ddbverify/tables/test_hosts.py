"""AWS's hosts are those of botocore's own data, emulators are known ones, and what is neither is neither."""

from __future__ import annotations

import boto3
import botocore.session
import pytest
from botocore.config import Config

from ddbverify.tables import aws
from ddbverify.tables.hosts import is_aws, is_emulator

CORE = botocore.session.Session()
REGIONS = [
    region
    for partition in CORE.get_available_partitions()
    for region in CORE.get_available_regions("dynamodb", partition)
]
VARIANTS = [
    {},
    {"use_dualstack_endpoint": True},
    {"use_fips_endpoint": True},
    {"use_dualstack_endpoint": True, "use_fips_endpoint": True},
]


def _hosts(service):
    for region in REGIONS:
        for variant in VARIANTS:
            try:
                client = boto3.client(
                    service,
                    region_name=region,
                    config=Config(**variant),
                    aws_access_key_id="none",
                    aws_secret_access_key="none",
                )
            except (ValueError, botocore.exceptions.BotoCoreError):  # no such variant in that partition
                continue
            yield client.meta.endpoint_url


def test_every_host_of_dynamodb_in_every_partition_is_aws_and_no_emulator():
    hosts = set(_hosts("dynamodb"))

    assert any(host.endswith(".api.amazonwebservices.eu") for host in hosts)
    assert any(host.endswith(".amazonaws.com.cn") for host in hosts)
    assert [host for host in hosts if not is_aws(host) or is_emulator(host)] == []


@pytest.mark.parametrize(
    "url",
    [
        "https://123456789012.ddb.eu-west-1.amazonaws.com",
        "https://123456789012.streams-ddb.eu-west-1.amazonaws.com",
        "https://vpce-0a1b-2c3d.dynamodb.eu-west-1.vpce.amazonaws.com",
        "https://dynamodb.eusc-de-east-1.api.amazonwebservices.eu",
        "https://123456789012.ddb.eusc-de-east-1.api.amazonwebservices.eu",
        "https://DynamoDB.EU-West-1.AmazonAWS.com.",
    ],
)
def test_hosts_that_are_made_at_run_time_are_aws_too(url):
    assert is_aws(url)
    assert not is_emulator(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:4566", "http://localhost:8000", "http://[::1]:8000", "http://0.0.0.0:8000"),
        *("http://10.1.2.3:8000", "http://192.168.0.7", "http://172.17.0.1:4566", "http://169.254.1.1"),
        *("http://dynamodb-local:8000", "http://localstack:4566", "http://ddb.localhost", "http://ddb.test"),
        *("http://host.docker.internal:8000", "https://localhost.localstack.cloud:4566"),
        "http://dynamodb.default.svc.cluster.local:8000",
    ],
)
def test_known_emulators_are_known(url):
    assert is_emulator(url)
    assert not is_aws(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://dynamodb.corp.internal",
        "https://aws-proxy.shop.com",
        "https://localstack.shop.com",
        "https://amazonaws.com.evil.org",
        "https://notamazonaws.com",
        "https://8.8.8.8",
        "https://100.64.0.1",
        "https://127.0.0.1.nip.io",
        "https://mylocalhost.com",
        "https://",
        "nonsense",
        "https://[::1",
        "",
    ],
)
def test_a_host_that_nobody_knows_is_trusted_like_neither(url):
    assert not is_emulator(url)
    assert not is_aws(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://localhost:8000", True), (None, False), ("https://ddb.shop.com", False)],
)
def test_a_client_is_an_emulators_where_its_host_is_known_to_be(url, expected):
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )

    assert aws.is_emulator(client) is expected
