"""`python -m webhook`: exit code 0 after SIGTERM, 1 failed, 2 nonsense, 3 no cluster."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Final

from chrek import logs
from chrek.errors import ChrekError, UsageError
from chrek.kube.errors import NoClusterError
from webhook import settings
from webhook.process import run

_FAILED: Final = 1
_USAGE: Final = 2
_UNABLE: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the webhook."""
    asked = settings.parse(arguments)
    logs.set_up(logging.getLevelNamesMapping()[asked.log_level.upper()])
    try:
        asyncio.run(run(asked))
    except NoClusterError as error:
        print(f"webhook: {error}", file=sys.stderr)
        return _UNABLE
    except (ChrekError, OSError) as error:
        print(f"webhook: {error}", file=sys.stderr)
        return _USAGE if isinstance(error, UsageError) else _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
