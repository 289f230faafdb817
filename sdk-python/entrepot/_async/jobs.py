"""Jobs, their results and their receipts."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot import _evidence as evidence
from entrepot import report
from entrepot._io import async_sleep
from entrepot._progress import JobFollower, ProgressBar
from entrepot.errors import (
    ApiError,
    ConnectionFailedError,
    EntrepotError,
    EvidenceError,
    JobRefundedError,
    JobTimeoutError,
    NotFoundError,
    OrderUncertainError,
    ResultWithheldError,
    UnexpectedResponseError,
)
from entrepot.models import Envelope, JobView, OrderPlaced, OrderStatement, OrderView, RefundStatement, ResultView
from entrepot.table import Table

if TYPE_CHECKING:
    from .client import AsyncClient

# A stream that says nothing for this long is opened again: proxies drop idle connections silently.
_STREAM_SILENCE_S = 45.0
_POLL_FIRST_S = 0.2
_POLL_MAX_S = 2.0
_LOGGED_POLL_S = 0.5
# Streams that end without an event before asking takes over.
_FRUITLESS_MAX = 3
_OVER = ("delivered", "undelivered", "refunded")
# An order of unknown fate is sent again this often, and not after this long: enough for an exchange that restarts.
_PLACE_TRIES_MAX = 5
_PLACE_S_MAX = 60.0
# Pauses grow as if the requests' own retries, which came first, had been counted.
_PLACE_FIRST_PAUSE = 2


class AsyncReceipt:
    """What everybody signed about a job, and where it is in the log."""

    def __init__(self, client: AsyncClient, job_id: str) -> None:
        self._client = client
        self.job_id = job_id

    async def fetch(self) -> bytes:
        """The receipt bundle as it is now: JSON. Statements that are not logged yet have no proof."""
        return (await self._client.transport.get(f"/v1/jobs/{self.job_id}/receipt")).body

    async def save(self, path: str | Path) -> None:
        """Writes the bundle to a file, for `entrepot verify` and for others."""
        Path(path).write_bytes(await self.fetch())

    async def verify(self, wait_s: float = 30.0) -> report.VerificationReport:
        """Verifies the bundle offline against the trust file. Waits at most `wait_s` for statements to be logged and witnessed, which
        follows the end of a job; a report that is still `pending` or `unwitnessed` then says so."""
        trust = self._client.require_trust()
        deadline = time.monotonic() + wait_s
        while True:
            found = report.verify(await self.fetch(), trust)
            if not isinstance(found.status, report.Pending | report.Unwitnessed) or time.monotonic() >= deadline:
                return found
            await async_sleep(_LOGGED_POLL_S)


class AsyncJob:
    """The computation that an order became. It runs whether or not anybody watches; fetch it again by its id at any time."""

    def __init__(self, client: AsyncClient, job_id: str, order_id: str) -> None:
        self._client = client
        self.id = job_id
        self.order_id = order_id

    def __repr__(self) -> str:
        return f"Job({self.id})"

    @property
    def receipt(self) -> AsyncReceipt:
        """What everybody signed about it."""
        return AsyncReceipt(self._client, self.id)

    async def status(self) -> JobView:
        """Where it is."""
        view = (await self._client.transport.get(f"/v1/jobs/{self.id}")).view(JobView)
        if view.job_id != self.id:
            raise UnexpectedResponseError("the exchange answered about another job")
        return view

    async def wait(self, timeout_s: float = 900.0, progress: bool = True) -> JobView:
        """Waits until it is over, by events and, where these fail, by asking; shows a progress bar."""
        return await self._wait(JobFollower(), timeout_s, progress)

    async def _wait(self, follower: JobFollower, timeout_s: float, progress: bool) -> JobView:
        deadline = time.monotonic() + timeout_s
        with ProgressBar(self.id, enabled=progress) as bar:
            async for _ in self._events(follower, deadline):
                bar.show(follower.position, follower.step)
            view = await self.status()
            pause_s = _POLL_FIRST_S
            while view.state not in _OVER:
                if view.state == "released":
                    follower.see_released()
                remaining_s = follower.limit(deadline) - time.monotonic()
                if remaining_s <= 0:
                    break
                await async_sleep(min(pause_s, remaining_s))
                pause_s = min(pause_s * 2, _POLL_MAX_S)
                view = await self.status()
            if view.state == "delivered":
                bar.show(1.0, "delivered")
        if view.state == "released":
            raise ResultWithheldError(
                self.id, f"job {self.id} is paid, but its result was not handed over in time; workers keep it 30 days: try again later"
            )
        if view.state not in _OVER:
            again = f"it goes on: fetch it again with client.jobs.get({self.id!r})"
            raise JobTimeoutError(self.id, f"job {self.id} is still {view.state}; {again}")
        return view

    async def result(self, timeout_s: float = 900.0, progress: bool = True) -> Table:
        """The result, once it is there. Believed only if all workers attest it, and nothing contradicts what you signed."""
        client = self._client
        key, trust = client.require_key(), client.require_trust()
        follower = JobFollower()
        view = await self._wait(follower, timeout_s, progress)
        entries = evidence.bundle_entries(_object(await self.receipt.fetch()))
        if view.state == "refunded":
            refund = evidence.open_signed(evidence.entry(entries, "refund"), RefundStatement, [trust.exchange])
            told = f"party {view.failure.party}: {view.failure.code}: {view.failure.detail}" if view.failure else None
            raise JobRefundedError(self.id, refund.reason, follower.complaint or told)
        if view.state == "undelivered":
            raise ResultWithheldError(
                self.id, f"job {self.id} is paid, but its result did not come in 30 days; show the regulator the receipt"
            )
        contract = evidence.open_contract(entries, key.did, trust)
        if contract.order.order_id != self.order_id:
            raise EvidenceError("receipt_order", f"the exchange answered with the receipt of order {contract.order.order_id}")
        grants = [evidence.entry(entries, f"grant-{party}") for party in range(len(contract.agreement.parties))]
        evidence.check_grants(contract.agreement.parties, grants, None)
        attempt, digests = evidence.check_receipts(entries, contract, self.id)
        evidence.check_settlement(entries, contract, self.id, trust)
        return evidence.open_result(await self._sealed(), attempt, digests, contract, key)

    async def _sealed(self) -> dict[int, bytes]:
        try:
            found = (await self._client.transport.get(f"/v1/jobs/{self.id}/result")).view(ResultView)
        except NotFoundError as error:
            raise ResultWithheldError(self.id, f"job {self.id} is delivered, but the exchange does not give its result: {error}") from error
        try:
            return {share.share: base64.b64decode(share.ciphertext, validate=True) for share in found.shares}
        except binascii.Error as error:
            raise UnexpectedResponseError("a sealed share is not base64") from error

    async def _events(self, follower: JobFollower, deadline: float) -> AsyncIterator[None]:
        """Follows the job's events across broken connections until it is over, the time is up or events seem not to be had."""
        pause_s, fruitless = _POLL_FIRST_S, 0
        while not follower.over and time.monotonic() < follower.limit(deadline) and fruitless < _FRUITLESS_MAX:
            before = follower.last_event_id
            silence_s = min(_STREAM_SILENCE_S, max(follower.limit(deadline) - time.monotonic(), 0.1))
            try:
                async for event in self._client.transport.events(f"/v1/jobs/{self.id}/events", before, silence_s):
                    follower.take(event)
                    yield
                    if follower.over or time.monotonic() >= follower.limit(deadline):
                        return
            except (ConnectionFailedError, ApiError):
                # Asking for the job is the judge of whether it exists; events are a comfort.
                if (await self.status()).state in _OVER:
                    return
            moved = follower.last_event_id != before
            fruitless = 0 if moved else fruitless + 1
            pause_s = _POLL_FIRST_S if moved else min(pause_s * 2, _POLL_MAX_S)
            await async_sleep(pause_s)


class AsyncOrder:
    """An order that you signed."""

    def __init__(self, client: AsyncClient, view: OrderView) -> None:
        self._client = client
        self.view = view

    def __repr__(self) -> str:
        return f"Order({self.id}, {self.view.state})"

    @property
    def id(self) -> str:
        """Its id."""
        return self.view.order_id

    @property
    def state(self) -> str:
        """The state of its job, when this was fetched."""
        return self.view.state

    @property
    def job(self) -> AsyncJob:
        """The job that it became."""
        return AsyncJob(self._client, self.view.job_id, self.view.order_id)

    async def cancel(self) -> None:
        """Cancels it and gets the price back; refused once the job is paid."""
        await self._client.transport.post(f"/v1/orders/{self.id}/cancel", {})

    async def result(self, timeout_s: float = 900.0, progress: bool = True) -> Table:
        """The result of its job."""
        return await self.job.result(timeout_s, progress)


class AsyncOrders:
    """Your orders."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> AsyncIterator[AsyncOrder]:
        """All of them."""
        async for view in self._client.transport.pages("/v1/orders", OrderView):
            yield AsyncOrder(self._client, view)

    async def place(self, envelope: Envelope) -> AsyncJob:
        """Sends an order that you signed. However often it is sent, and by whatever client of yours, it is taken and paid once.

        While its fate is unknown, asks for it and sends the very same again; raises `OrderUncertainError` if that does not help.
        """
        client = self._client
        order_id = evidence.open_signed(envelope, OrderStatement, [client.require_key().did]).order_id
        deadline = time.monotonic() + _PLACE_S_MAX
        attempt = 0
        while True:
            try:
                return await self._send(order_id, envelope)
            except (ConnectionFailedError, ApiError, UnexpectedResponseError) as error:
                if _is_refusal(error):
                    raise
                failure = error
            if (job := await self._taken(order_id)) is not None:
                return job
            attempt += 1
            if attempt >= _PLACE_TRIES_MAX or time.monotonic() >= deadline:
                raise OrderUncertainError(order_id, envelope, failure) from failure
            await async_sleep(client.transport.retry.pause_s(attempt + _PLACE_FIRST_PAUSE))

    async def _send(self, order_id: str, envelope: Envelope) -> AsyncJob:
        # Its id is its idempotency key: also a later process, which knows nothing but the order, repeats this very request.
        answer = await self._client.transport.post("/v1/orders", {"envelope": envelope}, idempotency_key=order_id)
        placed = answer.view(OrderPlaced)
        if placed.order_id != order_id:
            raise UnexpectedResponseError("the exchange answered about another order")
        return AsyncJob(self._client, placed.job_id, order_id)

    async def _taken(self, order_id: str) -> AsyncJob | None:
        try:
            return (await self.get(order_id)).job
        except (ConnectionFailedError, ApiError, UnexpectedResponseError):
            return None

    async def get(self, order_id: str) -> AsyncOrder:
        """One of them."""
        view = (await self._client.transport.get(f"/v1/orders/{order_id}")).view(OrderView)
        if view.order_id != order_id:
            raise UnexpectedResponseError("the exchange answered about another order")
        return AsyncOrder(self._client, view)


class AsyncJobs:
    """Your jobs."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def get(self, job_id: str) -> AsyncJob:
        """A job by its id: to reconnect, wait and fetch again."""
        view = (await self._client.transport.get(f"/v1/jobs/{job_id}")).view(JobView)
        if view.job_id != job_id:
            raise UnexpectedResponseError("the exchange answered about another job")
        return AsyncJob(self._client, job_id, view.order_id)


def _is_refusal(error: EntrepotError) -> bool:
    """Whether the exchange said no to an order, so that it did not take it. An earlier try of the same request, whose answer was lost, is
    excluded: what was taken under an idempotency key is answered with that, and never refused."""
    if not isinstance(error, ApiError) or not 400 <= error.status < 500 or error.status in (401, 408, 429):
        return False
    return error.code not in ("idempotency_in_flight", "idempotency_key_reused", "order_exists")


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise UnexpectedResponseError("the receipt is not JSON") from error
    if not isinstance(value, dict):
        raise UnexpectedResponseError("the receipt is not a JSON object")
    return value
