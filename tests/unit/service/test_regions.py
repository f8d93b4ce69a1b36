"""Whether a Region exists."""

import socket
from collections.abc import Awaitable, Callable

import pytest
from aiobotocore.session import get_session

from batch_upload.errors import AccessFault
from batch_upload.service.access import check_region, check_region_name, known_regions

SERVICE = "pinpoint-sms-voice-v2"


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-12", "us-new-7"])
def test_what_looks_like_a_region_is_spelt_right(region: str) -> None:
    check_region_name(region)


@pytest.mark.parametrize(
    ("region", "hint"),
    [("us-east-1a", "did you mean `us-east-1`?"), ("eu-central-1b", "`eu-central-1`"), ("us-east", "such as"),
     ("US-EAST-1", "such as"), ("us-east-1 ", "such as"), ("", "such as"), ("global", "such as")],
)  # fmt: skip
def test_what_is_no_region_is_refused_with_what_may_be_meant(region: str, hint: str) -> None:
    with pytest.raises(AccessFault) as refused:
        check_region_name(region)

    assert refused.value.code == "InvalidRegion"
    assert hint in refused.value.hint


async def test_the_regions_of_all_partitions_are_known() -> None:
    known = await known_regions(get_session(), SERVICE)

    assert {"us-east-1", "us-gov-west-1", "eusc-de-east-1"} <= known


@pytest.mark.parametrize("region", ["us-east-1", "eusc-de-east-1"])
async def test_a_known_region_needs_no_look(region: str) -> None:
    endpoint = f"https://{region}.invalid"

    assert await check_region(get_session(), SERVICE, region, endpoint, has_proxy=False) is None


def name_server(code: int) -> Callable[[str, int], Awaitable[object]]:
    """A look-up that always fails so (getaddrinfo(3))."""

    async def look_up(host: str, _port: int) -> object:
        raise socket.gaierror(code, f"no address of {host}")

    return look_up


async def test_an_unknown_region_whose_host_has_no_address_is_refused() -> None:
    with pytest.raises(AccessFault) as refused:
        await check_region(
            *(get_session(), SERVICE, "us-esat-1", "https://us-esat-1.invalid"),
            has_proxy=False,
            look_up=name_server(socket.EAI_NONAME),
        )

    assert refused.value.hint == "did you mean `us-east-1`?"


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
async def test_an_unknown_region_is_a_warning_where_no_name_server_answers(code: int) -> None:
    warning = await check_region(
        *(get_session(), SERVICE, "us-esat-1", "https://us-esat-1.invalid"),
        has_proxy=False,
        look_up=name_server(code),
    )

    assert warning is not None
    assert "`us-esat-1`" in warning


@pytest.mark.parametrize(
    ("endpoint", "has_proxy"),
    [("https://vpce.invalid", False), ("https://us-new-7.invalid", True), ("http://127.0.0.1:1", False)],
)
async def test_an_unknown_region_that_may_exist_is_a_warning(endpoint: str, *, has_proxy: bool) -> None:
    warning = await check_region(get_session(), SERVICE, "us-new-7", endpoint, has_proxy=has_proxy)

    assert warning is not None
    assert "`us-new-7`" in warning
