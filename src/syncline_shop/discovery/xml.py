"""Eureka's documents as XML, which its REST interface speaks to whoever does not ask for JSON.

Its JSON was once made from its XML, so one follows from the other: a member `@name` is an attribute,
`$` the text, and members of the metadata are elements, whose names XStream makes fit
(`_` is `__`, `$` is `_-`, another character that no name may have is `_.` and four hexadecimal digits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree  # writes only; what others send is read by defusedxml

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from syncline.kit.discovery.eureka import InstanceInfo, MalformedInstance, convert

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FITS = re.compile(r"[A-Za-z0-9.-]")
_ESCAPED = re.compile(r"__|_-|_\.([0-9a-fA-F]{4})")


def write(document: Mapping[str, Any]) -> bytes:
    """A document with one member, like `{"application": {...}}`, as XML."""
    ((name, content),) = document.items()
    root = ElementTree.Element(name)
    _fill(root, content)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def _fill(element: ElementTree.Element, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        if name == "$":
            element.text = str(value)
        elif name.startswith("@"):
            element.set(name[1:], str(value))
        elif name == "metadata" and "@class" not in value:
            metadata = ElementTree.SubElement(element, name)
            for key, text in value.items():
                ElementTree.SubElement(metadata, _as_name(key)).text = _NOT_IN_XML.sub("", str(text))
        else:
            for item in value if isinstance(value, list) else [value]:
                child = ElementTree.SubElement(element, _IN_XML.get(name, name))
                if isinstance(item, Mapping):
                    _fill(child, item)
                else:
                    child.text = _NOT_IN_XML.sub("", str(item))


_IN_XML = {"overriddenStatus": "overriddenstatus"}


def read_instance(body: bytes) -> InstanceInfo:
    """From `<instance>...</instance>`. MalformedInstance says what is wrong; a document type is refused."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise MalformedInstance(f"this is no XML that is taken here: {exc}") from exc
    if root.tag != "instance":
        raise MalformedInstance(f"the root is <{root.tag}>, not <instance>")
    document = {child.tag: _value(child) for child in root}
    return convert(document, InstanceInfo)


def _value(element: ElementTree.Element) -> Any:
    if element.tag in ("port", "securePort"):
        return {"$": element.text or "", "@enabled": element.get("enabled", "true")}
    if element.tag == "metadata":
        return {_from_name(child.tag): child.text or "" for child in element}
    if len(element) or "class" in element.attrib:
        members = {child.tag: _value(child) for child in element}
        return {**members, **({"@class": element.get("class")} if "class" in element.attrib else {})}
    return element.text or ""


def _as_name(key: str) -> str:
    """A key as the name of an element."""
    name = "".join(_letter(letter) for letter in key) or "_.0000"
    # A name begins with a letter or an underscore.
    return name if name[0].isalpha() or name[0] == "_" else f"_.{ord(name[0]):04x}{name[1:]}"


def _letter(letter: str) -> str:
    if letter == "_":
        return "__"
    if letter == "$":
        return "_-"
    if _FITS.match(letter):
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"_.{int.from_bytes(units[i : i + 2]):04x}" for i in range(0, len(units), 2))


def _from_name(name: str) -> str:
    """The key that `_as_name` was given."""

    def plain(found: re.Match[str]) -> str:
        if found[0] == "__":
            return "_"
        return "$" if found[0] == "_-" else chr(int(found[1], 16))

    key = _ESCAPED.sub(plain, name).replace("\0", "")
    return key.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
