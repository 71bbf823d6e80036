"""Where the shared pass of a pair is made: by this machine's processes, or by tasks of Spark."""

from __future__ import annotations

from ddbverify.compare import runner
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.config import Config, Pair


def compare(config: Config, pair: Pair, request: PassRequest, listeners: Listeners) -> Comparison:
    """As ``[verification] engine`` says. Raises as `runner.compare` or `spark.engine.compare`."""
    if config.verification.engine == "here":
        return runner.compare(config, pair, request, listeners)
    from ddbverify.spark import engine  # comes with an extra, and with a Java that few machines have

    return engine.compare(config, pair, request, listeners)
