"""
Amazon Ion as exports have it -> DynamoDB's typed JSON, a page at a time. Pure.

It reads what DynamoDB writes, and refuses everything else of Ion: whoever asks gives that to amazon.ion,
which takes three times as long. Texts in quotation marks are most of a page, and the same in JSON: they are
set aside, and put back in their places at the end. Of the rest, what stands between two numbers, blobs or
quoted names (names, brackets, true, false, null) is the same in item after item, so it is taken apart once
and remembered. Whether all of it fits together is left to the reader of the JSON: each value gets its type
here, so that text which is no Ion becomes text which is no JSON.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
https://amazon-ion.github.io/ion-docs/docs/spec.html
"""

from __future__ import annotations

import re
from typing import Final


class Outside(Exception):
    """It is no Ion, or some that exports do not have."""


REMEMBERED: Final = 10_000
"""Of what stands between values, at most."""

_VERSION: Final = "$ion_1_0 "

_TEXT: Final = "\0"
"""In place of a text in quotation marks that was set aside. No text of Ion holds it as it is."""

_FRACTION: Final = r"(?:\.[0-9]*(?:[dD][+-]?[0-9]{1,4})?|[dD][+-]?[0-9]{1,4})"  # without one it is an int
_NUMBER: Final = rf"-?(?:0|[1-9][0-9]*){_FRACTION}"
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_BLOB: Final = rf"\{{\{{{_BASE64}\}}\}}"

_TOKEN: Final = re.compile(
    # One class first, of what a token can begin with: sre tries nothing else at a place that has none of it.
    r"""(['{$0-9-](?:"""
    r"""(?<=')[^'\\\x00-\x1f]*(?:\\.[^'\\\x00-\x1f]*)*':"""
    rf"""|(?<=\{{){_BLOB[2:]}"""
    r"""|(?:(?<=[:\[,][1-9])[0-9]*|(?<=[:\[,]0)|(?<=[:\[,]-)(?:0|[1-9][0-9]*))"""
    rf"""{_FRACTION}(?=[,\]}}])"""
    rf"""|(?<=\$)dynamodb_(?:NS::\[{_NUMBER}(?:,{_NUMBER})*|BS::\[{_BLOB}(?:,{_BLOB})*)\]"""
    r"))"
)

_BETWEEN: Final = re.compile(
    r"(?P<mark>[{}\[\],\n])"
    r"|(?P<word>true|false|null(?:\.null)?)(?=[,\]}])"
    r"|(?!(?:null|true|false|nan):|\$[0-9])(?P<name>[A-Za-z_$][A-Za-z0-9_$]*|\x00):(?!:)"
    r"|\$dynamodb_SS::\[(?P<texts>\x00(?:,\x00)*)\]"
    r"|(?P<text>\x00)"
)
_MARKS: Final = {"{": '{"M":{', "}": "}}", "[": '{"L":[', "]": "]}", ",": ",", "\n": "\n"}
_WORDS: Final = {"true": '{"BOOL":true}', "false": '{"BOOL":false}'}

_UNLIKE_JSON: Final = re.compile(r"\\(?:[^\\/bfnrtu]|u(?:[dD][89A-Fa-f]|(?![0-9A-Fa-f]{4})))")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))")
_AS_IN_JSON: Final = "\\/bfnrt"
_ELSE: Final = {"0": 0, "a": 7, "v": 11, "'": ord("'"), "?": ord("?"), '"': ord('"')}

_QUOTED: Final = re.compile(r""""[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'""")


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
    if _TEXT in read:
        raise Outside
    if "\\" in read and _UNLIKE_JSON.search(read):
        # Everywhere, and to nothing but escapes: one outside of quotation marks is refused like any other.
        read = _ESCAPE.sub(_unescaped, read)
    try:
        return _converted(read)
    except Outside:
        if "'" not in read:
            raise
    return _converted(_QUOTED.sub(_without_marks, read))  # a name may hold one


def _converted(read: str) -> bytes:
    pieces = read.replace(f"\n{_VERSION}", "\n").removeprefix(_VERSION).split('"')
    if len(pieces) % 2 == 0:
        raise Outside  # a text is not ended
    parts = _TOKEN.split(_TEXT.join(pieces[::2]))
    parts[::2] = map(_between.__getitem__, parts[::2])
    parts[1::2] = map(_value, parts[1::2])
    pieces[::2] = "".join(parts).split(_TEXT)
    return "".join(pieces).encode()


def _value(token: str) -> str:
    """A number, blob or set of them; or the name of a member in quotation marks."""
    match token[0]:
        case "'":
            return f'"{token[1:-2]}":'
        case "{":
            return f'{{"B":"{token[2:-2]}"}}'
        case "$":
            kind, members = token[10:12], token[15:-1]
            if kind == "NS":
                members = ",".join(f'"{_number(one)}"' for one in members.split(","))
            else:
                members = members.replace("{{", '"').replace("}}", '"')
            return f'{{"{kind}":[{members}]}}'
    return f'{{"N":"{_number(token)}"}}'


def _number(token: str) -> str:
    """A decimal as DynamoDB writes numbers, about."""
    return token[:-1] if token[-1] == "." else token.replace("d", "E").replace("D", "E")


def _unescaped(found: re.Match[str]) -> str:
    """An escape of Ion as one of JSON that holds no quotation mark, or a letter that stands in texts only."""
    four, eight, two, one = found.groups()
    if one is not None and one in _AS_IN_JSON:
        return found[0]
    if one is not None and one not in _ELSE:
        raise Outside
    point = _ELSE[one] if one is not None else int(four or eight or two, 16)
    if 0xD800 <= point < 0xE000 or point > 0x10FFFF:  # no characters
        raise Outside
    return chr(point) if point > 0x7F else f"\\u{point:04x}"


def _without_marks(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == '"' else found[0].replace('"', "\\u0022")


class _Between(dict[str, str]):
    """What stands between two values, as JSON."""

    def __missing__(self, text: str) -> str:
        made, at = [], 0
        while at < len(text):
            found = _BETWEEN.match(text, at)
            if found is None:
                raise Outside
            made.append(_in_json(found))
            at = found.end()
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = "".join(made)
        return self[text]


def _in_json(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "mark":
            return _MARKS[found[0]]
        case "name":
            return f'"{found["name"]}":'
        case "text":
            return f'{{"S":"{_TEXT}"}}'
        case "texts":
            return f'{{"SS":[{found["texts"].replace(_TEXT, _IN_MARKS)}]}}'
    return _WORDS.get(found[0], '{"NULL":true}')


_IN_MARKS: Final = f'"{_TEXT}"'

_between: Final = _Between()
