"""Logs are events with fields: `event key=value ...` on stderr, one line each."""

import json
import logging
import sys


class _Fields(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, "fields", {})
        shown = " ".join(f"{key}={_shown(value)}" for key, value in fields.items())
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()} "
        line += f"{record.name} {record.getMessage()} {shown}".rstrip()
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _shown(value: object) -> str:
    """One word: what comes from outside must not make a line, or a field, of its own."""
    text = str(value)
    return text if text.isprintable() and not set(text) & set(' "') else json.dumps(text)


def set_up(level: int) -> None:
    """Send every record of `level` and above to stderr."""
    # Nothing shows who called, in which thread or task: finding that out is half of a line's cost.
    logging._srcfile = None  # as "Optimization" in its manual says
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Fields())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("asyncio", "grpc"):  # a line for each call, at debug level
        logging.getLogger(library).setLevel(logging.INFO)


def event(logger: logging.Logger, level: int, name: str, **fields: object) -> None:
    """Log `name` with `fields`."""
    logger.log(level, name, extra={"fields": fields})
