"""The deployed functions name their handler ``replicator.consumer.handler``, and keep it across versions."""

from replicator.handlers.consumer import handler as handler
