"""
Amazon Ion as exports have it -> DynamoDB's typed JSON, a page at a time. Pure.

It reads what DynamoDB writes, and refuses everything else of Ion: whoever asks gives that to amazon.ion,
which takes twice as long. What stands between two values (names, brackets, true, false, null) is the same in
item after item, so it is taken apart once and remembered. Whether all of it fits together is left to the
reader of the JSON: each value gets its type here, so that text which is no Ion becomes text which is no JSON.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
https://amazon-ion.github.io/ion-docs/docs/spec.html
"""

from __future__ import annotations

import json
import re
from typing import Final


class Outside(Exception):
    """It is no Ion, or some that exports do not have."""


REMEMBERED: Final = 10_000
"""Of what stands between values, at most."""

_VERSION: Final = "$ion_1_0 "

_STRING: Final = r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"'
_FRACTION: Final = r"(?:\.[0-9]*(?:[dD][+-]?[0-9]{1,4})?|[dD][+-]?[0-9]{1,4})"  # without one it is an int
_NUMBER: Final = rf"-?(?:0|[1-9][0-9]*){_FRACTION}"
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_BLOB: Final = rf"\{{\{{{_BASE64}\}}\}}"

_TOKEN: Final = re.compile(
    # One class first, of what a token can begin with: sre tries nothing else at a place that has none of it.
    r"""(["'{$0-9-](?:"""
    rf"""(?<="){_STRING[1:]}:?"""
    r"""|(?<=')[^'\\\x00-\x1f]*(?:\\.[^'\\\x00-\x1f]*)*':"""
    rf"""|(?<=\{{){_BLOB[2:]}"""
    r"""|(?:(?<=[:\[,][1-9])[0-9]*|(?<=[:\[,]0)|(?<=[:\[,]-)(?:0|[1-9][0-9]*))"""
    rf"""{_FRACTION}(?=[,\]}}])"""
    r"""|(?<=\$)dynamodb_(?:"""
    rf"""SS::\[{_STRING}(?:,{_STRING})*|NS::\[{_NUMBER}(?:,{_NUMBER})*|BS::\[{_BLOB}(?:,{_BLOB})*)\]"""
    r"))"
)

_BETWEEN: Final = re.compile(
    r"(?P<mark>[{}\[\],\n])"
    r"|(?P<word>true|false|null(?:\.null)?)(?=[,\]}])"
    r"|(?!(?:null|true|false|nan):|\$[0-9])(?P<name>[A-Za-z_$][A-Za-z0-9_$]*):(?!:)"
)
_MARKS: Final = {"{": '{"M":{', "}": "}}", "[": '{"L":[', "]": "]}", ",": ",", "\n": "\n"}
_WORDS: Final = {"true": '{"BOOL":true}', "false": '{"BOOL":false}'}

_UNLIKE_JSON: Final = re.compile(r'\\(?:[^"\\/bfnrtu]|u(?:[dD][89A-Fa-f]|(?![0-9A-Fa-f]{4})))')
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))")
_AS_IN_JSON: Final = '"\\/bfnrt'
_ELSE: Final = {"0": "\0", "a": "\a", "v": "\v", "'": "'", "?": "?"}


def as_json(text: bytes) -> bytes:
    """
    Whole lines of Ion as lines of JSON, each value in DynamoDB's typed form: ``{"M": {"Item": ...}}``.

    What is returned has to be decoded strictly, and to have as many values as lines.

    Raises:
        Outside: There is something in it that exports do not have.
    """
    try:
        read = text.decode()
    except UnicodeDecodeError:
        raise Outside from None
    parts = _TOKEN.split(read.replace(f"\n{_VERSION}", "\n").removeprefix(_VERSION))
    parts[::2] = map(_between.__getitem__, parts[::2])
    parts[1::2] = map(_value, parts[1::2])
    return "".join(parts).encode()


def _value(token: str) -> str:
    """One value, or the name of a member in quotation marks."""
    if "\\" in token and _UNLIKE_JSON.search(token):
        token = _ESCAPE.sub(_unescaped, token)
    match token[0]:
        case '"':
            return token if token[-1] == ":" else f'{{"S":{token}}}'
        case "'":
            return f"{_quoted(token[1:-2])}:"
        case "{":
            return f'{{"B":"{token[2:-2]}"}}'
        case "$":
            kind, members = token[10:12], token[15:-1]
            if kind == "NS":
                members = ",".join(f'"{_number(one)}"' for one in members.split(","))
            elif kind == "BS":
                members = members.replace("{{", '"').replace("}}", '"')
            return f'{{"{kind}":[{members}]}}'
    return f'{{"N":"{_number(token)}"}}'


def _number(token: str) -> str:
    """A decimal as DynamoDB writes numbers, about."""
    return token[:-1] if token[-1] == "." else token.replace("d", "E").replace("D", "E")


def _quoted(symbol: str) -> str:
    """The content of a quoted symbol as a string of JSON; escapes are those of JSON by now."""
    return '"' + re.sub(r'(\\.)|"', lambda found: found[1] or '\\"', symbol) + '"'


def _unescaped(found: re.Match[str]) -> str:
    """An escape of Ion as one of JSON, or the character itself."""
    four, eight, two, one = found.groups()
    if one is not None:
        if one in _AS_IN_JSON:
            return found[0]
        if one not in _ELSE:
            raise Outside
        return json.dumps(_ELSE[one])[1:-1]
    point = int(four or eight or two, 16)
    if 0xD800 <= point < 0xE000 or point > 0x10FFFF:  # no characters
        raise Outside
    return json.dumps(chr(point), ensure_ascii=False)[1:-1]


class _Between(dict[str, str]):
    """What stands between two values, as JSON."""

    def __missing__(self, text: str) -> str:
        made, at = [], 0
        while at < len(text):
            found = _BETWEEN.match(text, at)
            if found is None:
                raise Outside
            mark, word, name = found.groups()
            made.append(_MARKS[mark] if mark else f'"{name}":' if name else _WORDS.get(word, '{"NULL":true}'))
            at = found.end()
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = "".join(made)
        return self[text]


_between: Final = _Between()
