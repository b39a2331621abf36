"""What is made is what a strict client accepts, and no more than it should be."""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certs import reading
from certs.making import BACKDATED, new_authority, new_serving
from certs.settings import DAY_SECONDS, Settings, service_names
from chrek.errors import UsageError

_T = TypeVar("_T", bound=x509.ExtensionType)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
NAMES = service_names("chrek", "my-team")


def verified(authority: x509.Certificate, certificate: x509.Certificate, name: str) -> None:
    """By an implementation that is neither OpenSSL nor this one."""
    store = Store([authority])
    policy = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(name))
    policy.verify(certificate, [])


def test_a_strict_verifier_accepts_it_for_every_name() -> None:
    authority = new_authority(NOW, 100)
    serving = new_serving(authority, NAMES, NOW, 30)
    for name in NAMES:
        verified(authority.certificate, serving.certificate, name)
    with pytest.raises(VerificationError):
        verified(authority.certificate, serving.certificate, "other.my-team.svc")
    with pytest.raises(VerificationError):
        verified(new_authority(NOW, 100).certificate, serving.certificate, NAMES[0])


def test_the_extensions_are_those_of_a_server_and_of_a_ca_that_signs_nothing_below() -> None:
    authority = new_authority(NOW, 100)
    serving = new_serving(authority, NAMES, NOW, 30)

    def of(made: x509.Certificate, kind: type[_T]) -> _T:
        return made.extensions.get_extension_for_class(kind).value

    assert of(authority.certificate, x509.BasicConstraints) == x509.BasicConstraints(True, 0)
    assert of(authority.certificate, x509.KeyUsage).key_cert_sign
    assert not of(authority.certificate, x509.KeyUsage).digital_signature
    assert not of(serving.certificate, x509.BasicConstraints).ca
    assert not of(serving.certificate, x509.KeyUsage).key_cert_sign
    usages = of(serving.certificate, x509.ExtendedKeyUsage)
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]
    signer = of(authority.certificate, x509.SubjectKeyIdentifier).digest
    assert of(serving.certificate, x509.AuthorityKeyIdentifier).key_identifier == signer
    assert reading.dns_names(serving.certificate) == NAMES


def test_it_is_valid_on_a_machine_whose_clock_is_behind_but_lives_no_longer_for_it() -> None:
    serving = new_serving(new_authority(NOW, 100), NAMES, NOW, 30).certificate
    assert serving.not_valid_before_utc == NOW - BACKDATED
    assert serving.not_valid_after_utc == NOW + timedelta(seconds=30)


def test_a_certificate_never_outlives_its_ca() -> None:
    authority = new_authority(NOW, 10)
    serving = new_serving(authority, NAMES, NOW, 30).certificate
    assert serving.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_names_too_long_for_a_common_name_are_still_served() -> None:
    long = f"{'a' * 40}.{'b' * 40}.svc"
    serving = new_serving(new_authority(NOW, 100), [long], NOW, 30).certificate
    common = serving.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert len(common) <= 64
    assert reading.dns_names(serving) == (long,)


def test_every_ca_has_a_name_of_its_own() -> None:
    assert len({new_authority(NOW, 9).certificate.subject for _ in range(20)}) == 20


def test_no_key_is_shown_by_what_holds_one() -> None:
    authority = new_authority(NOW, 100)
    assert "key" not in repr(authority)


def test_the_api_server_is_answered_under_the_name_it_calls() -> None:
    assert NAMES[0] == "chrek.my-team.svc"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dns_names": ()}, "1 to 16 DNS names"),
        ({"dns_names": ("a",) * 17}, "1 to 16 DNS names"),
        ({"dns_names": ("UPPER",)}, "'UPPER' is not a DNS name"),
        ({"dns_names": ("*.svc",)}, "not a DNS name"),
        ({"dns_names": ("a\n",)}, "not a DNS name"),
        ({"dns_names": (".".join(["a" * 60] * 5),)}, "not a DNS name"),
        ({"serving_lifetime_seconds": 1}, "lives 10 s to"),
        ({"authority_lifetime_seconds": 91 * DAY_SECONDS}, "at least three times as long"),
        ({"authority_lifetime_seconds": float("inf")}, "at most 100 years"),
        ({"serving_lifetime_seconds": float("nan")}, "lives 10 s to"),
        ({"overlap_seconds": -1}, "seconds from 0 on"),
        ({"overlap_seconds": float("nan")}, "seconds from 0 on"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_sentence(
    wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Settings(**({"dns_names": ("a",)} | wrong))  # type: ignore[arg-type]


def test_the_overlap_ends_while_a_short_lived_certificate_is_still_good() -> None:
    short = Settings(("a",), serving_lifetime_seconds=36, authority_lifetime_seconds=108)
    assert short.overlap_seconds == 6
    assert Settings(("a",)).overlap_seconds == 60
