import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from webhook.registry import urls
from webhook.registry.errors import ImageNameError
from webhook.registry.reference import parse

HEX = "a" * 64
SHA = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("someone/app", "docker.io/someone/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/a/b:c", "docker.io/a/b:c"),
        ("docker.io/a/b/c", "docker.io/a/b/c:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("example.com:5000", None),
        ("registry:5000/app:1", "registry:5000/app:1"),
        ("registry/app", "docker.io/registry/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
        ("[::1]:5000/a:b", "[::1]:5000/a:b"),
        ("[fd00::1]/a", "[fd00::1]/a:latest"),
        (f"nginx@{SHA}", f"docker.io/library/nginx@{SHA}"),
        (f"nginx:1.25@{SHA}", f"docker.io/library/nginx@{SHA}"),
        ("nginx@sha512:" + "b" * 128, "docker.io/library/nginx@sha512:" + "b" * 128),
        ("a__b/c.d-e--f_g:T_.-x", "docker.io/a__b/c.d-e--f_g:T_.-x"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128),
    ],
)
def test_a_name_is_what_containerd_pulls(image: str, full: str | None) -> None:
    if full is None:
        full = f"docker.io/library/{image}"
    assert str(parse(image)) == full


@pytest.mark.parametrize(
    "image",
    [
        "",
        " ",
        "nginx ",
        "nginx\n",
        "Nginx",
        "a/Nginx",
        "nginx:",
        "nginx:-1",
        "x:" + "t" * 129,
        "nginx@",
        "nginx@sha256:" + "A" * 64,
        "nginx@sha256:abc",
        "nginx@md5:" + "a" * 32,
        HEX,
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "a___b",
        "a..b",
        "http://example.com/a",
        "user@example.com/a",
        "user:pass@example.com/a",
        "example.com/a?b",
        "example.com/../a",
        "exa_mple.com/a",
        "example.com:port/a",
        "example.com:0/a",
        "example.com:65536/a",
        "[::1/a",
        "[:::1]/a",
        "[fe80::1%25eth0]/a",
        "example.com/ä",
        "example.com/a\0",
        "example.com/" + "a" * 256,
        "a" * 5000,
        "-".join("a" * 400) + "!",
    ],
)
def test_no_other_name_is_one(image: str) -> None:
    with pytest.raises(ImageNameError) as caught:
        parse(image)
    assert len(str(caught.value)) < 300


def test_docker_hub_is_asked_where_it_answers() -> None:
    assert parse("nginx").authority == "registry-1.docker.io"
    assert parse("Example.COM/a").authority == "example.com"
    assert parse("[::1]:5000/a").authority == "[::1]:5000"


@given(st.from_regex(r"[A-Za-z0-9.:\[\]-]{1,40}/[a-z]{1,3}", fullmatch=True))
def test_any_registry_can_be_written_as_an_address(image: str) -> None:
    try:
        found = parse(image)
    except ImageNameError:
        return
    url = URL(f"https://{found.authority}") / "v2" / found.path
    assert urls.target(str(url)) == url


@given(st.text())
def test_any_text_is_a_name_or_an_error(image: str) -> None:
    try:
        found = parse(image)
    except ImageNameError:
        return
    assert parse(str(found)) == found
