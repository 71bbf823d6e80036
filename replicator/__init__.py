"""Moves a live DynamoDB table and keeps the copy following, until the gate is open. See ``docs/``."""
