"""Everything that this package raises.

Each error says what to do next. Errors of the exchange carry its stable `code` and the `request_id` that names the request in its log.
"""

from __future__ import annotations

from pydantic import JsonValue


class EntrepotError(Exception):
    """Anything that this package raises."""


class ConfigurationError(EntrepotError):
    """The client lacks something or was given something unusable: an address, a key, a trust file."""


class PlanError(EntrepotError):
    """The query has no plan: it breaks a rule of the language or of a policy. Nothing was sent."""

    def __init__(self, code: str, rule: str, detail: str, hint: str) -> None:
        super().__init__(f"{detail} (rule {rule}); {hint}")
        self.code = code
        self.rule = rule
        self.detail = detail
        self.hint = hint


class ConnectionFailedError(EntrepotError):
    """The exchange could not be reached, not even after retries. What a request did, if anything, is unknown: look before you repeat it."""


class OrderUncertainError(EntrepotError):
    """An order was signed and sent, and whether it was taken is unknown. Do not order again: send the same one again, later or from another
    process, with `client.orders.place(error.envelope)`; it is taken and paid at most once."""

    def __init__(self, order_id: str, envelope: dict[str, JsonValue], cause: EntrepotError) -> None:
        super().__init__(f"whether order {order_id} was taken is unknown ({cause}); send it again with client.orders.place(error.envelope)")
        self.order_id = order_id
        self.envelope = envelope


class UnexpectedResponseError(EntrepotError):
    """The exchange answered with something that is not of the documented shape."""


class EvidenceError(EntrepotError):
    """What the exchange or a worker said contradicts what was signed, or was signed by nobody you trust. Nothing of it was believed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ApiError(EntrepotError):
    """The exchange refused a request."""

    def __init__(self, status: int, code: str, detail: str, hint: str | None = None, request_id: str | None = None) -> None:
        text = f"{detail} [{code}]"
        if hint:
            text += f"; {hint}"
        if request_id:
            text += f" (request {request_id})"
        super().__init__(text)
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.request_id = request_id


class BadRequestError(ApiError):
    """400: malformed."""


class AuthenticationError(ApiError):
    """401: the token was not accepted."""


class PaymentRequiredError(ApiError):
    """402: the balance is too small."""


class ForbiddenError(ApiError):
    """403: your roles do not allow it."""


class NotFoundError(ApiError):
    """404: there is no such thing, or it is not yours to see."""


class ConflictError(ApiError):
    """409: the thing is in a state that does not allow it."""


class UnprocessableError(ApiError):
    """422: well formed, but not acceptable."""


class RateLimitError(ApiError):
    """429: too many requests, also after retries."""


class ServerError(ApiError):
    """5xx: the exchange failed, also after retries."""


class JobError(EntrepotError):
    """A job that gives no result, now or ever."""

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobRefundedError(JobError):
    """The job ended without a result and the price went back."""

    def __init__(self, job_id: str, reason: str, detail: str | None = None) -> None:
        super().__init__(job_id, f"job {job_id} was refunded: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason
        self.detail = detail


class JobTimeoutError(JobError):
    """The job was not finished in time; it goes on. Fetch it again with `client.jobs.get(...)`."""


class ResultWithheldError(JobError):
    """The job is paid, but its result was not handed over.

    Workers keep it 30 days: fetch it again later, or, when the job has become undelivered, show the regulator the receipt.
    """


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    429: RateLimitError,
}


def api_error(status: int, problem: object, request_id: str | None) -> ApiError:
    """The typed error of a problem document (RFC 9457), however broken."""
    fields = problem if isinstance(problem, dict) else {}

    def text(name: str) -> str | None:
        value = fields.get(name)
        return value if isinstance(value, str) else None

    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    return kind(
        status,
        text("code") or f"http_{status}",
        text("detail") or text("title") or f"the exchange answered {status}",
        text("hint"),
        text("request_id") or request_id,
    )
