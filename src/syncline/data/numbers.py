"""Numbers as Java holds and prints them."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Final


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
    """A floating number as Java prints it: 1.0, 1.0E10, 1.0E-5, NaN, Infinity; `single` for a FLOAT32."""
    if not math.isfinite(number):
        return _NOT_FINITE[repr(number)]
    sign, digits, exponent = Decimal(_shortest_single(number) if single else _shortest(number)).as_tuple()
    assert isinstance(exponent, int)
    plain = "".join(map(str, digits)).rstrip("0")
    minus = "-" if sign else ""
    if not plain:
        return f"{minus}0.0"
    point = len(digits) + exponent
    if 0 < point <= 7:
        return f"{minus}{plain[:point]:0<{point}}.{plain[point:] or 0}"
    if -3 < point <= 0:
        return f"{minus}0.{'0' * -point}{plain}"
    return f"{minus}{plain[0]}.{plain[1:] or 0}E{point - 1}"


_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _shortest(number: float) -> str:
    """The fewest digits that tell the number from every other FLOAT64; among tiny ones at least two."""
    two_digits = f"{number:.1e}"
    # Only next to zero is there a choice: 4.9E-324, where Python prints 5e-324.
    return two_digits if abs(number) < 1e-300 and float(two_digits) == number else repr(number)


def _shortest_single(number: float) -> str:
    """The fewest digits (two at least) that tell the number from every other FLOAT32."""
    single = to_float32(number)
    if math.isinf(single):
        return repr(number)
    for digits in range(1, 8):
        text = f"{single:.{digits}e}"
        if to_float32(float(text)) == single:
            return text
    return f"{single:.8e}"


def java_decimal(number: Decimal) -> str:
    """A decimal as Java's BigDecimal prints it: 1.50, 1E+2, 1E-10; there is no negative zero."""
    return str(number if number else abs(number))
