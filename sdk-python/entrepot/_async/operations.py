"""What providers, compute parties, operators and regulators do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from pydantic import JsonValue

from entrepot import _native, report
from entrepot._io import async_sleep
from entrepot.errors import EntrepotError, EvidenceError, UnexpectedResponseError
from entrepot.models import (
    AccountView,
    AuditConsistency,
    AuditEventView,
    AuditTrace,
    Balance,
    ChannelView,
    DatasetDescription,
    DatasetView,
    JournalEntryView,
    LogConsistency,
    Money,
    ParticipantEnrolment,
    ParticipantView,
    RightsRegistration,
    Role,
    StuckJob,
    View,
    WorkerGrant,
    WorkerGrantView,
    WorkerRole,
)

from .market import now_ms

if TYPE_CHECKING:
    from .client import AsyncClient

_DAY_MS = 24 * 3_600_000
_POLL_S = 0.3


class AsyncParticipants:
    """Who takes part."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def enrol(self, name: str, roles: Sequence[Role]) -> ParticipantView:
        """Introduces the participant of this client's key; an operator approves."""
        key = self._client.require_key()
        statement = ParticipantEnrolment(
            participant=key.did, name=name, roles=sorted(set(roles), key=_ROLE_ORDER.index), sealing_key=key.sealing_key, issued_at=now_ms()
        )
        envelope = self._client.sign_statement(statement)
        return (await self._client.transport.post("/v1/participants", {"envelope": envelope}, anonymous=True)).view(ParticipantView)

    def list(self, state: Literal["approved", "pending"] = "approved") -> AsyncIterator[ParticipantView]:
        """Everyone who takes part; an operator also sees who waits for approval."""
        return self._client.transport.pages("/v1/participants", ParticipantView, {"state": state})

    async def get(self, did: str) -> ParticipantView:
        """One participant."""
        return (await self._client.transport.get(f"/v1/participants/{did}")).view(ParticipantView)

    async def approve(self, did: str) -> None:
        """Lets a participant take part; for operators."""
        await self._client.transport.post(f"/v1/participants/{did}/approval", {})


# As the statement's own order of roles.
_ROLE_ORDER: Sequence[Role] = ("provider", "consumer", "regulator", "operator", "compute-party", "validator")


class AsyncWorkerGrants:
    """Which workers act for whom."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, worker: str, witness: str, role: WorkerRole, lifetime_days: int = 365) -> WorkerGrant:
        """Delegates to a worker's key, for a while; `witness` is the worker's key for cosigning checkpoints."""
        now = now_ms()
        statement = WorkerGrant(
            grant_id=_native.new_id("grant", now),
            participant=self._client.require_key().did,
            worker=worker,
            witness=witness,
            role=role,
            not_before=now,
            expires_at=now + lifetime_days * _DAY_MS,
        )
        await self._client.transport.post("/v1/worker-grants", {"envelope": self._client.sign_statement(statement)})
        return statement

    def list(self) -> AsyncIterator[WorkerGrantView]:
        """Those that you may see."""
        return self._client.transport.pages("/v1/worker-grants", WorkerGrantView)


class AsyncDataset:
    """A dataset at its provider: described here, not uploaded."""

    def __init__(self, client: AsyncClient, view: DatasetView) -> None:
        self._client = client
        self.view = view

    def __repr__(self) -> str:
        return f"Dataset({self.view.name!r}, {self.id}, {self.state})"

    @property
    def id(self) -> str:
        """Its id."""
        return self.view.dataset_id

    @property
    def state(self) -> str:
        """describing, described, registered, certified or refused, when this was fetched."""
        return self.view.state

    @property
    def description(self) -> DatasetDescription | None:
        """What the worker says of it; none while it is describing."""
        return self.view.description

    async def refresh(self) -> AsyncDataset:
        """Fetches it again."""
        return await self._client.datasets.get(self.id)

    async def wait_described(self, timeout_s: float = 120.0) -> AsyncDataset:
        """Waits until the worker described it."""
        return await self._wait(("described", "registered", "certified"), timeout_s)

    async def wait_certified(self, timeout_s: float = 120.0) -> AsyncDataset:
        """Waits until its rights are logged."""
        return await self._wait(("certified",), timeout_s)

    async def _wait(self, states: Sequence[str], timeout_s: float) -> AsyncDataset:
        deadline, dataset = time.monotonic() + timeout_s, self
        while dataset.state not in states:
            if dataset.state == "refused":
                refusal = dataset.view.refusal
                why = f"{refusal.code}: {refusal.detail}" if refusal else "it did not say why"
                raise EntrepotError(f"the worker refused to describe {dataset.view.name}: {why}")
            if time.monotonic() >= deadline:
                raise EntrepotError(f"dataset {self.id} is still {dataset.state} after {timeout_s:.0f} s; is its worker connected?")
            await async_sleep(_POLL_S)
            dataset = await dataset.refresh()
        return dataset

    async def sign_rights(self) -> AsyncDataset:
        """Approves the description and registers the right to hold the data. Look at `description` first."""
        if self.view.description is None:
            raise EntrepotError(f"dataset {self.id} is not described yet: wait_described() first")
        statement = RightsRegistration(
            dataset_id=self.id,
            name=self.view.name,
            holder=self._client.require_key().did,
            right="hold",
            record="initial",
            worker=self.view.worker,
            description=self.view.description,
            issued_at=now_ms(),
        )
        await self._client.transport.post(f"/v1/datasets/{self.id}/rights", {"envelope": self._client.sign_statement(statement)})
        return await self.refresh()

    async def certificate(self) -> AsyncCertificate:
        """The proof of the right."""
        return AsyncCertificate(self._client, (await self._client.transport.get(f"/v1/datasets/{self.id}/certificate")).body)


class AsyncCertificate:
    """A registered right and its place in the log."""

    def __init__(self, client: AsyncClient, body: bytes) -> None:
        self._client = client
        self.body = body

    def verify(self) -> report.VerificationReport:
        """Verifies it offline against the trust file."""
        return report.verify(self.body, self._client.require_trust())

    def save(self, path: str | Path) -> None:
        """Writes it to a file."""
        Path(path).write_bytes(self.body)


class AsyncDatasets:
    """Datasets."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def register(self, name: str, worker: str) -> AsyncDataset:
        """Asks a worker, by its DID, to describe the dataset of this name in its configuration."""
        view = (await self._client.transport.post("/v1/datasets", {"name": name, "worker": worker})).view(DatasetView)
        return AsyncDataset(self._client, view)

    async def list(self) -> AsyncIterator[AsyncDataset]:
        """Those that you may see."""
        async for view in self._client.transport.pages("/v1/datasets", DatasetView):
            yield AsyncDataset(self._client, view)

    async def get(self, dataset_id: str) -> AsyncDataset:
        """One dataset."""
        view = (await self._client.transport.get(f"/v1/datasets/{dataset_id}")).view(DatasetView)
        if view.dataset_id != dataset_id:
            raise UnexpectedResponseError("the exchange answered about another dataset")
        return AsyncDataset(self._client, view)


class AsyncAccount:
    """Balances, entries, credit."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def balances(self) -> list[Balance]:
        """Your accounts."""
        return (await self._client.transport.get("/v1/account")).view(AccountView).balances

    async def journal(self, job_id: str | None = None) -> AsyncIterator[JournalEntryView]:
        """Your entries, or those of one job."""
        return self._client.transport.pages("/v1/journal", JournalEntryView, {"job": job_id} if job_id else None)

    async def credit(self, participant: str, money: Money) -> None:
        """Issues credit to a participant; for operators."""
        body: Mapping[str, JsonValue] = {"participant": participant, "money": money.model_dump(mode="json")}
        await self._client.transport.post("/v1/credits", body)


class AsyncAudit:
    """What a regulator sees: every id traced both ways, events, consistency, bundles."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def trace(self, id_or_hash: str) -> AuditTrace:
        """Everything connected with a dataset, agreement, job, entry or leaf, both ways."""
        return (await self._client.transport.get(f"/v1/audit/trace/{id_or_hash}")).view(AuditTrace)

    def events(self, since: int = 0) -> AsyncIterator[AuditEventView]:
        """Every logged statement from a checkpoint's size on, in the order of the log."""
        return self._client.transport.pages("/v1/audit/events", AuditEventView, {"since": str(since)})

    async def consistency(self, first: int, second: int) -> AuditConsistency:
        """The checkpoints of two sizes, and the proof that the log of the second only appended to that of the first."""
        params = {"from": str(first), "to": str(second)}
        return (await self._client.transport.get("/v1/audit/consistency", params)).view(AuditConsistency)

    async def bundle(self, id_or_hash: str) -> bytes:
        """One signed bundle of everything about an id."""
        return (await self._client.transport.get(f"/v1/audit/bundle/{id_or_hash}")).body

    def stuck_jobs(self) -> AsyncIterator[StuckJob]:
        """Jobs that ought to have moved; for operators."""
        return self._client.transport.pages("/v1/admin/stuck-jobs", StuckJob)


class _Channels(View):
    items: list[ChannelView]


class AsyncLog:
    """The public log of the market's channel, or of another one."""

    def __init__(self, client: AsyncClient, channel: str | None = None) -> None:
        self._client = client
        self._path = "/v1/log" if channel is None else f"/v1/channels/{quote(channel, safe='')}/log"

    def of(self, channel: str) -> AsyncLog:
        """The log of another channel that is served here. To follow it, the client's trust file must name that log."""
        return AsyncLog(self._client, channel)

    async def channels(self) -> list[ChannelView]:
        """The channels that are served here; the first is the market's."""
        return (await self._client.transport.get("/v1/channels", anonymous=True)).view(_Channels).items

    async def follow(self, path: str | Path) -> int:
        """Checks that the log only grew since the checkpoint kept in this file, keeps the newest there, and gives the log's size.

        The first time, it keeps what it is shown. Raises `EvidenceError` if the log was rolled back or rewritten: then the file stays as it
        is, and what contradicts it, under the log's signature as well, is written beside it, to `….conflict`.
        """
        kept, trust = Path(path), self._client.require_trust().text
        new = await self.checkpoint()
        try:
            size = _native.checkpoint_size(new, trust)
            if kept.exists():
                await self._check_grown(kept, new, trust)
        except _native.NativeError as error:
            raise EvidenceError(error.args[0], f"the checkpoint in {kept} and the newest: {error.args[1]}") from error
        partial = kept.with_name(f"{kept.name}.partial")
        partial.write_text(new, encoding="utf-8")
        partial.replace(kept)
        return size

    async def _check_grown(self, kept: Path, new: str, trust: str) -> None:
        old = kept.read_text(encoding="utf-8")
        before, now = _native.checkpoint_size(old, trust), _native.checkpoint_size(new, trust)
        try:
            if now < before:
                raise EvidenceError("log_rolled_back", f"the log had {before} entries by the checkpoint in {kept}, and now has {now}")
            # Every log begins with the empty one.
            proof = await self.consistency(before, now) if 0 < before < now else []
            _native.checkpoint_extends(old, new, proof, trust)
        except (EvidenceError, _native.NativeError):
            kept.with_name(f"{kept.name}.conflict").write_text(new, encoding="utf-8")
            raise

    async def checkpoint(self) -> str:
        """The latest checkpoint with its cosignatures (C2SP tlog-checkpoint)."""
        return (await self._client.transport.get(f"{self._path}/checkpoint", anonymous=True)).body.decode()

    async def proof(self, index: int, size: int) -> str:
        """A leaf's proof of inclusion."""
        return (await self._client.transport.get(f"{self._path}/proof/{index}", {"size": str(size)}, anonymous=True)).body.decode()

    async def consistency(self, first: int, second: int) -> list[str]:
        """A proof that the log only appended: the hashes of RFC 6962 §2.1.2, in hexadecimal."""
        params = {"from": str(first), "to": str(second)}
        return (await self._client.transport.get(f"{self._path}/consistency", params, anonymous=True)).view(LogConsistency).proof
