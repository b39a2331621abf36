"""A signature is of one key and of every byte, or it is none."""

import base64
import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.trust import pem, signature
from chrek.errors import ForgedError, TrustError, UnsignedError, UntrustedKeyError
from tests.trust.keymaking import keyring, public

CONTENT = b'{"format": 2}\n'


def test_what_was_signed_is_believed_by_whoever_has_the_key() -> None:
    key = pem.new()
    keyring(key).check(CONTENT, keyring(key).sign(CONTENT))


def test_what_nobody_signed_is_not_believed() -> None:
    with pytest.raises(UnsignedError) as raised:
        keyring().check(CONTENT, None)
    assert raised.value.reason == "CheckpointUnsigned"


def test_a_key_that_is_not_trusted_is_named() -> None:
    other = keyring()
    with pytest.raises(UntrustedKeyError, match=other.key_id) as raised:
        keyring().check(CONTENT, other.sign(CONTENT))
    assert raised.value.reason == "SigningKeyUnknown"


def test_a_key_is_trusted_by_its_public_half() -> None:
    other = pem.new()
    keyring(trusted_other=public(other)).check(CONTENT, keyring(other).sign(CONTENT))


@given(content=st.binary(max_size=200), at=st.integers(0, 199), bit=st.integers(0, 7))
def test_any_changed_bit_of_the_content_is_noticed(content: bytes, at: int, bit: int) -> None:
    keys = keyring(KEY)
    changed = bytearray(content or b"\0")
    changed[at % len(changed)] ^= 1 << bit
    with pytest.raises(ForgedError) as raised:
        keys.check(bytes(changed), keys.sign(content or b"\0"))
    assert raised.value.reason == "SignatureInvalid"


@given(at=st.integers(0, 1000), byte=st.integers(0, 255))
def test_any_changed_byte_of_the_signature_is_noticed_or_means_the_same(at: int, byte: int) -> None:
    keys = keyring(KEY)
    file = bytearray(keys.sign(CONTENT))
    file[at % len(file)] = byte
    before, after = json.loads(keys.sign(CONTENT)), None
    with contextlib.suppress(ValueError):
        after = json.loads(bytes(file))
    with contextlib.nullcontext() if after == before else pytest.raises(TrustError):
        keys.check(CONTENT, bytes(file))


def test_another_signature_of_the_same_key_is_not_one_of_a_manifest() -> None:
    raw = Ed25519PrivateKey.generate()
    file = {
        "key": signature.key_id(raw.public_key()),
        "signature": base64.b64encode(raw.sign(CONTENT)).decode(),
    }
    with pytest.raises(ForgedError):
        signature.check(CONTENT, json.dumps(file).encode(), raw.public_key())


@pytest.mark.parametrize(
    "file",
    [
        *(b"", b"[]", b"{}", b"null", b"\xff", b"[" * 4000, b'{"key": 1}'),
        *({"key": "0" * 15}, {"key": "0" * 17}, {"key": "X" * 16}, {"signature": None}),
        *({"signature": ""}, {"signature": "AAAA"}, {"signature": "A" * 5000}, {"more": 1}),
        *({"signature": "é" * 88}, {"key": "0" * 16 + "\n"}),
    ],
)
def test_a_signature_file_that_is_none_is_refused(file: bytes | dict[str, Any]) -> None:
    keys = keyring(KEY)
    if isinstance(file, dict):
        file = json.dumps(json.loads(keys.sign(CONTENT)) | file).encode()
    with pytest.raises(ForgedError):
        keys.check(CONTENT, file)


KEY = pem.new()
