"""The tree of errors: reasons are an interface."""

import re

from chrek import errors
from chrek.errors import ChrekError


def tree(top: type[ChrekError] = ChrekError) -> list[type[ChrekError]]:
    return [top, *(found for below in top.__subclasses__() for found in tree(below))]


def test_every_error_has_a_camel_case_reason_of_its_own() -> None:
    found = [error for error in tree() if error.__module__ == errors.__name__]
    reasons = [error.__dict__["reason"] for error in found]
    assert len(found) > 25
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"([A-Z]+[a-z]*)+", reason) for reason in reasons), reasons


def test_an_error_is_a_sentence_with_its_hint_behind() -> None:
    assert str(errors.UsageError("no such thing")) == "no such thing"
    assert str(errors.UsageError("no such thing", hint="Look there")) == "no such thing. Look there"


def test_a_damaged_checkpoint_is_not_worth_a_retry_but_a_full_disk_is() -> None:
    assert errors.StorageError.retry
    assert not errors.DamagedError.retry
    assert not errors.AddressError.retry
