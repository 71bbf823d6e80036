"""
Whether an endpoint belongs to AWS, to an emulator, or to somebody unknown.

Both questions are answered on the safe side. `is_emulator` permits what is only safe under an emulator (short
overlaps, pages without a checksum), so it takes a host that is known to be one. `is_aws` decides what counts
as made against AWS (evidence, money), so it takes a host in AWS's domains. An unknown host, such as a private
proxy, is neither.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final
from urllib.parse import urlsplit

import botocore.loaders

# Names that never lead to AWS: reserved ones (RFC 6761, RFC 2606, RFC 6762), and two that Docker and
# LocalStack have for this very machine.
_EMULATORS_DOMAINS: Final = (
    "localhost",
    "test",
    "example",
    "invalid",
    "local",
    "docker.internal",
    "localhost.localstack.cloud",
)


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint is in a domain of one of AWS's partitions, by botocore's own data."""
    return _is_in(_host(endpoint_url), _aws_domains())


def is_emulator(endpoint_url: str) -> bool:
    """
    Whether an endpoint is known to be an emulator's.

    Known are this machine (``localhost``, loopback), private and link-local addresses, host names
    without a dot (a service of Docker Compose), and the reserved domains ``.localhost``, ``.test``,
    ``.example``, ``.invalid`` and ``.local``. A tunnel from one of them to AWS is taken for an
    emulator, too: use AWS's own host names there.
    """
    host = _host(endpoint_url)
    if is_aws(endpoint_url) or not host:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or _is_in(host, _EMULATORS_DOMAINS)
    return address.is_private or address.is_loopback or address.is_link_local


def _host(endpoint_url: str) -> str:
    try:
        return (urlsplit(endpoint_url).hostname or "").rstrip(".").lower()
    except ValueError:  # such as an unclosed bracket
        return ""


def _is_in(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


@functools.cache
def _aws_domains() -> tuple[str, ...]:
    partitions = botocore.loaders.create_loader().load_data("partitions")["partitions"]
    return tuple(
        sorted(
            {
                str(suffix)
                for partition in partitions
                for name, suffix in partition["outputs"].items()
                if name in ("dnsSuffix", "dualStackDnsSuffix")
            }
        )
    )
