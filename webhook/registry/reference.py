"""Image names, read as kubelet and containerd read them (distribution/reference).

`nginx` is docker.io/library/nginx:latest; the first part is a registry only if it has a dot, a
colon or an upper-case letter, or is `localhost`; a digest beside a tag wins.
"""

import ipaddress
import re
from dataclasses import dataclass

from webhook.registry.digest import is_digest
from webhook.registry.errors import ImageNameError

_LONGEST = 1024
_LONGEST_PATH = 255
_HIGHEST_PORT = 65535

_HUB = "docker.io"
_HUB_OLD = "index.docker.io"
_HUB_HOST = "registry-1.docker.io"

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]+))?"
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[A-Za-z0-9+._-]+:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_IDENTIFIER = re.compile("[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """domain: as written, `docker.io` for Docker Hub. path: the repository there. version: a tag
    or a digest."""

    domain: str
    path: str
    version: str

    @property
    def pinned(self) -> bool:
        """Whether it names content, which never changes."""
        return ":" in self.version

    @property
    def name(self) -> str:
        """What kubelet looks up in pull secrets: registry and repository."""
        return f"{self.domain}/{self.path}"

    @property
    def authority(self) -> str:
        """`host` or `host:port` that is asked."""
        return _HUB_HOST if self.domain == _HUB else self.domain.lower()

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.pinned else ':'}{self.version}"


def parse(image: str) -> Reference:
    """The image's full name; raises ImageNameError."""
    if len(image) > _LONGEST:
        raise _invalid(image, f"has more than {_LONGEST} characters")
    if _IDENTIFIER.fullmatch(image):
        raise _invalid(image, "is the id of an image, not its name")
    domain, rest = _split(image)
    match = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if match is None:
        raise _invalid(image, "is not an image's name")
    if len(match["path"]) > _LONGEST_PATH:
        raise _invalid(image, f"has a repository of more than {_LONGEST_PATH} characters")
    if match["port"] and not 0 < int(match["port"]) <= _HIGHEST_PORT:
        raise _invalid(image, "has a port that does not exist")
    if match["domain"].startswith("[") and not _is_ipv6(match["domain"]):
        raise _invalid(image, "has an address that is none")
    digest = match["digest"]
    if digest and not is_digest(digest):
        raise _invalid(image, "has a digest that is none")
    return Reference(match["domain"], match["path"], digest or match["tag"] or "latest")


def _split(image: str) -> tuple[str, str]:
    first, slash, rest = image.partition("/")
    if first == _HUB_OLD and slash:
        first = _HUB
    registry = first == "localhost" or set(first) & set(".:") or first != first.lower()
    if not slash or not registry:
        first, rest = _HUB, image
    if first == _HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _is_ipv6(domain: str) -> bool:
    try:
        ipaddress.IPv6Address(domain[1 : domain.index("]")])
    except ValueError:
        return False
    return True


def _invalid(image: str, why: str) -> ImageNameError:
    return ImageNameError(f"{image[:100]!r} {why}", hint="Look at the container's image")
