#!/bin/sh
# deepdiff 9.1.0 raises decimal.InvalidOperation when it compares two numbers of 38 digits, as a DynamoDB
# number may have, with significant_digits: it divides within the default context of 28 digits.
#
# Seen: InvalidOperation (DivisionImpossible) at 38 digits, an answer at 20.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q deepdiff==9.1.0
"$work/venv/bin/python" - <<'PYTHON'
import decimal
from decimal import Decimal

from deepdiff import DeepDiff

short = DeepDiff(Decimal("1" * 20), Decimal("1" * 19 + "2"), significant_digits=0)
print("20 digits:", list(short))
assert list(short) == ["values_changed"]
try:
    found = DeepDiff(Decimal("1" * 38), Decimal("1" * 37 + "2"), significant_digits=0)
except decimal.InvalidOperation as error:
    print("38 digits:", type(error).__name__, error)
else:
    raise SystemExit(f"it answers now: {found}")
PYTHON
