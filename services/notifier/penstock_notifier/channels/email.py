"""E-mail by SMTP: plain text, one thread per incident."""

import socket
from email.message import EmailMessage
from email.utils import formatdate

import aiosmtplib

from penstock.domain.errors import Rejected
from penstock.domain.notify.channels import Email
from penstock.domain.notify.notice import cut
from penstock_notifier.channels.webhook import ReadSecret
from penstock_notifier.message import Message, Refused, Sent

SECONDS = 30.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}


class EmailSender:
    """One list of receivers."""

    def __init__(self, channel: Email, read_secret: ReadSecret) -> None:
        self._channel = channel
        self._read_secret = read_secret

    async def send(self, message: Message) -> Sent:
        """Raises Refused."""
        channel = self._channel
        try:
            password = self._read_secret(channel.password) if channel.password else None
            answer = await aiosmtplib.send(
                mail_of(message, channel.sender, channel.to),
                hostname=channel.host,
                port=channel.port or PORTS[channel.tls],
                use_tls=channel.tls == "tls",
                start_tls=channel.tls == "starttls",
                username=channel.username or None,
                password=password,
                # Its own way to find the name may wait for DNS, and everything else with it.
                local_hostname=socket.gethostname() or "localhost",
                timeout=SECONDS,
            )
        except Rejected as error:
            raise Refused(error.detail) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Refused(f"SMTP: {cut(str(error) or type(error).__name__)}") from None
        refused = ", ".join(sorted(answer[0]))
        return Sent(f"sent, but not to {refused}" if refused else "sent")


def mail_of(message: Message, sender: str, to: list[str]) -> EmailMessage:
    """The mail about a notice. A repeat has the same Message-ID, by which mail programs know it."""
    notice = message.notice
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = cut(" ".join(f"[{message.environment}] {notice.text}".split()), 150)
    mail["Date"] = formatdate(notice.at / 1_000_000)
    mail["Message-ID"] = message_id(message.id)
    mail["Auto-Submitted"] = "auto-generated"
    if notice.incident and notice.incident != notice.id:
        mail["In-Reply-To"] = mail["References"] = message_id(notice.incident)
    mail.set_content(text_of(message))
    return mail


def message_id(notification: str) -> str:
    return f"<{notification}@penstock.invalid>"


def text_of(message: Message) -> str:
    """The notice in plain text, with where to go on from."""
    notice = message.notice
    lines = [notice.text, ""]
    if notice.execution_id:
        lines += [f"Open, rerun or cancel: {message.page}"]
        if message.trace:
            lines += [f"Trace: {message.trace}"]
        lines += ["", f"Execution: {notice.execution_id}"]
    if notice.attempt:
        lines += [f"Attempt: {notice.attempt}"]
    if notice.count > 1:
        lines += [f"Times: {notice.count}"]
    lines += [f"{key}: {value}" for key, value in sorted(message.metadata.items())]
    lines += [f"Environment: {message.environment}", f"Rule: {notice.rule}"]
    if message.arguments is not None:
        lines += [f"{name}: {bytes(value).decode()}" for name, value in message.arguments.items()]
    if notice.error is not None and notice.error.stack:
        lines += ["", notice.error.stack]
    return "\n".join(lines) + "\n"
