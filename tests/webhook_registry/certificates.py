"""A certificate authority for hosts of a test, and a signer of tokens."""

import base64
import datetime
import json
import ssl
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID


class Authority:
    """Its certificate is in `bundle`, a PEM file below `root`."""

    def __init__(self, root: Path, name: str = "an authority of tests") -> None:
        self._root = root
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self._name, self._key.public_key(), None)
        self.bundle = root / f"{name.replace(' ', '-')}.pem"
        self.bundle.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *hosts: str) -> ssl.SSLContext:
        """TLS of a server that is `hosts`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        path = self._root / f"{hosts[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._signed(name, key.public_key(), names).public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context

    def token(self, claims: dict[str, Any]) -> str:
        """A JSON Web Token as docker-registry takes them: ES256, the certificate in x5c."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = ".".join(_packed(json.dumps(part).encode()) for part in (header, claims))
        der_signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der_signature)
        return f"{signed}.{_packed(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, names: x509.ExtensionType | None
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), True)
        )
        if names is not None:
            builder = builder.add_extension(names, False)
        return builder.sign(self._key, hashes.SHA256())


def claims(issuer: str, service: str, subject: str, repository: str | None) -> dict[str, Any]:
    """What a token server says of `subject`; pulling from `repository`, or nothing."""
    now = int(time.time())
    access = [{"type": "repository", "name": repository, "actions": ["pull"]}]
    times = {"nbf": now - 10, "iat": now - 10, "exp": now + 300}
    who = {"iss": issuer, "aud": service, "sub": subject, "jti": f"{now}"}
    return who | times | {"access": access if repository else []}


def _packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
