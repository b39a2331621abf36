"""A hash of what ConfigMaps and Secrets put into a container's environment.

Two pods alike refer to the same ConfigMaps by name; what those hold may have changed in between,
and a restored process has the old values. So the values that a container really got are compared.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from agent.plan.container import Variables
from agent.plan.pod import PodView

_ALWAYS_THEIR_OWN: Final = frozenset(("HOSTNAME", "PATH", "HOME", "TERM", "container"))
"""What runtimes add by themselves."""
_OF_DEVICES: Final = ("NVIDIA_VISIBLE_DEVICES", "PCIDEVICE_", "CUDA_MPS_")
"""What device plugins add: it names the devices of this one pod."""
_PORT = re.compile(r"(tcp|udp|sctp)://.+", re.IGNORECASE)
_LINK = re.compile(
    r"(?P<service>.+?)_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_[A-Z]+(_(PROTO|PORT|ADDR))?)?)"
)


def environment_hash(pod: PodView, runtime_env: Sequence[str], image_env: Sequence[str]) -> str:
    """16 hex characters; empty where nothing of the environment is taken from elsewhere.

    runtime_env: `NAME=value` as the chosen container got it; image_env: as its image has it.
    What names a source is found by its name. With envFrom the names are not known, so it is all
    but what has another origin.

    Slow on purpose (some 10 ms of one core), and salted by the pod's namespace and identity: the
    hash stands in an object that more people may read than may read Secrets, and a short password
    should not be found by trying.
    """
    container = pod.chosen
    if container is None:
        return ""
    variables = container.variables
    if not (variables.references or variables.sources):
        return ""
    ignored = pod.wish.ignore_env if pod.wish else frozenset()
    values = dict(_pairs(runtime_env))
    names = set(variables.references)
    if variables.sources:
        names |= set(_of_sources(values, dict(_pairs(image_env)), variables))
    counted = [[name, values.get(name)] for name in sorted(names - ignored)]
    return hashlib.scrypt(
        msgspec.json.encode(counted),
        salt=f"{pod.namespace}/{pod.identity}".encode(),
        n=1 << 11, r=8, p=1, dklen=8,
    ).hex()  # fmt: skip


def _pairs(env: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry in env:
        name, equals, value = entry.partition("=")
        if equals:
            yield name, value


def _of_sources(
    values: Mapping[str, str], of_image: Mapping[str, str], variables: Variables
) -> Iterator[str]:
    """Names that nothing but envFrom accounts for."""
    services = set(_services(values, variables))
    for name, value in values.items():
        link = _LINK.fullmatch(name)
        has_another_origin = (
            name in variables.plain
            or name in variables.fields
            or name in _ALWAYS_THEIR_OWN
            or name.startswith(_OF_DEVICES)
            or of_image.get(name) == value
            or (link is not None and link["service"] in services)
        )
        if not has_another_origin:
            yield name


def _services(values: Mapping[str, str], variables: Variables) -> Iterator[str]:
    """Prefixes of the kubelet's service links. A key of a ConfigMap may be named REDIS_PORT too;
    but a Service always has host and port beside it, and a port that is a URL.
    """
    for name, value in values.items():
        service = name.removesuffix("_PORT")
        if (
            service != name
            and (variables.service_links or service == "KUBERNETES")
            and _PORT.fullmatch(value)
            and {f"{service}_SERVICE_HOST", f"{service}_SERVICE_PORT"} <= values.keys()
        ):
            yield service
