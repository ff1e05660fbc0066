"""Numbers as Java holds and prints them."""

from __future__ import annotations

import math
import struct
from decimal import Decimal


def wrap(number: int, bits: int) -> int:
    """The low `bits` bits of a number, as a signed one: what a Java cast keeps."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >= 1 << bits - 1 else number


def to_float32(number: float) -> float:
    """The nearest number that four bytes can hold; infinity beyond their range."""
    try:
        nearest: float = struct.unpack(">f", struct.pack(">f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return nearest


def java_double(number: float, *, single: bool = False) -> str:
    """A floating number as Java prints it: 1.0, 1.0E10, 1.0E-5, NaN, Infinity."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    text = _shortest_single(number) if single else repr(number)
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    point = len(digits) + exponent
    plain = "".join(map(str, digits)).rstrip("0") or "0"
    head = "-" if sign else ""
    if plain == "0":
        return f"{head}0.0"
    if -3 < point <= 7:
        if point <= 0:
            return f"{head}0.{'0' * -point}{plain}"
        padded = plain.ljust(point, "0")
        return f"{head}{padded[:point]}.{padded[point:] or '0'}"
    return f"{head}{plain[0]}.{plain[1:] or '0'}E{point - 1}"


def _shortest_single(number: float) -> str:
    for digits in range(1, 10):
        text = f"{number:.{digits}g}"
        if to_float32(float(text)) == to_float32(number):
            return text
    return repr(number)


def java_decimal(number: Decimal) -> str:
    """A decimal as Java's BigDecimal prints it: 1.50, 1E+2, 1E-10."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    plain = "".join(map(str, digits))
    adjusted = exponent + len(plain) - 1
    head = "-" if sign and plain.strip("0") else ""
    if exponent == 0:
        return head + plain
    if exponent < 0 and adjusted >= -6:
        point = len(plain) + exponent
        padded = plain if point > 0 else "0" * (1 - point) + plain
        point = max(point, 1)
        return f"{head}{padded[:point]}.{padded[point:]}"
    mantissa = plain if len(plain) == 1 else f"{plain[0]}.{plain[1:]}"
    return f"{head}{mantissa}E{adjusted:+d}"
