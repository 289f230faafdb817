"""Offline verification: no network, keys from the trust file alone, by the code that `entrepot verify` runs."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from . import _native
from .errors import EvidenceError, UnexpectedResponseError
from .models import Money, SplitAmount, View
from .trust import Trust


class Witnessed(View):
    """Logged, under checkpoints that `k` of `n` independent witnesses cosigned: enough."""

    state: Literal["witnessed"]
    k: int
    n: int


class Unwitnessed(View):
    """Logged, but fewer than the quorum of witnesses cosigned: the log could show others another history."""

    state: Literal["unwitnessed"]
    k: int
    n: int
    quorum: int


class Pending(View):
    """Valid, but these entries are not logged yet."""

    state: Literal["pending"]
    entries: list[str]


class Invalid(View):
    """Some check failed: it proves nothing."""

    state: Literal["invalid"]


Status: TypeAlias = Annotated[Witnessed | Unwitnessed | Pending | Invalid, Field(discriminator="state")]


class Check(View):
    """One check, passed or not."""

    name: str
    ok: bool
    detail: str


class Released(View):
    """The price was paid out."""

    outcome: Literal["released"]
    amount: Money
    split: list[SplitAmount]


class Refunded(View):
    """The price went back."""

    outcome: Literal["refunded"]
    amount: Money
    consumer: str
    reason: str


class Decided(View):
    """`k` of the channel's `n` members are shown to have decided on the least decided checkpoint: more than two thirds."""

    k: int
    n: int


class VerificationReport(View):
    """What verification found."""

    status: Status
    checks: list[Check]
    security: str | None = None
    outcome: Annotated[Released | Refunded, Field(discriminator="outcome")] | None = None
    validators: int
    decided: Decided | None = None

    @property
    def valid(self) -> bool:
        """Whether every check passed. Whether it is logged and witnessed says the status."""
        return not isinstance(self.status, Invalid)

    @property
    def witnessed(self) -> bool:
        """Whether it is valid, logged, and enough independent witnesses vouch for the log."""
        return isinstance(self.status, Witnessed)

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.ok]

    def raise_if_invalid(self) -> None:
        """Raises `EvidenceError` if any check failed."""
        if not self.valid:
            raise EvidenceError("receipt_invalid", "; ".join(f"{check.name}: {check.detail}" for check in self.failures))

    def __str__(self) -> str:
        status = self.status
        words: str = status.state
        if isinstance(status, Witnessed):
            words += f" by {status.k} of {status.n} independent witnesses"
        elif isinstance(status, Unwitnessed):
            words += f": {status.k} of {status.n} independent witnesses cosigned, {status.quorum} are needed"
        elif isinstance(status, Pending):
            words += f": {', '.join(status.entries)} not logged yet"
        if self.decided:
            words += f"; decided by {self.decided.k} of {self.decided.n} members"
        lines = [f"{words}; {sum(check.ok for check in self.checks)} of {len(self.checks)} checks passed"]
        lines += [f"  failed: {check.name}: {check.detail}" for check in self.failures]
        if self.security:
            lines.append(f"  security: {self.security}")
        if isinstance(self.outcome, Released):
            lines += [f"  paid: {part.amount} to {part.participant}" for part in self.outcome.split]
        elif isinstance(self.outcome, Refunded):
            lines.append(f"  refunded: {self.outcome.amount} to {self.outcome.consumer} ({self.outcome.reason})")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = (("passed" if check.ok else "FAILED", check.name, check.detail) for check in self.checks)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        return f"<b>{escape(str(self).splitlines()[0])}</b><details><summary>checks</summary><table>{rows}</table></details>"


_REPORT = TypeAdapter(VerificationReport)


def verify(bundle: bytes, trust: Trust) -> VerificationReport:
    """Verifies the bytes of a receipt bundle or certificate."""
    try:
        return _REPORT.validate_json(_native.verify(bundle, trust.text))
    except _native.NativeError as error:
        raise EvidenceError(error.args[0], error.args[1]) from error
    except ValidationError as error:
        raise UnexpectedResponseError("the native core and this package are of different versions") from error


def verify_file(path: str | Path, trust: str | Path | Trust) -> VerificationReport:
    """Verifies a receipt or certificate that was saved to a file. Needs no exchange."""
    return verify(Path(path).read_bytes(), Trust.load(trust))
