"""`Client`: functions, events and executions by name from any Python program, over HTTP."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from penstock.client.errors import ExecutionFailed, PenstockError
from penstock.client.execution import Duration, Execution
from penstock.client.http import DEFAULT_URL, check, problem_of
from penstock.client.stream import Change, changes
from penstock.domain.durations import seconds
from penstock.domain.function.options import CallOptions
from penstock.domain.ids import is_execution_id, is_function_name
from penstock.domain.limits import wait_seconds_max
from penstock.functions.calls import arguments
from penstock.functions.options import call_options
from penstock.functions.values import to_json
from penstock.service.settings import load_settings

POLL_SECONDS = 20.0
"""How long one request for a result waits; longer waits are made of several."""
PAUSE_SECONDS = 0.1
AWAY_SECONDS = 60.0
"""How long Penstock may be away while somebody waits for a result."""


class NamedFunction:
    """A function known only by its name, with the options of one call."""

    def __init__(self, client: "Client", name: str, options: CallOptions) -> None:
        self._client = client
        self._name = name
        self._options = options

    def options(self, **options: Any) -> "NamedFunction":
        """The same with options of one call, as `Function.options` takes them."""
        return NamedFunction(self._client, self._name, call_options(options))

    async def enqueue(self, *args: Any, **kwargs: Any) -> Execution:
        """Make an execution; when this returns it is stored. Raises PenstockError."""
        return await self._client.send(self._name, *arguments(args, kwargs), self._options)


class Client:
    """A connection to Penstock. Without arguments it goes where PENSTOCK_URL and PENSTOCK_API_KEY say."""

    def __init__(self, url: str | None = None, api_key: str | None = None) -> None:
        settings = load_settings()
        self.url = (url or settings.url or DEFAULT_URL).rstrip("/")
        key = settings.api_key if api_key is None else api_key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written = ""
        """Position of the last write: what is read afterwards reflects it."""

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections; it may be used again afterwards."""
        http, self._http = self._http, None
        if http is not None and self._loop is asyncio.get_running_loop():
            await http.aclose()

    # What it does by name.
    def function(self, name: str) -> NamedFunction:
        return NamedFunction(self, name, CallOptions())

    async def enqueue(
        self, name: str, /, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any
    ) -> Execution:
        """Make an execution of the named function; `function(name).enqueue` if a parameter is called `options`."""
        return await self.send(name, *arguments(args, kwargs), call_options(options or {}))

    async def event(self, name: str, data: Any = None) -> str:
        """Publish an event; when this returns it is stored. Answers with its id."""
        body = msgspec.json.encode({"name": name, "data": msgspec.Raw(arguments([data], {})[0][1:-1])})
        return str((await self._call("POST", "/v1/events", body))["id"])

    def execution(self, execution_id: str) -> Execution:
        """The handle of an execution that exists already."""
        if not is_execution_id(execution_id):
            raise PenstockError("unknown_execution", f"{execution_id!r:.80} is no execution id (32 hex digits).")
        return Execution(execution_id, self)

    async def send(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Execution:
        """Make an execution from JSON arguments."""
        if not is_function_name(function):
            raise PenstockError("invalid_name", f"{function!r:.80} is no function name.")
        body = msgspec.json.encode(
            {"args": msgspec.Raw(args), "kwargs": msgspec.Raw(kwargs), "options": msgspec.to_builtins(options)}
        )
        made = await self._call("POST", f"/v1/functions/{function}/executions", body)
        self._written = str(made.get("sequence") or self._written)
        return Execution(str(made["id"]), self)

    # What handles ask.
    async def result(self, execution_id: str, timeout: Duration | None) -> Any:
        answered = time.monotonic()
        deadline = None if timeout is None else answered + seconds(timeout, "timeout")
        while True:
            left = POLL_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
            wait = int(min(left, POLL_SECONDS, wait_seconds_max))
            headers = {"Prefer": f"wait={wait}"} if wait else {}
            started = time.monotonic()
            try:
                response = await self._request(
                    "GET", self._read(execution_id, "/result"), headers=headers, patience=wait
                )
            except PenstockError:
                # It may be starting again; a handle outlives that.
                if time.monotonic() >= min(answered + AWAY_SECONDS, deadline or math.inf):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            answered = time.monotonic()
            if response.status_code == 200:
                return msgspec.json.decode(response.content)
            if response.status_code == 409:
                raise _failure(execution_id, response)
            check(response)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"Execution {execution_id} has not ended within {timeout}.")
            if time.monotonic() - started < wait:
                # It was answered early without an end; such a server must not be asked in a tight loop.
                await asyncio.sleep(PAUSE_SECONDS)
            elif not wait:
                await asyncio.sleep(min(PAUSE_SECONDS, left))

    async def state(self, execution_id: str) -> str:
        return str((await self._call("GET", self._read(execution_id)))["state"])

    async def cancel(self, execution_id: str, force: bool = False) -> None:
        await self._call("POST", f"/v1/executions/{execution_id}/cancel", msgspec.json.encode({"force": force}))

    async def reschedule(self, execution_id: str, delay: Duration | None = None) -> None:
        body = {} if delay is None else {"delay": seconds(delay, "delay")}
        await self._call("POST", f"/v1/executions/{execution_id}/reschedule", msgspec.json.encode(body))

    async def rerun(self, execution_id: str, from_step: str | None = None) -> Execution:
        body = {} if from_step is None else {"from_step": from_step}
        made = await self._call("POST", f"/v1/executions/{execution_id}/rerun", msgspec.json.encode(body))
        return Execution(str(made["id"]), self)

    async def resume(self, execution_id: str) -> None:
        await self._call("POST", f"/v1/executions/{execution_id}/resume", b"{}")

    async def message(self, execution_id: str, body: bytes, channel: str, message_id: str | None) -> str:
        content: dict[str, Any] = {"body": msgspec.Raw(body), "channel": channel}
        if message_id is not None:
            content["id"] = message_id
        made = await self._call("POST", f"/v1/executions/{execution_id}/messages", msgspec.json.encode(content))
        return str(made["id"])

    def stream(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        execution: str | None = None,
        parent_id: str | None = None,
        metadata: dict[str, str] | None = None,
        after: str | None = None,
    ) -> AsyncIterator[Change]:
        """Changes of executions as they happen, or from a position on; it comes back by itself where it broke off.

        Ends never. Raises PenstockError when it is refused, and when nobody answers for a minute.
        """
        named = {"state": state, "function": function, "execution": execution, "parent_id": parent_id}
        named |= {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        params = {name: value for name, value in named.items() if value is not None}
        return changes(self._client(), self.url, self._headers, params, after or "")

    # Tokens.
    async def complete_token(self, token: str, result: Any = None) -> None:
        """End the wait for this token (its id or its address) with a value. The token is the right: it needs no key."""
        await self._use(token, {"result": msgspec.Raw(to_json(result))})

    async def reject_token(self, token: str, message: str = "") -> None:
        """End the wait for this token with TokenRejected."""
        await self._use(token, {"error": {"message": message}})

    async def _use(self, token: str, body: dict[str, Any]) -> None:
        name = quote(token.rpartition("/")[2], safe="")
        await self._call("POST", f"/v1/tokens/{name}", msgspec.json.encode(body))

    def _read(self, execution_id: str, part: str = "") -> str:
        after = f"?after={quote(self._written)}" if self._written else ""
        return f"/v1/executions/{execution_id}{part}{after}"

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        response = await self._request(method, path, body)
        check(response)
        return msgspec.json.decode(response.content, type=dict[str, Any]) if response.content else {}

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        patience: float = 0,
    ) -> httpx2.Response:
        sent = {**self._headers, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            return await self._client().request(
                method, self.url + path, content=body, headers=sent, timeout=httpx2.Timeout(10.0, read=30.0 + patience)
            )
        except httpx2.HTTPError as error:
            detail = f"Penstock does not answer at {self.url} ({type(error).__name__}). Start it, or set PENSTOCK_URL."
            raise PenstockError("unavailable", detail) from error

    def _client(self) -> httpx2.AsyncClient:
        # Connections belong to one event loop; `asyncio.run` called twice makes two.
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            self._http, self._loop = httpx2.AsyncClient(), loop
        return self._http


def _failure(execution_id: str, response: httpx2.Response) -> PenstockError:
    problem = problem_of(response)
    error = problem.get("error") or {}
    return ExecutionFailed(
        execution_id,
        str(problem.get("state") or "failed"),
        str(error.get("code") or problem.get("code") or "user_error"),
        str(error.get("type") or ""),
        str(error.get("message") or problem.get("detail") or ""),
        str(error.get("stack") or ""),
    )


_default: Client | None = None


def default_client() -> Client:
    """The client that `.enqueue` uses in a process that is no runner."""
    global _default
    if _default is None:
        _default = Client()
    return _default
