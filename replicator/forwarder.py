"""The deployed functions name their handler ``replicator.forwarder.handler``, and keep it across versions."""

from replicator.handlers.forwarder import handler as handler
