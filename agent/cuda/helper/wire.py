"""What the agent and its helper say to each other: one JSON object a packet, both ways."""

import socket

import msgspec

PACKET_BYTES = 1 << 20
NOT_INITIALIZED = "not initialized: "
"""Begins the result of a call that did not come to the driver, since that could not be had."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call. number: the answer has the same; answers come in any order."""

    number: int
    call: str
    pid: int = 0
    timeout_ms: int = 0
    devices: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it. result: the driver's name for what went wrong; "" is success. value: of a
    call that asks for something, as JSON."""

    number: int
    result: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")


_encoder = msgspec.json.Encoder()


def send(channel: socket.socket, message: Request | Answer) -> None:
    """One packet."""
    channel.send(_encoder.encode(message))
