"""Which GPU takes the place of which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cuda import devices
from agent.cuda.helper.model import GPU
from chrek.errors import ChrekError
from chrek.manifest import GPUDevice, GPUFacts

GIB = 1 << 30
PRODUCTS = ["NVIDIA H100 80GB HBM3", "NVIDIA H200"]


def uuid(number: int) -> str:
    return f"GPU-{number:08x}-0000-0000-0000-000000000000"


def gpu(number: int, product: str = PRODUCTS[0], free_bytes: int = 80 * GIB, **more: bool) -> GPU:
    flags = {"mig": False, "vgpu": False} | more
    return GPU(uuid(number), product, number, 80 * GIB, free_bytes, processes=[], **flags)


def facts(*old: tuple[int, str, int]) -> GPUFacts:
    made = [GPUDevice(uuid(number), product, 80 * GIB, used) for number, product, used in old]
    return GPUFacts("580.1", made, [])


def test_the_same_gpus_need_no_map() -> None:
    source = facts((0, PRODUCTS[0], GIB), (1, PRODUCTS[0], GIB))
    assert devices.fitting(source, [gpu(1), gpu(0)], "580.1") == {}


def test_a_gpu_that_is_here_again_is_kept_and_the_other_replaced() -> None:
    source = facts((0, PRODUCTS[0], GIB), (1, PRODUCTS[0], GIB))
    placed = devices.fitting(source, [gpu(7), gpu(1)], "580.1")
    assert placed == {uuid(0): uuid(7), uuid(1): uuid(1)}


def test_the_fullest_goes_to_the_emptiest() -> None:
    source = facts((0, PRODUCTS[0], 10 * GIB), (1, PRODUCTS[0], 60 * GIB))
    here = [gpu(5, free_bytes=70 * GIB), gpu(6, free_bytes=20 * GIB)]
    assert devices.fitting(source, here, "580.1") == {uuid(0): uuid(6), uuid(1): uuid(5)}


@pytest.mark.parametrize(
    ("here", "driver", "reason"),
    [
        ([gpu(0)], "595.1", "DriverDiffers"),
        ([gpu(0), gpu(1)], "580.1", "GPUCountDiffers"),
        ([gpu(0, PRODUCTS[1])], "580.1", "GPUProductDiffers"),
        ([gpu(0, free_bytes=GIB)], "580.1", "GPUMemoryShort"),
        ([gpu(0, mig=True)], "580.1", "MIG"),
        ([gpu(0, vgpu=True)], "580.1", "VGPU"),
    ],
)
def test_what_does_not_fit_is_named(here: list[GPU], driver: str, reason: str) -> None:
    with pytest.raises(ChrekError) as caught:
        devices.fitting(facts((0, PRODUCTS[0], 2 * GIB)), here, driver)
    assert caught.value.reason == reason


kinds = st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=6)


@given(kinds, st.randoms(use_true_random=False), st.integers(0, 6))
def test_a_map_names_every_gpu_once_and_keeps_the_product(
    products: list[str], random: object, moved: int
) -> None:
    old = [(number, product, 0) for number, product in enumerate(products)]
    here = [gpu(n + (100 if n < moved else 0), product) for n, product in enumerate(products)]
    random.shuffle(here)  # type: ignore[attr-defined]
    placed = devices.fitting(facts(*old), here, "580.1")
    if not moved:
        assert placed == {}
        return
    assert sorted(placed) == sorted(uuid(number) for number, _, _ in old)
    assert sorted(placed.values()) == sorted(each.uuid for each in here)
    product_of = {each.uuid: each.product for each in here}
    for number, product, _ in old:
        assert product_of[placed[uuid(number)]] == product  # type: ignore[index]
