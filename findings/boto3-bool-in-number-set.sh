#!/bin/sh
# boto3 1.44.8 writes a set of booleans as a number set, while a single boolean is a BOOL: the set comes
# back as numbers.
#
# Seen: {True} -> {'NS': ['1']} -> {Decimal('1')}.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q boto3==1.44.8
"$work/venv/bin/python" - <<'PYTHON'
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

write, read = TypeSerializer().serialize, TypeDeserializer().deserialize
single, several = write(True), write({True})
print("True ->", single, "   {True} ->", several, "->", read(several))
assert single == {"BOOL": True}
assert several == {"NS": ["1"]}
PYTHON
