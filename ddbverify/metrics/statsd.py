"""
Datagrams of statsd, with the tags of DogStatsD.

Some lines, and so without a library: the client of that name was released last in 2022 and knows no tags,
and Datadog's brings a client of its service. statsd_exporter, Telegraf, Vector and the CloudWatch agent read
tags.

Source:
    https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from ddbverify.metrics.measures import METRICS, Measured

MOST_BYTES: Final = 1432
"""Of a datagram: it fits into a packet of an Ethernet, so none is cut in two."""

_RESERVED: Final = re.compile(
    r"[^A-Za-z0-9_./-]"
)  # `|`, `:`, `,`, `#` and line ends would begin something else


def send(measured: Sequence[Measured], host: str, port: int) -> None:
    """
    Send the numbers as gauges; UDP does not say whether anybody has listened.

    Raises:
        OSError: The host has no address, or the machine does not send.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as out:
        for datagram in datagrams(measured):
            out.sendto(datagram, place)


def datagrams(measured: Sequence[Measured]) -> Iterator[bytes]:
    """As many lines in each as fit."""
    held = b""
    for one in measured:
        line = _line(one)
        if held and len(held) + 1 + len(line) > MOST_BYTES:
            yield held
            held = b""
        held = held + b"\n" + line if held else line
    if held:
        yield held


def _line(one: Measured) -> bytes:
    tags = ",".join(f"{name}:{_RESERVED.sub('_', value)}" for name, value in one.labels.items() if value)
    # A number with a sign would be added to what the gauge had; there is none below zero.
    number = f"{one.value:.17g}" if one.value != int(one.value) else f"{int(one.value)}"
    return f"{METRICS[one.metric].name}:{number}|g{f'|#{tags}' if tags else ''}".encode()
