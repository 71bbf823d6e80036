#!/bin/sh
# amazon.ion 0.15.0, on Ion as DynamoDB exports it: a NULL is not equal to another NULL, so two equal items
# with one are never equal; and annotations do not count, so a string set equals a list of the same strings.
# A BOOL is no bool.
#
# Seen: null == null False; $dynamodb_SS::[...] == [...] True; isinstance(true, bool) False.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q amazon.ion==0.15.0
"$work/venv/bin/python" - <<'PYTHON'
from amazon.ion import simpleion

one, other = (simpleion.loads("{Item: {id: \"7\", removed: null}}") for _ in range(2))
as_set, as_list = simpleion.loads("$dynamodb_SS::[\"a\", \"b\"]"), simpleion.loads("[\"a\", \"b\"]")
true = simpleion.loads("true")
print("two equal items with a NULL are equal:", one == other)
print("a string set equals a list:", as_set == as_list)
print("a BOOL is a bool:", isinstance(true, bool))
assert one != other
assert as_set == as_list
assert not isinstance(true, bool)
PYTHON
