#!/bin/sh
# deepdiff 9.1.0 cannot compare two binary sets (BS) as boto3 1.44.8 gives them: sets of its class Binary,
# whose __str__ returns bytes. A single binary, and a list of them, are compared.
#
# Seen: TypeError: __str__ returned non-string (type bytes), with and without ignore_order.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q deepdiff==9.1.0 boto3==1.44.8
"$work/venv/bin/python" - <<'PYTHON'
from boto3.dynamodb.types import TypeDeserializer
from deepdiff import DeepDiff

read = TypeDeserializer().deserialize
one, other = read({"BS": [b"\x01", b"\x02"]}), read({"BS": [b"\x01", b"\x03"]})
for options in ({}, {"ignore_order": True}):
    try:
        found = DeepDiff({"a": one}, {"a": other}, **options)
    except TypeError as error:
        print(options, "TypeError:", error)
    else:
        raise SystemExit(f"it compares them now: {found}")
single = DeepDiff({"a": read({"B": b"\x01"})}, {"a": read({"B": b"\x03"})})
print("a single one:", single)
assert list(single) == ["values_changed"]
PYTHON
