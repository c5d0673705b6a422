"""A reminder for every issue that is opened on GitHub.

GitHub sends its `issues` webhook as JSON; that JSON is the data of an event `github.issues`. An example payload ships
with this module:

    python -m penstock.examples.github                              # publishes the shipped payload
    python -m penstock.examples.github payload.json --after 10s     # another one, with an earlier reminder
"""

import argparse
import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from penstock import App, Client, Context, Event, PenstockError, Terminal
from penstock.service.keys import find_key
from penstock.service.settings import load_settings

app = App("github", retries=2, timeout="1m")

REMIND_AFTER = "24h"
LABEL_PREFIX = "remind:"
"""A label such as `remind:2h` on the issue sets another time."""


class Label(msgspec.Struct, frozen=True):
    name: str


class User(msgspec.Struct, frozen=True):
    login: str


class Issue(msgspec.Struct, frozen=True):
    number: int
    title: str
    html_url: str
    user: User
    labels: list[Label] = []


class Repository(msgspec.Struct, frozen=True):
    full_name: str


class IssuesPayload(msgspec.Struct, frozen=True):
    """The part of GitHub's payload that matters here."""

    action: str
    issue: Issue
    repository: Repository
    sender: User


@app.function(on="github.issues", when="event.data.action == 'opened'")
def issue_opened(event: Event) -> dict[str, Any]:
    """Order a reminder for an issue that was just opened."""
    try:
        payload = msgspec.convert(event.data, IssuesPayload)
    except msgspec.ValidationError as error:
        raise Terminal(f"This is no payload of GitHub's issues webhook: {error}") from None
    repository, issue = payload.repository.full_name, payload.issue
    after = _remind_after(event.data, issue)
    reminder = remind.options(
        delay=after,
        metadata={"repository": repository, "issue": str(issue.number)},
        # GitHub delivers a webhook again when it heard no answer: still one reminder.
        idempotency_key=f"{repository}#{issue.number}",
    ).enqueue(repository, issue.number, issue.title, issue.html_url, issue.user.login)
    print(f"{repository}#{issue.number}: reminder in {after}")
    return {"reminder": reminder.id, "after": after}


@app.function
def remind(ctx: Context, repository: str, number: int, title: str, url: str, author: str) -> dict[str, Any]:
    """The reminder itself: its result and its log line are what a notification would carry."""
    text = f"{repository}#{number} by {author} waits for an answer: {title} ({url})"
    ctx.logger.info(text)
    return {"text": text, "repository": repository, "issue": number}


def _remind_after(data: dict[str, Any], issue: Issue) -> str:
    for label in issue.labels:
        if label.name.startswith(LABEL_PREFIX):
            return label.name.removeprefix(LABEL_PREFIX).strip()
    return str(data.get("remind_after") or REMIND_AFTER)


def sample() -> dict[str, Any]:
    """The payload that ships with this module."""
    content = files("penstock.examples").joinpath("payloads/github-issues-opened.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Any])


async def publish(payload: dict[str, Any]) -> str:
    """Publish the payload as an event; answers with the event's id."""
    async with Client(api_key=find_key(load_settings())) as client:
        return await client.event("github.issues", payload)


def main() -> None:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m penstock.examples.github", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("payload", type=Path, nargs="?", help="a JSON file; without one, the payload that is shipped")
    parser.add_argument("--after", help="when to remind, such as 10s; a label `remind:2h` on the issue goes before it")
    given = parser.parse_args()
    try:
        payload = msgspec.json.decode(given.payload.read_bytes(), type=dict[str, Any]) if given.payload else sample()
        if given.after:
            payload["remind_after"] = given.after
        event_id = asyncio.run(publish(payload))
    except (OSError, msgspec.DecodeError, PenstockError) as error:
        parser.exit(1, f"{error}\n")
    print(f"event {event_id} published for issue {payload['issue']['number']}")


if __name__ == "__main__":
    main()
