"""The helper's loop: calls come in on one socket, each is made in a thread of its own."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from agent.cuda.helper import wire
from agent.cuda.helper.wire import Answer, Request

Calls = dict[str, Callable[[Request], Any]]
"""By name. One that fails raises an exception whose text is the result."""

_THREADS = 32


def serve(channel: socket.socket, calls: Calls) -> None:
    """Answer until the agent hangs up."""
    decoder = msgspec.json.Decoder(Request)
    with ThreadPoolExecutor(_THREADS) as threads:
        while packet := channel.recv(wire.PACKET_BYTES):
            threads.submit(_answer, channel, calls, decoder.decode(packet))


def _answer(channel: socket.socket, calls: Calls, asked: Request) -> None:
    try:
        value = calls[asked.call](asked)
        answer = Answer(asked.number, value=msgspec.Raw(msgspec.json.encode(value)))
    except Exception as error:  # whatever it is, the agent is told
        answer = Answer(asked.number, result=str(error) or type(error).__name__)
    try:
        wire.send(channel, answer)
    except OSError:
        return  # the agent is gone; so are we, as soon as the loop sees it
