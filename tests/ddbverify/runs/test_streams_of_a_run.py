"""What a run makes of the streams before its checks begin, without an engine."""

from __future__ import annotations

import pytest

from ddbverify.errors import ConfigurationError
from ddbverify.runs import run as runs
from ddbverify.runs.since import require_believable
from tests.ddbverify import projects


def test_on_aws_a_stream_is_not_taken_to_be_read_after_a_moment(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="a record may be readable later"):
        require_believable(4.9)
    require_believable(5.0)

    file = projects.runnable(tmp_path, monkeypatch, toml=projects.TOML + '[cutover]\nstream_lag = "1s"\n')
    with pytest.raises(ConfigurationError, match="a record may be readable later"):
        runs.run(file, since="latest")
    assert not (tmp_path / ".ddbverify" / "runs").exists()
