"""Bodies of requests: bytes and a content type in, parameters by name out.

The result is the same for JSON and YAML: strings, numbers, booleans, lists and maps, with one exception. The value of
`payload` is kept as JSON text, so that its numbers arrive as they were sent. A form gives lists of texts.

A hostile body can neither run code nor take more memory than its size justifies: YAML is read as the core schema of
YAML 1.2, without anchors, aliases and tags. (YAML 1.1 would read the actor `NO` as false.) Because it takes long, its
length has a limit of its own. A name may appear only once in a map.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeAlias
from urllib.parse import parse_qsl

import msgspec
import yaml

from syncnet.core.labels import readable, shown
from syncnet.core.limits import LIMITS, NESTING_MAX, Limits
from syncnet.errors import BadBodyError, ParameterError

__all__ = ["DIGITS_MAX", "Texts", "Values", "check_json", "decode_body", "decode_form"]


class Texts(dict[str, list[str]]):
    """Parameters of a query or a form: texts by name, in the order given."""


Values: TypeAlias = dict[str, Any]
"""Parameters of a JSON or YAML body: values by name, `payload` as bytes of JSON."""

_JSON_TYPES: Final = ("application/json", "text/json")
_YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_CHARSETS: Final = ("", "utf-8", "utf8", "us-ascii")


def decode_body(content_type: str, body: bytes, limits: Limits = LIMITS) -> Texts | Values:
    """Return the parameters in a body; an empty body has none.

    :raises BadBodyError: the content type is unknown, the body is not of that type, or it is too long for YAML.
    :raises ParameterError: a name appears twice.
    """
    if not body:
        return {}
    media_type, charset = _media_type(content_type)
    if charset not in _CHARSETS:
        raise BadBodyError(f"expected the charset utf-8, got {shown(charset)}", "unknown-content-type")
    if media_type in _JSON_TYPES or media_type.endswith("+json"):
        return _decode_json(_utf8(body))
    if media_type in _YAML_TYPES or media_type.endswith("+yaml"):
        if len(body) > limits.yaml_bytes_max:
            wanted = f"expected a body in YAML of at most {limits.yaml_bytes_max} bytes"
            raise BadBodyError(f"{wanted}, got {len(body)}; one in JSON may be longer", "too-large")
        return _decode_yaml(_utf8(body))
    if media_type == _FORM_TYPE:
        return _decode_form_body(_utf8(body), limits.parameters_max)
    raise BadBodyError(
        f"expected the content type application/json, application/yaml or {_FORM_TYPE}, "
        f"got {shown(content_type) if content_type else 'none'}",
        "unknown-content-type",
    )


def decode_form(text: str, parameters_max: int = LIMITS.parameters_max) -> Texts:
    """Return the parameters of a query, or of the body of a form, at most `parameters_max`.

    :raises ParameterError: a name or a value is not UTF-8, or there are too many.
    """
    if "%" not in text and "+" not in text and text.isascii():
        return _decode_unescaped(text, parameters_max)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=parameters_max)
    except ValueError:  # too many parameters; bytes that are not UTF-8 become surrogates and raise nothing
        raise _too_many(parameters_max) from None
    texts = Texts()
    for name, value in pairs:
        if not (name.isascii() and value.isascii()):
            _check_utf8(name, name)
            _check_utf8(name, value)
        texts.setdefault(name, []).append(value)
    return texts


def _decode_unescaped(text: str, parameters_max: int) -> Texts:
    """Do the same as `decode_form` for a text without escapes, in a quarter of the time."""
    if text.count("&") >= parameters_max:
        raise _too_many(parameters_max)
    texts = Texts()
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name in texts and pair:
            texts[name].append(value)
        elif pair:
            texts[name] = [value]
    return texts


def _too_many(parameters_max: int) -> BadBodyError:
    return BadBodyError(f"expected at most {parameters_max} parameters, got more", "too-large")


def _media_type(content_type: str) -> tuple[str, str]:
    media_type, *parameters = (part.strip() for part in content_type.lower().split(";"))
    charsets = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    return media_type, charsets[0] if charsets else ""


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadBodyError(
            f"expected UTF-8, got the byte 0x{body[error.start]:02x} at byte {error.start + 1}"
        ) from None


def _check_utf8(name: str, text: str) -> None:
    for position, character in enumerate(text, 1):
        if "\udc80" <= character <= "\udcff":
            byte = ord(character) - 0xDC00
            raise ParameterError(readable(name), f"expected UTF-8, got the byte 0x{byte:02x} at character {position}")


# --- JSON --------------------------------------------------------------------------------------------------

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET: Final = re.compile(r"[][{}]")
DIGITS_MAX: Final = 4_000  # Python converts no more than 4,300 of them


def _decode_json(text: str) -> Values:
    try:
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        check_json(text)
        return {
            name: msgspec.json.format(bytes(raw), indent=-1) if name == "payload" else msgspec.json.decode(raw)
            for name, raw in fields.items()
        }
    except (msgspec.DecodeError, ValueError) as error:
        if isinstance(error, ParameterError | BadBodyError):
            raise
        raise BadBodyError(f"expected a JSON object with parameters, but: {error}") from None
    except RecursionError:
        raise BadBodyError(f"expected at most {NESTING_MAX} levels of nesting, got very many more") from None


def check_json(text: str) -> None:
    """Refuse what msgspec accepts and we do not, in `text`, which is JSON.

    :raises BadBodyError: it is nested too deeply, or a whole number has too many digits.
    :raises ParameterError: a name appears twice in one object.
    """
    _check_nesting(text)
    json.loads(text, object_pairs_hook=_refuse_repeated, parse_int=_check_digits, parse_float=str)


def _check_nesting(text: str) -> None:
    """Refuse nesting that is too deep. `text` is valid JSON: its quotes are paired, so the search takes linear time."""
    if text.count("[") + text.count("{") <= NESTING_MAX:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > NESTING_MAX:
            raise BadBodyError(f"expected at most {NESTING_MAX} levels of nesting, got more")


def _check_digits(number: str) -> str:
    if len(number) > DIGITS_MAX:
        raise BadBodyError(f"expected whole numbers of at most {DIGITS_MAX} digits, got one of {len(number)}")
    return number


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise ParameterError(readable(name), "expected once, got it twice in one object")
        names.add(name)


# --- forms -------------------------------------------------------------------------------------------------


def _decode_form_body(text: str, parameters_max: int) -> Texts:
    if text.lstrip()[:1] in ("{", "["):
        raise BadBodyError(
            "expected a form, got what looks like JSON; say so with the header 'Content-Type: application/json'"
        )
    return decode_form(text, parameters_max)


# --- YAML --------------------------------------------------------------------------------------------------

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL: Final = re.compile(rf"[-+]?[0-9]{{1,{DIGITS_MAX}}}")
_OCTAL: Final = re.compile(r"0o[0-7]{1,1000}")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]{1,1000}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def _decode_yaml(text: str) -> Values:
    try:
        values = _YamlReader(text).document()
    except yaml.YAMLError as error:
        raise BadBodyError(f"expected YAML, but: {_one_line(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadBodyError(f"expected a YAML map with parameters, got a {type(values).__name__}")
    if "payload" in values:
        values["payload"] = json.dumps(values["payload"], ensure_ascii=False, separators=(",", ":")).encode()
    return values


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
    return f"{what}, at line {mark.line + 1}, column {mark.column + 1}" if mark else what


class _YamlReader:
    """Builds the value of one document from the events of the parser."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_Loader)
        self._depth = 0

    def document(self) -> Any:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events))
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse("expected one YAML document, got another", after)
        return value

    def _value(self, event: yaml.Event) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self._refuse("expected no aliases in YAML, got one", event)
        if getattr(event, "anchor", None) is not None:
            self._refuse("expected no anchors in YAML, got one", event)
        if getattr(event, "tag", None) is not None:
            self._refuse("expected no tags in YAML, got one", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        self._depth += 1
        if self._depth > NESTING_MAX:
            self._refuse(f"expected at most {NESTING_MAX} levels of nesting, got more", event)
        value = self._map() if isinstance(event, yaml.MappingStartEvent) else self._list()
        self._depth -= 1
        return value

    def _list(self) -> list[Any]:
        values = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event))
        return values

    def _map(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name = self._value(event)
            if not isinstance(name, str):
                self._refuse("expected a text as name in a map, got something else; put it in quotes", event)
            if name in values:
                raise ParameterError(readable(name), "expected once, got it twice in one map")
            values[name] = self._value(next(self._events))
        return values

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if not event.implicit[0]:  # in quotes, or a block
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _DECIMAL.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEXADECIMAL.fullmatch(text):
            return int(text[2:], 16)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
        elif not _NOT_JSON.fullmatch(text):
            return text
        return self._refuse(f"expected a number that JSON has, got {shown(text)}", event)

    @staticmethod
    def _refuse(message: str, event: yaml.Event) -> NoReturn:
        mark = event.start_mark
        where = f", at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadBodyError(message + where)
