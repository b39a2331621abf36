"""For all tests."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("chrek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chrek")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from .side_by_side import Groups  # noqa: PLC0415 (where there is no xdist, nobody asks)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        from .side_by_side import turn  # noqa: PLC0415

        items.sort(key=lambda item: turn(item.path))
