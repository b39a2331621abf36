"""What the Dockerfiles promise without being built."""

import re
import tomllib
from pathlib import Path

import pytest

import chrek

REPOSITORY = Path(__file__).parents[2]
FILES = ("Dockerfile.agent", "Dockerfile.webhook")


def text(name: str) -> str:
    return re.sub(r"\\\n", " ", (REPOSITORY / name).read_text())


def copied(name: str) -> list[str]:
    """The paths of the repository that go into an image or its making."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", text(name), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("name", FILES)
def test_the_version_of_the_labels_is_this_one(name: str) -> None:
    said = set(re.findall(r"^ARG VERSION=(.+)$", text(name), re.MULTILINE))
    assert said == {chrek.__version__}


@pytest.mark.parametrize("name", FILES)
def test_all_that_is_copied_is_there_and_let_in(name: str) -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert copied(name)
    for source in copied(name):
        assert (REPOSITORY / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignored, source


@pytest.mark.parametrize("name", FILES)
def test_the_packages_it_installs_are_a_group_of_the_project(name: str) -> None:
    groups = re.findall(r'\["optional-dependencies"\]\["(\w+)"\]', text(name))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert groups
    assert set(groups) <= set(project["optional-dependencies"])
