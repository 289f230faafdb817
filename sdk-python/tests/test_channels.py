"""A log is read by its channel's name."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

import entrepot
from entrepot._async.transport import TransportOptions as AsyncTransportOptions
from entrepot._retry import RetryPolicy
from entrepot._sync.transport import TransportOptions

CHANNEL = {"origin": "entrepot/loans", "genesis": "ab" * 32, "height": "3", "log_size": "5", "members": 4, "role": "validator"}


class Node:
    """A node of two channels, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        self.asked.append(path)
        if path == "/v1/channels":
            stopped = {**CHANNEL, "channel": "main", "failure": "the disk is full"}
            return httpx2.Response(200, json={"items": [{**CHANNEL, "channel": "loans"}, stopped]})
        if "/consistency" in path:
            return httpx2.Response(200, json={"from": "1", "to": "2", "proof": ["00" * 32]})
        if path.startswith("/v1/channels/loans/") or path.startswith("/v1/log/"):
            return httpx2.Response(200, text=f"note of {path}")
        problem = {"code": "no_such_channel", "title": "not found", "status": 404, "detail": "no channel", "request_id": "1"}
        return httpx2.Response(404, json=problem, headers={"content-type": "application/problem+json"})


def test_a_channel_s_log_is_read_below_its_name_and_the_markets_without_one() -> None:
    node = Node()
    options = TransportOptions(retry=RetryPolicy(pause_first_s=0.0), connector=httpx2.MockTransport(node.handle))
    client = entrepot.Client("http://node.test", options=options)
    assert client.log.checkpoint() == "note of /v1/log/checkpoint"
    loans = client.log.of("loans")
    assert loans.checkpoint() == "note of /v1/channels/loans/log/checkpoint"
    assert loans.proof(3, 5) == "note of /v1/channels/loans/log/proof/3?size=5"
    assert loans.consistency(1, 2) == ["00" * 32]
    assert node.asked[-1] == "/v1/channels/loans/log/consistency?from=1&to=2"
    first, second = client.log.channels()
    assert (first.channel, first.height, first.failure, second.failure) == ("loans", 3, None, "the disk is full")
    with pytest.raises(entrepot.ApiError, match="no_such_channel"):
        client.log.of("../token").checkpoint()
    assert node.asked[-1] == "/v1/channels/..%2Ftoken/log/checkpoint"


def test_the_asynchronous_client_reads_it_as_well() -> None:
    node = Node()

    async def read() -> str:
        options = AsyncTransportOptions(retry=RetryPolicy(pause_first_s=0.0), connector=httpx2.MockTransport(node.handle))
        async with entrepot.AsyncClient("http://node.test", options=options) as client:
            assert [channel.channel for channel in await client.log.channels()] == ["loans", "main"]
            return await client.log.of("loans").checkpoint()

    assert asyncio.run(read()) == "note of /v1/channels/loans/log/checkpoint"
