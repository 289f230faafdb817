"""What the exchange says and what participants sign, as typed records.

64-bit integers are strings in JSON and `int` here. Native code parses each statement before it is signed and after it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer

Envelope: TypeAlias = dict[str, JsonValue]
"""A signed statement as the exchange sends it; opaque here, opened by native code."""


def _wide(value: object) -> object:
    # Canonical JSON writes 64-bit integers as strings; Python callers pass plain ones.
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit() and len(value) <= 20:
        return int(value)
    return value


Wide: TypeAlias = Annotated[int, BeforeValidator(_wide), PlainSerializer(str, return_type=str)]
"""A 64-bit integer: a decimal string in JSON."""

# Currencies whose minor unit is not a hundredth (ISO 4217); test currencies have hundredths.
_MINOR_DIGITS: Mapping[str, int] = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}


class Record(BaseModel):
    """A statement or a part of one: exactly these fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """JSON as the native core takes it."""
        return self.model_dump_json(exclude_none=True)


class View(BaseModel):
    """An answer of the exchange: it may say more than this version knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Money(Record):
    """An amount in minor units of one currency."""

    amount_minor: Wide
    currency: str

    def __str__(self) -> str:
        digits = _MINOR_DIGITS.get(self.currency, 2)
        sign, magnitude = ("-" if self.amount_minor < 0 else ""), abs(self.amount_minor)
        whole, rest = divmod(magnitude, 10**digits)
        return f"{sign}{whole}.{rest:0{digits}} {self.currency}" if digits else f"{sign}{whole} {self.currency}"


# --- Statements ---------------------------------------------------------------------------------------------------------------------

Role: TypeAlias = Literal["provider", "consumer", "regulator", "operator", "compute-party", "validator"]
WorkerRole: TypeAlias = Literal["data", "compute"]
ColumnUse: TypeAlias = Literal["join", "aggregate", "group", "filter"]


class ParticipantEnrolment(Record):
    participant: str
    name: str
    roles: list[Role]
    sealing_key: str
    issued_at: Wide


class WorkerGrant(Record):
    grant_id: str
    participant: str
    worker: str
    witness: str
    role: WorkerRole
    not_before: Wide
    expires_at: Wide


class ColumnKind(Record):
    kind: Literal["text", "integer", "decimal"]
    scale: int | None = None

    def __str__(self) -> str:
        return self.kind if self.scale is None else f"{self.kind}({self.scale})"


class ColumnProfile(Record):
    distinct: Wide
    low: str | None = None
    high: str | None = None


class ColumnDescription(Record):
    name: str
    column: ColumnKind
    profile: ColumnProfile


class DatasetDescription(Record):
    rows: Wide
    columns: list[ColumnDescription]
    commitment: str


class RightsRegistration(Record):
    dataset_id: str
    name: str
    holder: str
    right: Literal["hold", "process", "operate"]
    record: Literal["initial"]
    worker: str
    description: DatasetDescription
    issued_at: Wide


class Bounds(Record):
    """Range of a numeric column, inclusive, in scaled integers (value times 10^scale)."""

    minimum: Wide
    maximum: Wide


class ColumnRule(Record):
    uses: list[ColumnUse]
    domain: list[str] | None = None
    bounds: Bounds | None = None


class DatasetPolicy(Record):
    columns: dict[str, ColumnRule]
    minimum_group: int
    rows_max: int
    compute_parties: list[str]


class ProductTable(Record):
    table: str
    dataset_id: str
    provider: str
    rights: str
    commitment: str
    columns: list[tuple[str, ColumnKind]]
    policy: DatasetPolicy


class SplitShare(Record):
    participant: str
    share: int


class DataProduct(Record):
    product_id: str
    title: str
    tables: list[ProductTable]
    compute_party: str
    exchange: str
    consumers: list[str]
    price_per_query: Money
    split: list[SplitShare]
    quota_queries: int
    issued_at: Wide
    expires_at: Wide

    @property
    def participants(self) -> list[str]:
        """Who is bound by it and must sign, by party index."""
        return [*(table.provider for table in self.tables), self.compute_party]


class PartyPin(Record):
    participant: str
    worker: str
    grant: str


class QuoteStatement(Record):
    quote_id: str
    product_id: str
    product: str
    consumer: str
    sql: str
    plan: str
    parties: list[PartyPin]
    security: Literal["semi-honest"]
    leakage: list[str]
    price: Money
    issued_at: Wide
    expires_at: Wide


class AgreementStatement(Record):
    agreement_id: str
    product: str
    consumer: str
    sealing_key: str
    exchange: str
    parties: list[PartyPin]
    security: Literal["semi-honest"]
    price_per_query: Money
    split: list[SplitShare]
    quota_queries: int
    issued_at: Wide
    expires_at: Wide


class OrderStatement(Record):
    order_id: str
    agreement: str
    sql: str
    plan: str
    sequence: Wide
    price: Money
    issued_at: Wide
    expires_at: Wide


class HoldStatement(Record):
    job_id: str
    order: str
    agreement: str
    consumer: str
    amount: Money
    held_at: Wide


class SplitAmount(Record):
    participant: str
    amount: Money


class ReleaseStatement(Record):
    job_id: str
    order: str
    hold: str
    receipts: list[str]
    amount: Money
    split: list[SplitAmount]
    split_rule: str
    released_at: Wide


class RefundStatement(Record):
    job_id: str
    order: str
    hold: str
    amount: Money
    reason: str
    refunded_at: Wide


class SealedShareDigest(Record):
    share: int
    ciphertext: str


class UsageReceipt(Record):
    job_id: str
    attempt: int
    agreement: str
    order: str
    consumer: str
    plan: str
    party: int
    participant: str
    worker: str
    security: Literal["semi-honest"]
    input_commitment: str | None = None
    rows_input: Wide
    shares: list[SealedShareDigest]
    transcript: str
    finished_at: Wide


# --- Answers ------------------------------------------------------------------------------------------------------------------------

JobState: TypeAlias = Literal["queued", "dispatched", "running", "released", "delivered", "undelivered", "refunded"]


class ParticipantView(View):
    did: str
    name: str
    roles: list[str]
    state: str
    sealing_key: str | None = None


class WorkerGrantView(View):
    grant_id: str
    statement_hash: str
    participant: str
    worker: str
    witness: str
    role: str
    envelope: Envelope


class Complaint(View):
    party: int | None = None
    code: str
    detail: str


class DatasetView(View):
    dataset_id: str
    provider: str
    name: str
    worker: str
    state: str
    description: DatasetDescription | None = None
    refusal: Complaint | None = None
    rights: str | None = None


class BundleEntry(View):
    name: str
    envelope: Envelope
    proof: str | None


class CertificateView(View):
    entries: list[BundleEntry]


class ProductView(View):
    product_id: str
    state: str
    envelope: Envelope


class QuoteView(View):
    quote_id: str
    envelope: Envelope
    grants: list[Envelope]


class AgreementView(View):
    agreement_id: str
    product_id: str | None = None
    envelope: Envelope
    next_sequence: Wide | None = None


class OrderPlaced(View):
    order_id: str
    job_id: str


class OrderView(View):
    order_id: str
    job_id: str
    agreement_id: str
    state: str
    sequence: Wide | None = None
    envelope: Envelope | None = None


class JobView(View):
    job_id: str
    order_id: str
    state: JobState
    attempt: int = 0
    reason: str | None = None
    failure: Complaint | None = None


class SealedShare(View):
    share: int
    ciphertext: str


class ResultView(View):
    attempt: int
    order_hash: str
    shares: list[SealedShare]


class Balance(View):
    account_id: str
    kind: str
    owner: str
    currency: str
    balance_minor: Wide


class AccountView(View):
    balances: list[Balance]


class JournalPosting(View):
    account: str
    amount_minor: Wide


class JournalEntryView(View):
    entry_id: str
    kind: str
    currency: str
    job_id: str | None = None
    postings: list[JournalPosting]
    at: Wide


class AuditEventView(View):
    """A statement that was logged."""

    leaf_index: Wide | None = None
    leaf: str
    statement_hash: str
    kind: str
    subject_kind: str
    subject_id: str
    accepted_at: Wide
    envelope: Envelope


class AuditNode(View):
    """One thing of a trace. `of` is the kind of a statement or of a journal entry."""

    kind: str
    id: str
    of: str | None = None
    leaf: str | None = None
    leaf_index: Wide | None = None
    state: str | None = None
    rejection: str | None = None
    at: Wide | None = None


class AuditEdge(View):
    """What one thing of a trace is to another: an order `uses` an agreement."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    relation: str


class AuditTrace(View):
    """What one thing is connected with, both ways. `truncated` if a limit cut it short: ask about something smaller."""

    start: str
    nodes: list[AuditNode]
    edges: list[AuditEdge]
    truncated: bool

    @property
    def ids(self) -> set[str]:
        """Ids of everything in it."""
        return {node.id for node in self.nodes}


class ChannelView(View):
    """A channel that is served here, and where it stands. `failure` says why it has stopped, if it has."""

    channel: str
    origin: str
    genesis: str
    height: Wide
    log_size: Wide
    members: int
    role: str
    failure: str | None = None


class LogCheckpoint(View):
    """A checkpoint: a C2SP signed note about a log of this size."""

    size: Wide
    note: str


class LogConsistency(View):
    """A proof (RFC 6962 §2.1.2) that a log begins with a smaller one."""

    proof: list[str]


class AuditConsistency(View):
    """Two checkpoints, and the proof (RFC 6962 §2.1.2) that the second log begins with the first."""

    first: LogCheckpoint = Field(alias="from")
    second: LogCheckpoint = Field(alias="to")
    proof: list[str]


class StuckJob(View):
    """A job that ought to have moved."""

    job_id: str
    state: str
    attempt: int
    deadline: Wide | None = None
    changed_at: Wide
