"""The command line of `python -m certs`."""

import argparse
from pathlib import Path

from certs.settings import Settings
from chrek.errors import UsageError

_EPILOG = """\
examples:
  python -m certs --directory tls --dns-name localhost
  python -m certs --namespace my-team --secret chrek-tls --print
  python -m certs --namespace my-team --secret chrek-tls --webhook-configuration chrek.my-team \\
      --dns-name chrek.my-team.svc --once

exit codes:
  0  done
  1  failed; the reason is on stderr
  2  the command line makes no sense
  3  no cluster is known, or it does not answer
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    usual = Settings(dns_names=("localhost",))
    top = argparse.ArgumentParser(
        prog="python -m certs",
        description="Make a CA and a serving certificate, keep them in a Secret, have the API"
        " server trust them, and renew them in time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = top.add_argument
    add("--namespace", metavar="NS", help="where the Secret lives")
    add("--secret", metavar="NAME", help="keys tls.crt, tls.key, ca.crt, ca.key")
    add(
        "--dns-name",
        action="append",
        default=[],
        metavar="NAME",
        help="what clients call the server; repeatable",
    )
    add(
        "--webhook-configuration",
        default="",
        metavar="NAME",
        help="the MutatingWebhookConfiguration whose caBundle is set",
    )
    _seconds(top, "--serving-lifetime", usual.serving_lifetime_seconds, "of a certificate")
    _seconds(top, "--ca-lifetime", usual.authority_lifetime_seconds, "of a CA")
    _seconds(
        top,
        "--overlap",
        usual.overlap_seconds,
        "that a CA is trusted before its certificate serves",
    )
    add("--once", action="store_true", help="end when nothing is left to do now")
    add("--print", action="store_true", help="show what is there (never keys) and end")
    add(
        "--directory",
        type=Path,
        metavar="DIR",
        help="no cluster: write ca.crt, tls.crt, tls.key and ca.key there and end",
    )
    add("-v", "--verbose", action="store_true", help="log what is done")
    return top


def _seconds(top: argparse.ArgumentParser, name: str, usual: float, text: str) -> None:
    top.add_argument(
        name,
        type=float,
        default=usual,
        metavar="SECONDS",
        help=f"seconds {text} (default {usual:.0f})",
    )


def settings(asked: argparse.Namespace) -> Settings:
    """Raises UsageError."""
    if not asked.dns_name:
        raise UsageError("no --dns-name: what do clients call the server?")
    overlap = 0.0 if asked.directory else asked.overlap  # nobody has to be told
    return Settings(
        dns_names=tuple(asked.dns_name),
        serving_lifetime_seconds=asked.serving_lifetime,
        authority_lifetime_seconds=asked.ca_lifetime,
        overlap_seconds=overlap,
    )


def checked(asked: argparse.Namespace) -> argparse.Namespace:
    """Raises UsageError for what does not go together."""
    if asked.directory and (asked.namespace or asked.secret or asked.webhook_configuration):
        raise UsageError("--directory is for no cluster: leave out --namespace, --secret and so on")
    if not asked.directory and not (asked.namespace and asked.secret):
        raise UsageError("--namespace and --secret say which Secret; or give --directory")
    return asked
