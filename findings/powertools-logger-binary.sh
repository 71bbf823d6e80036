#!/bin/sh
# The Logger of aws-lambda-powertools 3.37.0 loses a whole line whose extra fields hold a boto3 Binary (a
# binary key, say): the error goes to standard error, the line nowhere. And of extra fields called level,
# location and timestamp it keeps its own.
#
# Seen: no line for the first call; level INFO, not 'mine', in the second.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q aws-lambda-powertools==3.37.0 boto3==1.44.8
"$work/venv/bin/python" - <<'PYTHON'
import io
import json

from aws_lambda_powertools import Logger
from boto3.dynamodb.types import Binary

out = io.StringIO()
logger = Logger(service="consumer", stream=out)
logger.info("not applied", extra={"key": Binary(b"\x01")})
logger.info("applied", extra={"level": "mine", "location": "mine", "timestamp": "mine"})
lines = [json.loads(line) for line in out.getvalue().splitlines()]
print("lines:", [line["message"] for line in lines])
print("second:", lines[-1])
assert [line["message"] for line in lines] == ["applied"]
assert "mine" not in lines[-1].values()
PYTHON
