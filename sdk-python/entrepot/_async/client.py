"""The client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from entrepot import _evidence as evidence
from entrepot import _native
from entrepot._io import AsyncLock
from entrepot.config import settings
from entrepot.errors import ConfigurationError
from entrepot.keys import Key
from entrepot.models import Envelope, ParticipantEnrolment, Record
from entrepot.trust import Trust

from .jobs import AsyncJobs, AsyncOrders
from .market import AsyncAgreements, AsyncProducts
from .operations import AsyncAccount, AsyncAudit, AsyncDatasets, AsyncLog, AsyncParticipants, AsyncWorkerGrants
from .transport import AsyncTransport, TransportOptions

_KINDS: Mapping[type[Record], str] = {**evidence.KINDS, ParticipantEnrolment: "participant-enrolment"}


class AsyncClient:
    """A participant at an exchange.

    `key` is the path of the participant's key file and `trust` that of a trust file: whom you believe. Both, and `url`, may come from
    `ENTREPOT_KEY`, `ENTREPOT_TRUST` and `ENTREPOT_URL`, or from `~/.config/entrepot/client.json`. `ca` is a PEM file for an exchange
    whose certificate no public authority signed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | Path | Key | None = None,
        trust: str | Path | Trust | None = None,
        ca: str | Path | None = None,
        options: TransportOptions | None = None,
    ) -> None:
        found = settings(url, key, trust, ca)
        self.url = found.url
        self._key = found.key
        self._trust = found.trust
        options = options or TransportOptions(ca=found.ca)
        self.transport = AsyncTransport(found.url, found.key, found.trust.exchange if found.trust else None, options)
        self.order_lock = AsyncLock()
        self.products = AsyncProducts(self)
        self.agreements = AsyncAgreements(self)
        self.orders = AsyncOrders(self)
        self.jobs = AsyncJobs(self)
        self.participants = AsyncParticipants(self)
        self.worker_grants = AsyncWorkerGrants(self)
        self.datasets = AsyncDatasets(self)
        self.account = AsyncAccount(self)
        self.audit = AsyncAudit(self)
        self.log = AsyncLog(self)

    @property
    def did(self) -> str:
        """The participant that this client acts for."""
        return self.require_key().did

    def require_key(self) -> Key:
        """The key, or what to do without one."""
        if self._key is None:
            raise ConfigurationError("this needs a key: pass the path of a key file, or set ENTREPOT_KEY")
        return self._key

    def require_trust(self) -> Trust:
        """The trust file, or what to do without one."""
        if self._trust is None:
            raise ConfigurationError("this needs a trust file, which says whom to believe: pass its path, or set ENTREPOT_TRUST")
        return self._trust

    def sign_statement(self, statement: Record) -> Envelope:
        """Signs a statement with this client's key."""
        try:
            return evidence.envelope_of(self.require_key().sign(_KINDS[type(statement)], statement.to_json()))
        except _native.NativeError as error:
            raise ConfigurationError(f"this cannot be signed: {error.args[1]}") from error

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.transport.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()
