"""What the text of each kind of flag must look like; argparse shows the sentence."""

import argparse
import re
from pathlib import Path

from agent.settings import MOST_THREADS
from chrek import ids, quantities
from chrek.compression import Compression, parse
from chrek.errors import UsageError

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,999}")
_PATTERN = re.compile(r"[a-z0-9.*?-]{1,253}")
_NUMBER = re.compile(r"[0-9]{1,6}")
_SECONDS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")
_LAST_PORT = 65535


def name(text: str) -> str:
    """Of a node or a Secret: DNS labels with dots between them."""
    if not _SUBDOMAIN.fullmatch(text):
        raise _refused(text, "a name of Kubernetes")
    return text


def namespace(text: str) -> str:
    """A DNS label."""
    if not ids.is_label(text):
        raise _refused(text, "a namespace's name")
    return text


def namespace_or_none(text: str) -> str:
    """Empty for all of them."""
    return namespace(text) if text else ""


def image(text: str) -> str:
    """What a pod's `image` may say; registries know what of it is there."""
    if not _IMAGE.fullmatch(text):
        raise _refused(text, "an image")
    return text


def pattern(text: str) -> str:
    """Of the names of objects, as fnmatch reads it."""
    if not _PATTERN.fullmatch(text):
        raise _refused(text, "a pattern of names")
    return text


def absolute(text: str) -> Path:
    """A path that does not depend on the working directory."""
    if not Path(text).is_absolute() or "\0" in text:
        raise _refused(text, "an absolute path")
    return Path(text)


def compression(text: str) -> Compression | None:
    """None for `none`."""
    try:
        return parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.message) from error


def threads(text: str) -> int:
    """As many as the chart allows."""
    if not (_NUMBER.fullmatch(text) and int(text) <= MOST_THREADS):
        raise _refused(text, f"a number up to {MOST_THREADS}")
    return int(text)


def port(text: str) -> int:
    """0 lets the kernel choose."""
    if not (_NUMBER.fullmatch(text) and int(text) <= _LAST_PORT):
        raise _refused(text, "a port")
    return int(text)


def count(text: str) -> int:
    """0 or more."""
    if not _NUMBER.fullmatch(text):
        raise _refused(text, "a number from 0 to 999999")
    return int(text)


def at_least_one(text: str) -> int:
    """1 or more."""
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise _refused(text, "a number from 1 to 999999")
    return int(text)


def seconds(text: str) -> float:
    """0 or more, with fractions."""
    if not _SECONDS.fullmatch(text):
        raise _refused(text, "a number of seconds")
    return float(text)


def byte_count(text: str) -> int:
    """A number of bytes as Kubernetes writes it."""
    try:
        return quantities.byte_count(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error.message}, such as 2Gi") from error


def _refused(text: str, what: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text[:80]!r} is not {what}")
