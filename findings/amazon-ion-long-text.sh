#!/bin/sh
# amazon.ion 0.15.0, with its parser in C: a text of 16,384 bytes is refused, where an item of a DynamoDB export may
# hold one of 400 KB. What lifts it is text_buffer_size_limit, whose default the docstring gives as 4,096 bytes.
#
# Seen: 16383 bytes: read; 16384 bytes: IERR_BUFFER_TOO_SMALL; with a limit of 1 MB: read.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install -q amazon.ion==0.15.0
"$work/venv/bin/python" - <<'PYTHON'
from amazon.ion import simpleion
from amazon.ion.exceptions import IonException

assert simpleion.c_ext


def read(size, **limit):
    text = '{Item: {id: "7", body: "%s"}}' % ("x" * size)
    try:
        return "read" if len(simpleion.loads(text, **limit)["Item"]["body"]) == size else "cut"
    except IonException as error:
        return str(error).strip()


below, at = read(16383), read(16384)
lifted = read(16384, text_buffer_size_limit=1 << 20)
print("16383 bytes:", below)
print("16384 bytes:", at)
print("16384 bytes, with a limit of 1 MB:", lifted)
assert (below, at, lifted) == ("read", "IERR_BUFFER_TOO_SMALL", "read")
PYTHON
