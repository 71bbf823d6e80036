"""The deployed functions name their handler ``replicator.auditor.handler``, and keep it across versions."""

from replicator.audits.function import handler as handler
