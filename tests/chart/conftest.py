"""Without helm there is no chart to look at, and the summary says so."""

import os
from pathlib import Path

import pytest

from .rendering import HELM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if os.access(HELM, os.X_OK):
        return
    skipped = pytest.mark.skip(reason=f"needs helm at {HELM}: tests/cluster/fetch-tools brings it")
    for item in items:
        if item.path.parent == here:
            item.add_marker(skipped)
