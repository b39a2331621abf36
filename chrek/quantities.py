"""Kubernetes' way of writing how many bytes: a number, and often a suffix."""

import re
from decimal import Decimal
from typing import Final

from chrek.errors import UsageError

_FACTORS: Final = {"": 1} | {
    suffix: base**power
    for base, suffixes in ((1000, "k M G T P E"), (1024, "Ki Mi Gi Ti Pi Ei"))
    for power, suffix in enumerate(suffixes.split(), start=1)
}
_QUANTITY = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)([kMGTPE]|[KMGTPE]i|)")
_SHOWN = 80


def byte_count(text: str) -> int:
    """`2Gi` as 2147483648, rounded up as Kubernetes does; raises UsageError.

    No sign, no exponent, no `m`: nobody means a thousandth of a byte.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text[:_SHOWN]!r} is not a number of bytes",
            hint="Write a number, or one with a unit such as 500M or 2Gi",
        )
    number, suffix = found.groups()
    exact = Decimal(number) * _FACTORS[suffix]
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))
