"""Receivers of notifications: real servers in the test process that keep what they get."""

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Got(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None


class HttpReceiver:
    """Answers what `reply` says; `hold` keeps answers back until it is set."""

    def __init__(self, reply: Callable[[Got], Reply] | None = None) -> None:
        self.got: list[Got] = []
        self.reply = reply or (lambda got: Reply())
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:
                    return  # the sender died half way
                got = Got(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
                receiver.got.append(got)
                receiver.hold.wait(30)
                reply = receiver.reply(got)
                content = b"" if reply.body is None else json.dumps(reply.body).encode()
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    return  # whoever asked has gone away

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def ids(self) -> list[str]:
        return [got.headers["webhook-id"] for got in list(self.got)]

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


class Slack:
    """As much of Slack's Web API as notifications use, with its rules: a message must exist to be changed."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.threads: dict[str, list[dict[str, Any]]] = {}
        self.tokens: list[str] = []

    def reply(self, got: Got) -> Reply:
        body = got.json
        self.tokens.append(got.headers["authorization"])
        if got.path == "/api/chat.update":
            if body["ts"] not in self.messages or body["channel"] != "C1":
                return Reply(body={"ok": False, "error": "message_not_found"})
            self.messages[body["ts"]] = body
            return Reply(body={"ok": True, "ts": body["ts"], "channel": "C1"})
        if got.path != "/api/chat.postMessage" or body["channel"] not in ("#alerts", "C1"):
            return Reply(body={"ok": False, "error": "channel_not_found"})
        ts = f"1700000000.{len(self.messages) + sum(map(len, self.threads.values())):06d}"
        if "thread_ts" in body:
            self.threads.setdefault(body["thread_ts"], []).append(body)
        else:
            self.messages[ts] = body
        return Reply(body={"ok": True, "ts": ts, "channel": "C1"})


class Mailbox:
    """An SMTP server without TLS that keeps mails."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.logins: list[str] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mailbox\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                writer.write(b"250-mailbox\r\n250 AUTH PLAIN\r\n")
            elif verb == "AUTH":
                self.logins.append(line)
                writer.write(b"235 welcome\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.mails.append((await reader.readuntil(b"\r\n.\r\n"))[:-5])
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 yes\r\n")
        writer.close()
