"""An image is built again when something that goes in has changed, and only then."""

from pathlib import Path

import pytest

from . import images
from .images import Image, all_images, image_name

IMAGE = Image("made", "docker.io/chrek-test/made:1", Path("Dockerfile"), "made")
DOCKERFILE = """
FROM base AS made
COPY --chown=0:0 code \\
     more/*.txt /opt/
COPY --from=other /not/ours /opt/
RUN --mount=type=bind,source=bound,target=/bound true
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(images, "REPOSITORY", tmp_path)
    for name in ("code/deep/a.py", "more/b.txt", "more/c.md", "bound/d", "aside/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


@pytest.mark.parametrize("name", ["code/deep/a.py", "more/b.txt", "bound/d", "Dockerfile"])
def test_what_goes_in_counts(repository: Path, name: str) -> None:
    before = IMAGE.inputs("base")
    with (repository / name).open("a") as file:
        file.write("more\n")
    assert IMAGE.inputs("base") != before


@pytest.mark.parametrize("name", ["more/c.md", "aside/e", "code/__pycache__/a.pyc"])
def test_what_does_not_go_in_does_not_count(repository: Path, name: str) -> None:
    before = IMAGE.inputs("base")
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("changed")
    assert IMAGE.inputs("base") == before


def test_a_new_file_a_mode_and_the_base_count(repository: Path) -> None:
    seen = {IMAGE.inputs("base"), IMAGE.inputs("another base")}
    (repository / "code" / "new").write_text("")
    seen.add(IMAGE.inputs("base"))
    (repository / "code" / "new").chmod(0o755)
    seen.add(IMAGE.inputs("base"))
    assert len(seen) == 4


def test_every_image_is_built_after_its_base() -> None:
    seen = {images.BASE}
    for image in all_images().values():
        assert image.base in seen, image.key
        seen.add(image.name)


def test_another_clusters_images_have_its_registrys_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert image_name("python") == "docker.io/chrek-test/python:1"
    monkeypatch.setenv("CHREK_TEST_IMAGES", "registry.example:5000/tests/")
    assert image_name("python") == "registry.example:5000/tests/python:1"
