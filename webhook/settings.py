"""Settings of the webhook process, from its command line, validated once."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from certs.settings import DAY_SECONDS
from chrek.errors import UsageError
from chrek.ids import label
from chrek.pods.refusals import SANDBOXED
from webhook.admission.known import Options

_PORTS: Final = (1, 65535)
_LEVELS: Final = ("debug", "info", "warning", "error")
_PROFILE = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, slots=True)
class Settings:
    """address: None for every one. port: of the API server's calls, over TLS. status_port: of
    health and metrics, plain.

    namespace: where the Service and the Secret are. watch_namespace: whose pods are taken on, ""
    for every labelled namespace. certificates: `external` when something else makes the Secret.
    drain_seconds: between the end of readiness and the end of serving, for the cluster to notice.
    """

    namespace: str
    service: str
    secret: str
    webhook_configuration: str
    options: Options
    address: str | None = None
    port: int = 8443
    status_port: int = 8080
    watch_namespace: str = ""
    certificates: Literal["chrek", "external"] = "chrek"
    serving_lifetime_seconds: float = 90.0 * DAY_SECONDS
    ca_lifetime_seconds: float = 5 * 365.0 * DAY_SECONDS
    overlap_seconds: float = 60.0
    registry_lookup: bool = False
    drain_seconds: float = 5.0
    log_level: str = "info"


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Exits with 2 and a sentence on nonsense."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        for name, value in (("--namespace", asked.namespace), ("--service", asked.service)):
            label(value, name)
        if asked.watch_namespace:
            label(asked.watch_namespace, "--watch-namespace")
    except UsageError as error:
        parser.error(str(error))
    profile: str = asked.seccomp_profile
    if profile and (not _PROFILE.fullmatch(profile) or ".." in profile.split("/")):
        parser.error(
            f"--seccomp-profile {profile!r} is not a path below the kubelet's seccomp root"
        )
    return Settings(
        namespace=asked.namespace,
        service=asked.service,
        secret=asked.secret,
        webhook_configuration=asked.webhook_configuration,
        options=Options(
            init_image=asked.init_image,
            allow_read_write_once=asked.allow_read_write_once,
            sandboxed=tuple(asked.sandboxed_runtime_class or SANDBOXED),
            seccomp_profile=profile,
        ),
        address=asked.address,
        port=asked.port,
        status_port=asked.status_port,
        watch_namespace=asked.watch_namespace,
        certificates=asked.certificates,
        serving_lifetime_seconds=asked.serving_lifetime,
        ca_lifetime_seconds=asked.ca_lifetime,
        overlap_seconds=asked.overlap,
        registry_lookup=asked.registry_lookup,
        drain_seconds=asked.drain,
        log_level=asked.log_level,
    )


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not _PORTS[0] <= number <= _PORTS[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return number


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,6})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m webhook", description="chrek's mutating admission webhook"
    )
    add = parser.add_argument
    add("--namespace", required=True, help="of the Service and the Secret")
    add("--service", required=True, help="its DNS names are the certificate's")
    add("--secret", required=True, help="that holds the certificate")
    add("--webhook-configuration", required=True, metavar="NAME", help="whose caBundle is kept")
    add("--init-image", required=True, metavar="IMAGE", help="of the injected init container")
    add(
        "--watch-namespace", default="", metavar="NAMESPACE",
        help="take on its pods only (default: those of every labelled namespace)",
    )  # fmt: skip
    add("--address", help="to listen on (default: every one, of IPv4 and IPv6)")
    add("--port", type=_port, default=8443)
    add("--status-port", type=_port, default=8080, help="/healthz, /readyz, /metrics without TLS")
    add("--certificates", choices=("chrek", "external"), default="chrek")
    add("--serving-lifetime", type=_seconds, default=90 * DAY_SECONDS, metavar="SECONDS")
    add("--ca-lifetime", type=_seconds, default=5 * 365 * DAY_SECONDS, metavar="SECONDS")
    add("--overlap", type=_seconds, default=60, metavar="SECONDS",
        help="between making a CA known and using it")  # fmt: skip
    add("--registry-lookup", action="store_true", help="ask registries what an image runs")
    add(
        "--allow-read-write-once", action="store_true", help="accept claims that pin pods to a node"
    )
    add(
        "--sandboxed-runtime-class", action="append", metavar="PATTERN",
        help="runtime classes that cannot be looked into; repeatable",
    )  # fmt: skip
    add(
        "--seccomp-profile", default="", metavar="PATH",
        help="Localhost profile for chosen containers that name none",
    )  # fmt: skip
    add("--drain", type=_seconds, default=5, metavar="SECONDS")
    add("--log-level", choices=_LEVELS, default="info")
    return parser
