"""URLs that a registry answers with: taken only in a form that cannot be misread."""

import re

from yarl import URL

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # IPv6 without a zone
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,8192}")


def authority(url: URL) -> str:
    """`host:port`, the port always said: equal for the same place."""
    host = (url.raw_host or "").lower()
    return f"[{host}]:{url.port}" if ":" in host else f"{host}:{url.port}"


def origin(url: URL) -> str:
    return f"{url.scheme}://{authority(url)}"


def http_authority(host: str) -> str:
    """The authority of a host as image names and settings spell it, over plain http."""
    return authority(URL(f"http://{host}"))


def target(text: str, base: URL | None = None) -> URL | None:
    """An absolute http(s) URL without user or fragment, exactly as written (signatures depend on
    it); relative to `base` if there is one. None for anything else."""
    if not _PRINTABLE.fullmatch(text):
        return None
    try:
        url = URL(text, encoded=True)
        if url.scheme and not url.raw_host:
            return None
        url = (base.join(url) if base else url).with_fragment(None)
        whole = url.scheme in ("http", "https") and bool(url.port)
        named = bool(_HOST.fullmatch(url.raw_host or ""))
    except ValueError:
        return None
    return url if whole and named and url.raw_user is url.raw_password is None else None
