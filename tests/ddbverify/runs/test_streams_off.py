"""A table without a stream is a reason to read the tables, and says what turns it on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.changes.shards import Gap
from ddbverify.runs import since


@pytest.mark.parametrize(("role", "command"), [("source", "replicator up"), ("target", "replicator restore")])
def test_it_says_what_to_do(role, command):
    with pytest.raises(Gap, match=f"the {role} has no stream .`{command}` turns it on, or you"):
        since._stream(None, SimpleNamespace(stream_arn=None), role)
