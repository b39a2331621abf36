"""What a server serves: a certificate, its key, and the bundle that clients trust."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Content = Mapping[str, bytes]
"""What a Secret holds, decoded."""

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
BUNDLE: Final = "ca.crt"
AUTHORITY_KEY: Final = "ca.key"
KEYS: Final = (CERTIFICATE, KEY, BUNDLE, AUTHORITY_KEY)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM. The certificate may have its chain behind it; the key is never shown."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    ca_pem: bytes = b""
