"""The parts of the Node host, each by tests in its own language."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

import penstock_runner
from penstock.domain import limits

HOST = Path(penstock_runner.__file__).parent / "node"
TESTS = Path(__file__).parent / "node"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed: apt-get install nodejs")


@pytest.mark.node
@needs_node
@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.test.cjs")))
def test_the_parts_of_the_node_host_do_what_they_say(name: str) -> None:
    """Each file of tests passes under Node's own runner."""
    done = _node("--test", "--test-reporter=tap", str(TESTS / name))
    assert done.returncode == 0, done.stdout.decode()
    assert int(re.findall(rb"^# pass (\d+)", done.stdout, re.MULTILINE)[0]) > 0


@pytest.mark.node
@needs_node
def test_both_codecs_speak_the_same() -> None:
    """What the one writes, the other reads, both ways."""
    value = [None, True, -(2**40), 2**53 - 1, 1.5, "naïve 𝄞" * 100, b"\x00\xff" * 200, {"a": [{"b": list(range(40))}]}]
    program = f"""
    const {{ decode, encode }} = require({str(HOST / "msgpack.cjs")!r});
    process.stdout.write(encode(decode(require('node:fs').readFileSync(0))));
    """
    done = _node("-e", program, given=msgspec.msgpack.encode(value))
    assert msgspec.msgpack.decode(done.stdout) == value


def test_the_node_host_keeps_the_same_limits() -> None:
    """Its file of limits says what the list of all limits says."""
    text = (HOST / "limits.cjs").read_text(encoding="utf-8")
    found = dict(re.findall(r"^  (\w+): ([\d_* ]+),$", text, re.MULTILINE))
    assert len(found) == 5
    for name, value in found.items():
        product = 1
        for factor in value.split("*"):
            product *= int(factor)
        assert getattr(limits, name) == product


def _node(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert NODE is not None
    return subprocess.run(
        [NODE, *arguments],
        input=given,
        capture_output=True,
        timeout=30,
        check=False,
        env={"PATH": os.environ["PATH"], "NODE_HOST": str(HOST), "TZ": "UTC"},
    )
