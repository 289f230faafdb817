# Made by generate_sync.py from _async/transport.py; change that and run it again.
# fmt: off
"""Requests: tokens, retries, idempotency keys, typed errors, pages, events."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx2
from pydantic import JsonValue, TypeAdapter, ValidationError

from entrepot import _native
from entrepot._io import Lock, sleep
from entrepot._retry import RetryPolicy
from entrepot._sse import EventParser, ServerEvent
from entrepot._version import VERSION
from entrepot.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    UnexpectedResponseError,
    api_error,
)
from entrepot.models import View

ViewType = TypeVar("ViewType", bound=View)

# No answer of the exchange is longer: results have at most 70,000 cells, and bundles a dozen statements of a megabyte.
BODY_BYTES_MAX = 64 << 20
_ASSERTION_LIFETIME_S = 60
# A token is renewed this long before it expires, so that none expires on the way.
_RENEW_BEFORE_S = 30
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


class _Token(View):
    access_token: str
    expires_in: int = 60


class _Metadata(View):
    issuer: str


class _Page(View):
    items: list[JsonValue]
    next_cursor: str | None = None


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    status: int
    body: bytes

    def json(self) -> JsonValue:
        """The JSON of the body."""
        try:
            return _JSON.validate_json(self.body)
        except ValidationError as error:
            raise UnexpectedResponseError("the exchange's answer is not JSON") from error

    def view(self, kind: type[ViewType]) -> ViewType:
        """The body as a record."""
        return parse_view(kind, self.json())


def parse_view(kind: type[ViewType], value: JsonValue) -> ViewType:
    """JSON as a record."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:3])
        raise UnexpectedResponseError(f"the exchange's answer is not of the documented shape: {where}") from error


@dataclass(frozen=True)
class TransportOptions:
    """How requests are made; `connector` replaces the network in tests."""

    timeout_s: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ca: str | None = None
    connector: httpx2.BaseTransport | None = None


class Transport:
    """A connection to one exchange in the name of one key."""

    def __init__(self, url: str, key: _native.Key | None, exchange: str | None, options: TransportOptions) -> None:
        self.key = key
        self._exchange = exchange
        self.retry = options.retry
        self._timeout_s = options.timeout_s
        self._token: tuple[str, float] | None = None
        self._token_lock = Lock()
        verify = ssl.create_default_context(cafile=options.ca) if options.ca else True
        self._http = httpx2.Client(
            base_url=url,
            timeout=options.timeout_s,
            transport=options.connector,
            verify=verify,
            follow_redirects=False,
            headers={"user-agent": f"entrepot-python/{VERSION}"},
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str] | None = None, *, anonymous: bool = False) -> Answer:
        """GET."""
        return self._request("GET", path, params=params, anonymous=anonymous)

    def post(
        self, path: str, body: Mapping[str, JsonValue], *, anonymous: bool = False, idempotency_key: str | None = None
    ) -> Answer:
        """POST of JSON. One Idempotency-Key for all its tries, so that it takes effect once however often it is sent."""
        content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "idempotency-key": idempotency_key or _native.random_token()}
        return self._request("POST", path, content=content, headers=headers, anonymous=anonymous)

    def pages(self, path: str, kind: type[ViewType], params: Mapping[str, str] | None = None) -> Iterator[ViewType]:
        """Every item of a list, page after page."""
        cursor: str | None = None
        while True:
            query = {**(params or {}), **({"cursor": cursor} if cursor else {})}
            page = (self.get(path, query)).view(_Page)
            for item in page.items:
                yield parse_view(kind, item)
            if not page.next_cursor or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    def events(self, path: str, last_event_id: str | None, read_timeout_s: float) -> Iterator[ServerEvent]:
        """Server-sent events until the exchange or the network ends them; raises `ConnectionFailedError` if the network does."""
        headers = {"accept": "text/event-stream", **self._authorization()}
        if last_event_id is not None:
            headers["last-event-id"] = last_event_id
        parser = EventParser(last_event_id)
        timeout = httpx2.Timeout(self._timeout_s, read=read_timeout_s)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.status_code != 200:
                    raise _refused(response, _read(response))
                for line in response.iter_lines():
                    event = parser.line(line)
                    if event is not None:
                        yield event
        except (httpx2.TransportError, ValueError) as error:
            raise ConnectionFailedError(f"the stream of events broke off: {type(error).__name__}") from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        renewed = False
        attempt = 0
        while True:
            authorization = {} if anonymous else self._authorization()
            try:
                return self._once(method, path, params, content, {**(headers or {}), **authorization})
            except AuthenticationError:
                # The exchange may have restarted with other keys, or our clock may be slow: one new token, then it is final.
                if anonymous or renewed:
                    raise
                renewed, self._token = True, None
                continue
            except _Retryable as retryable:
                if attempt >= self.retry.retries_max:
                    raise retryable.error from retryable.__cause__
                pause_s = self.retry.pause_s(attempt, retryable.retry_after)
            attempt += 1
            sleep(pause_s)

    def _once(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        try:
            with self._http.stream(method, path, params=params, content=content, headers=headers) as response:
                body = _read(response)
                if 200 <= response.status_code < 300:
                    return Answer(response.status_code, body)
                error = _refused(response, body)
                if self.retry.is_retryable(error.status, error.code):
                    raise _Retryable(error, response.headers.get("retry-after"))
                raise error
        except httpx2.TransportError as failure:
            unreachable = ConnectionFailedError(f"the exchange at {self._http.base_url} cannot be reached: {failure}")
            raise _Retryable(unreachable, None) from failure

    def _authorization(self) -> dict[str, str]:
        with self._token_lock:
            if self._token is None or time.monotonic() >= self._token[1]:
                self._token = self._new_token()
            return {"authorization": f"Bearer {self._token[0]}"}

    def _new_token(self) -> tuple[str, float]:
        if self.key is None:
            raise ConfigurationError("no key: pass the path of a key file, or set ENTREPOT_KEY")
        if self._exchange is None:
            # Whom to address comes from the exchange itself here: the assertion is of use to whoever it names, and nobody else.
            self._exchange = (self._request("GET", _METADATA_PATH, anonymous=True)).view(_Metadata).issuer
        attempt = 0
        while True:
            now_s = int(time.time())
            # A fresh assertion each time: the exchange takes each one once.
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": self.key.client_assertion(self._exchange, now_s, now_s + _ASSERTION_LIFETIME_S),
            }
            content = str(httpx2.QueryParams(form)).encode()
            headers = {"content-type": "application/x-www-form-urlencoded"}
            try:
                token = (self._once("POST", "/v1/token", None, content, headers)).view(_Token)
                return token.access_token, time.monotonic() + max(token.expires_in - _RENEW_BEFORE_S, 1)
            except _Retryable as retryable:
                if attempt >= self.retry.retries_max:
                    raise retryable.error from retryable.__cause__
                pause_s = self.retry.pause_s(attempt, retryable.retry_after)
            attempt += 1
            sleep(pause_s)


_METADATA_PATH = "/.well-known/oauth-authorization-server"


class _Retryable(Exception):
    """Another try may do better."""

    def __init__(self, error: ApiError | ConnectionFailedError, retry_after: str | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise UnexpectedResponseError(f"the exchange's answer is longer than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _refused(response: httpx2.Response, body: bytes) -> ApiError:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    return api_error(response.status_code, problem, response.headers.get("x-request-id"))
