#!/bin/sh
# deepdiff 9.1.0 leaves out every dictionary key that begins with two underscores, unless told otherwise.
# AWS Amplify and AppSync write `__typename` into each item of their DynamoDB tables: two items that differ
# in nothing else are equal to DeepDiff(one, other).
#
# Seen: {} by default, values_changed with ignore_private_variables=False.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q deepdiff==9.1.0
"$work/venv/bin/python" - <<'PYTHON'
from deepdiff import DeepDiff

order = {"id": "7", "__typename": "Order"}
invoice = {"id": "7", "__typename": "Invoice"}
default = DeepDiff(order, invoice)
told = DeepDiff(order, invoice, ignore_private_variables=False)
print("by default:", default)
print("ignore_private_variables=False:", told)
assert default == {}
assert list(told) == ["values_changed"]
PYTHON
