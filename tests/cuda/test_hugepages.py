"""The node's switch for huge pages: changed only if asked, and put back."""

from pathlib import Path

import pytest

from agent.cuda import hugepages

MADVISE = "always [madvise] never"


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    """A file, which a real switch is not: what is written is what is read."""
    made = tmp_path / "enabled"
    made.write_text(MADVISE)
    return made


def test_a_node_is_left_as_it_is_unless_wished(switch: Path) -> None:
    assert hugepages.to_be_changed(wished=False, switch=switch) == ""


@pytest.mark.parametrize("text", ["[always] madvise never", "always madvise [never]"])
def test_always_needs_no_change_and_never_has_its_reason(switch: Path, text: str) -> None:
    switch.write_text(text)
    assert hugepages.to_be_changed(wished=True, switch=switch) == ""


def test_it_is_put_back_after_the_block_and_after_an_error(switch: Path) -> None:
    before = hugepages.to_be_changed(wished=True, switch=switch)
    seen = []

    def work() -> None:
        with hugepages.always(before, switch):
            seen.append(switch.read_text())
            switch.write_text("[always] madvise never")  # as the kernel shows it
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert seen == ["always"]
    assert switch.read_text() == "madvise"


def test_what_an_administrator_chose_meanwhile_stays(switch: Path) -> None:
    with hugepages.always("madvise", switch):
        switch.write_text("always madvise [never]")
    assert switch.read_text() == "always madvise [never]"


def test_a_node_without_huge_pages_has_nothing_to_change(tmp_path: Path) -> None:
    assert hugepages.to_be_changed(wished=True, switch=tmp_path / "none") == ""
