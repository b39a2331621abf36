"""Timers in the images that CRIU would restore as stopped.

The kernel sets a periodic timerfd anew only when it is read. One that has gone off and was not yet
read stands at zero, and setting it to zero, as CRIU does, stops it for ever.
"""

from agent.criu import framing
from agent.criu.bundle import Bundle, messages


def rearmed(bundle: Bundle, content: bytes) -> bytes:
    """`files.img` with those set to go off a period after the restore."""
    message = messages(bundle.path, "fdinfo_pb2").file_entry
    entries = list(framing.entries(content, message))
    changed = False
    for entry in entries:
        if not entry.HasField("tfd"):
            continue
        timer = entry.tfd
        periodic, stands = timer.isec or timer.insec, not (timer.vsec or timer.vnsec)
        if timer.ticks and periodic and stands:
            timer.vsec, timer.vnsec = timer.isec, timer.insec
            changed = True
    return framing.joined(content, entries) if changed else content
