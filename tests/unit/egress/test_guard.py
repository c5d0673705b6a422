"""The guarded way out: what is connected to, and what never is."""

import asyncio
from collections.abc import AsyncIterator

import httpcore2
import pytest

from penstock.egress.addresses import parse_allowed
from penstock.egress.guard import EgressRefused, GuardedBackend
from penstock.egress.sender import Egress, EgressFailed


class Listener:
    """A real server on 127.0.0.1 that counts connections and answers every request with 200."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.asked: list[bytes] = []

    async def on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.on_connect, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listener


class Names:
    """A name server that answers as it is told, one answer after the other, and counts."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def post(egress: Egress, url: str, seconds: float = 5.0) -> int:
    try:
        return (await egress.post(url, {}, b"{}", seconds=seconds, answer_bytes_max=100)).status
    finally:
        await egress.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "0"]
)
async def test_this_machine_is_reached_under_none_of_its_names(listener: Listener, host: str) -> None:
    """It is the address that is judged, however it is written."""
    with pytest.raises((EgressRefused, EgressFailed)) as caught:
        await post(Egress(""), f"http://{host}:{listener.port}/")
    assert isinstance(caught.value, EgressRefused) or "cannot be resolved" in str(caught.value)
    assert listener.connections == 0


async def test_the_refusal_says_how_to_allow_it(listener: Listener) -> None:
    """The host, the address and the setting."""
    with pytest.raises(EgressRefused, match=r"a\.test \(127\.0\.0\.1\) is no public address.*PENSTOCK_EGRESS_ALLOW"):
        await post(Egress("", Names(["127.0.0.1"]).resolve), f"http://a.test:{listener.port}/")


async def test_one_private_address_among_public_ones_is_refused(listener: Listener) -> None:
    """An honest name does not mix them."""
    names = Names(["93.184.216.34", "127.0.0.1"])
    with pytest.raises(EgressRefused):
        await post(Egress("", names.resolve), f"http://a.test:{listener.port}/")
    assert listener.connections == 0


async def test_a_name_that_changes_after_the_check_changes_nothing(listener: Listener) -> None:
    """The address that was judged is the one that is connected to: there is no second look-up."""
    names = Names(["127.0.0.1"], ["203.0.113.1"])
    assert await post(Egress("127.0.0.0/8", names.resolve), f"http://a.test:{listener.port}/") == 200
    assert (names.asked, listener.connections) == (1, 1)
    assert f"host: a.test:{listener.port}\r\n".encode() in listener.asked[0].lower()


async def test_an_allowed_host_is_reached(listener: Listener) -> None:
    """By the name that is allowed, and by no other."""
    assert await post(Egress("localhost"), f"http://localhost:{listener.port}/") == 200
    with pytest.raises(EgressRefused):
        await post(Egress("localhost"), f"http://127.0.0.1:{listener.port}/")


async def test_an_address_that_does_not_answer_leaves_the_next_one(listener: Listener) -> None:
    """All of them were judged before."""
    names = Names(["127.0.0.2", "127.0.0.1"])
    assert await post(Egress("127.0.0.0/8", names.resolve), f"http://a.test:{listener.port}/") == 200


async def test_a_name_without_an_address_is_a_failure_that_may_pass() -> None:
    """Not a refusal: the name server may be away."""
    with pytest.raises(EgressFailed, match=r"no-such-host\.invalid"):
        await post(Egress(""), "http://no-such-host.invalid/")


async def test_a_silent_server_is_given_up_in_time(listener: Listener) -> None:
    """With the word that tells a time-out from other failures."""
    server = await asyncio.start_server(lambda reader, writer: asyncio.Event().wait(), "127.0.0.1", 0)
    with pytest.raises(EgressFailed, match=r"did not answer within 0\.1 seconds") as caught:
        await post(Egress("127.0.0.1"), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?key=s3cret", 0.1)
    assert caught.value.is_timeout
    assert "s3cret" not in str(caught.value)
    server.close()


async def test_an_answer_beyond_the_limit_is_not_read(listener: Listener) -> None:
    """Whether it says its length or not; at the limit it is."""
    egress = Egress("127.0.0.1")
    url = f"http://127.0.0.1:{listener.port}/"
    answers = [await egress.post(url, {}, b"{}", seconds=5, answer_bytes_max=size) for size in (2, 1)]
    assert [answer.body for answer in answers] == [b"{}", None]
    await egress.close()


async def test_sockets_of_this_machine_are_no_way_out() -> None:
    """A pool that was asked for one gets none."""
    pool = httpcore2.AsyncConnectionPool(uds="/run/x.sock", network_backend=GuardedBackend(parse_allowed("")))
    with pytest.raises(EgressRefused):
        await pool.request("GET", "http://a.test/")
