"""The HTTP API as commands use it: one call, and every failure as a code with a sentence."""

from typing import Any, NoReturn
from urllib.parse import quote

import httpx2
import msgspec

from penstock.cli.output import fail
from penstock.domain.errors import CATALOGUE
from penstock.service.keys import find_key, key_path
from penstock.service.settings import Settings


class Api:
    """A connection to the HTTP port named by the settings, with the key of the settings."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json
        key = find_key(settings)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = httpx2.Client(base_url=settings.url, headers=headers, timeout=httpx2.Timeout(75, connect=5))

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON answer; leaves the program with the problem if there is one."""
        return self.read(self.send("GET", path, params=params, headers=headers))

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        return self.read(self.send("POST", path, body=body, headers=headers))

    def put(self, path: str, body: Any) -> Any:
        return self.read(self.send("PUT", path, body=body))

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """The answer whatever its status; leaves the program only when there is none."""
        answer = self._request(method, path, body, params, headers)
        if isinstance(answer, httpx2.Response):
            return answer
        if isinstance(answer, httpx2.TimeoutException):
            return fail("unavailable", f"{self._settings.url} did not answer in time.", as_json=self._as_json)
        return fail(
            "unavailable",
            f"Nothing answers at {self._settings.url} ({answer}).",
            "Start it with `penstock up`, or name another address in PENSTOCK_URL.",
            as_json=self._as_json,
        )

    def look(
        self, path: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response | None:
        """The answer to a GET, or None while there is none and while the service says that it is not available."""
        answer = self._request("GET", path, None, params, headers)
        return answer if isinstance(answer, httpx2.Response) and answer.status_code != 503 else None

    def _request(
        self, method: str, path: str, body: Any, params: dict[str, str] | None, headers: dict[str, str] | None
    ) -> httpx2.Response | Exception:
        content = msgspec.json.encode(body) if body is not None else None
        sent = {"Content-Type": "application/json", **(headers or {})} if content is not None else headers
        try:
            return self.client.request(method, path, content=content, params=params, headers=sent)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return error

    def read(self, response: httpx2.Response) -> Any:
        """The JSON value of a good answer; leaves the program with the problem of a bad one."""
        if response.status_code < 400:
            return msgspec.json.decode(response.content) if response.content else None
        return self.fail_with(response)

    def fail_with(self, response: httpx2.Response) -> NoReturn:
        """Print the problem document of this answer and leave."""
        try:
            problem = msgspec.json.decode(response.content)
            code, detail = str(problem["code"]), str(problem["detail"])
            if code in CATALOGUE:
                # The hint goes to its own line, as with errors found on this side.
                detail = detail.removesuffix(CATALOGUE[code].hint).rstrip()
            pointers = [(str(error["pointer"]), str(error["detail"])) for error in problem.get("errors") or []]
            fields = [f"\n  {pointer}: {text}" for pointer, text in pointers if text not in detail]
            failure = problem.get("error")
            if failure:
                # An execution that ended without a result: what the function raised says more than that.
                told = f"{failure['type']}: {failure['message']}" if failure["type"] else failure["message"]
                fields.append("\n" + (failure["stack"] or told).rstrip())
        except (msgspec.DecodeError, KeyError, TypeError):
            code, fields, pointers = "internal", [], []
            detail = f"{self._settings.url} answered {response.status_code} and not in our format."
        hint = None
        if code == "unauthorized":
            hint = f"Set PENSTOCK_API_KEY, or PENSTOCK_DATA_DIR if the key is not in {key_path(self._settings)}."
        fail(code, detail + "".join(fields), hint, as_json=self._as_json, pointers=pointers)


def segment(text: str) -> str:
    """A name or id as one segment of a path."""
    return quote(text, safe="")
