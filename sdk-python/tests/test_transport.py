"""Retries, idempotency keys, errors, tokens, pages."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

import entrepot
from entrepot import _native
from entrepot._retry import RetryPolicy
from entrepot._sync import transport
from entrepot._sync.transport import Transport, TransportOptions
from entrepot.models import View
from tests.world import key

Handler = Callable[[httpx2.Request], httpx2.Response]
EXCHANGE = key().did


class Item(View):
    """A thing on a page."""

    name: str


class Script:
    """Answers from a list; the token endpoint apart."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx2.Request] = []
        self.tokens: list[dict[str, list[str]]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/token":
            self.tokens.append({name: [value] for name, value in httpx2.QueryParams(request.content.decode()).items()})
            return httpx2.Response(200, json={"access_token": f"t{len(self.tokens)}", "expires_in": 900})
        self.seen.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def connect(script: Handler, retry: RetryPolicy | None = None, signer: _native.Key | None = None) -> Transport:
    options = TransportOptions(retry=retry or RetryPolicy(pause_first_s=0.0), connector=httpx2.MockTransport(script))
    return Transport("http://exchange.test", signer or key(), EXCHANGE, options)


def problem(status: int, code: str, **more: Any) -> httpx2.Response:
    return httpx2.Response(status, json={"code": code, "detail": "no", "status": status, **more})


def test_a_post_keeps_its_idempotency_key_over_all_tries_and_another_post_has_another() -> None:
    script = Script(
        problem(503, "unavailable"), httpx2.ConnectError("refused"), httpx2.Response(200, json={}), httpx2.Response(200, json={})
    )
    http = connect(script)
    http.post("/v1/orders", {"a": 1})
    http.post("/v1/orders", {"a": 1})
    keys = [request.headers["idempotency-key"] for request in script.seen]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert {request.content for request in script.seen} == {b'{"a":1}'}


@pytest.mark.parametrize(
    ("status", "code"), [(408, "timeout"), (429, "too_many"), (500, "internal"), (502, "x"), (503, "x"), (409, "idempotency_in_flight")]
)
def test_what_may_go_better_is_tried_twice_more_and_then_told(status: int, code: str) -> None:
    script = Script(*(problem(status, code) for _ in range(3)))
    with pytest.raises(entrepot.ApiError) as caught:
        connect(script).get("/v1/jobs")
    assert (len(script.seen), caught.value.status, caught.value.code) == (3, status, code)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_json", entrepot.BadRequestError),
        (402, "balance_too_small", entrepot.PaymentRequiredError),
        (403, "role_missing", entrepot.ForbiddenError),
        (404, "not_found", entrepot.NotFoundError),
        (409, "quota_spent", entrepot.ConflictError),
        (422, "idempotency_key_reused", entrepot.UnprocessableError),
    ],
)
def test_a_refusal_is_final_typed_and_says_what_to_do(status: int, code: str, kind: type[entrepot.ApiError]) -> None:
    script = Script(problem(status, code, hint="do this", request_id="r1"))
    with pytest.raises(kind) as caught:
        connect(script).post("/v1/orders", {})
    assert len(script.seen) == 1
    assert (caught.value.code, caught.value.hint, caught.value.request_id) == (code, "do this", "r1")
    assert "do this" in str(caught.value)


def test_an_answer_that_is_no_problem_document_is_an_error_all_the_same() -> None:
    with pytest.raises(entrepot.ApiError) as caught:
        connect(Script(httpx2.Response(418, content=b"<html>", headers={"x-request-id": "r2"}))).get("/")
    assert (caught.value.code, caught.value.request_id) == ("http_418", "r2")


def test_an_unreachable_exchange_is_told_after_the_retries() -> None:
    script = Script(*(httpx2.ConnectTimeout("slow") for _ in range(3)))
    with pytest.raises(entrepot.ConnectionFailedError, match=r"exchange\.test"):
        connect(script).get("/v1/jobs")
    assert len(script.seen) == 3


def test_retry_after_is_honoured_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(transport, "sleep", pauses.append)
    script = Script(
        httpx2.Response(429, json={}, headers={"retry-after": "7"}),
        httpx2.Response(503, json={}, headers={"retry-after": "86400"}),
        httpx2.Response(200, json={}),
    )
    connect(script).get("/v1/jobs")
    assert pauses == [7.0, 30.0]


def test_pauses_grow_and_vary() -> None:
    policy = RetryPolicy(pause_first_s=1.0)
    for attempt, longest in ((0, 1.0), (1, 2.0), (2, 4.0), (10, 30.0)):
        pauses = {policy.pause_s(attempt) for _ in range(20)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1
    assert policy.pause_s(0, "Wed, 21 Oct 2015 07:28:00 GMT") <= 1.0


def test_a_token_is_kept_renewed_once_when_refused_and_then_it_is_final() -> None:
    script = Script(httpx2.Response(200, json={}), problem(401, "token_expired"), httpx2.Response(200, json={}))
    http = connect(script)
    http.get("/a")
    http.get("/b")
    assert [request.headers["authorization"] for request in script.seen] == ["Bearer t1", "Bearer t1", "Bearer t2"]
    script.answers = [problem(401, "x"), problem(401, "x")]
    with pytest.raises(entrepot.AuthenticationError):
        http.get("/c")


def test_a_token_is_renewed_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    script = Script(httpx2.Response(200, json={}), httpx2.Response(200, json={}))
    http = connect(script)
    http.get("/a")
    now[0] += 880
    http.get("/b")
    assert len(script.tokens) == 2


def test_the_assertion_names_the_trusted_exchange_and_each_is_used_once() -> None:
    signer = key()
    script = Script(httpx2.Response(200, json={}), problem(401, "x"), httpx2.Response(200, json={}))
    http = connect(script, signer=signer)
    http.get("/a")
    http.get("/b")
    claims = []
    for form in script.tokens:
        assert form["grant_type"] == ["client_credentials"]
        header, body, signature = (base64.urlsafe_b64decode(part + "==") for part in form["client_assertion"][0].split("."))
        assert json.loads(header)["alg"] == "EdDSA"
        assert len(signature) == 64
        claims.append(json.loads(body))
    assert {(claim["iss"], claim["sub"], claim["aud"]) for claim in claims} == {(signer.did, signer.did, EXCHANGE)}
    assert 0 < claims[0]["exp"] - claims[0]["iat"] <= 300
    assert claims[0]["jti"] != claims[1]["jti"]


def test_lists_go_on_page_after_page() -> None:
    script = Script(
        httpx2.Response(200, json={"items": [{"name": "a"}, {"name": "b"}], "next_cursor": "c1"}),
        httpx2.Response(200, json={"items": [{"name": "c"}]}),
    )
    assert [item.name for item in connect(script).pages("/v1/orders", Item, {"job": "j"})] == ["a", "b", "c"]
    assert [dict(request.url.params) for request in script.seen] == [{"job": "j"}, {"job": "j", "cursor": "c1"}]


def test_a_cursor_that_leads_nowhere_does_not_go_on_for_ever() -> None:
    page = {"items": [{"name": "a"}], "next_cursor": "same"}
    script = Script(*(httpx2.Response(200, json=page) for _ in range(3)))
    assert len(list(connect(script).pages("/v1/orders", Item))) == 2


def test_an_answer_of_another_shape_or_endless_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(entrepot.UnexpectedResponseError, match="name"):
        list(connect(Script(httpx2.Response(200, json={"items": [{"nome": 1}]}))).pages("/v1/orders", Item))
    with pytest.raises(entrepot.UnexpectedResponseError, match="not JSON"):
        connect(Script(httpx2.Response(200, content=b"{"))).get("/").json()
    monkeypatch.setattr(transport, "BODY_BYTES_MAX", 1000)
    with pytest.raises(entrepot.UnexpectedResponseError, match="longer"):
        connect(Script(httpx2.Response(200, content=b" " * 2000))).get("/")


def test_redirects_are_not_followed_so_no_token_goes_elsewhere() -> None:
    script = Script(httpx2.Response(302, headers={"location": "http://evil.test/"}))
    with pytest.raises(entrepot.ApiError):
        connect(script).get("/v1/jobs")
    assert len(script.seen) == 1


def test_without_a_key_it_is_said_what_is_missing() -> None:
    options = TransportOptions(connector=httpx2.MockTransport(Script()))
    with pytest.raises(entrepot.ConfigurationError, match="ENTREPOT_KEY"):
        Transport("http://exchange.test", None, EXCHANGE, options).get("/v1/jobs")
