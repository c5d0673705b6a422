"""The embedded server: found, started once per directory, stopped cleanly, and losing nothing when it is killed."""

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from eventually import eventually
from penstock.jetstream.binary import find_server
from penstock.jetstream.connect import Connection
from penstock.jetstream.provision import provision
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import CONFIG_FILE, EmbeddedServer, is_synced
from penstock.wire.names import Names


def test_the_program_of_the_wheel_is_found() -> None:
    """Nothing needs to be installed by hand."""
    assert find_server().is_file()


def test_a_wrong_path_is_named(tmp_path: Path) -> None:
    """An explicit setting is never silently replaced by another server."""
    with pytest.raises(StartRefused, match="no nats-server at"):
        find_server(tmp_path / "nats-server")


def test_an_old_program_is_refused(tmp_path: Path) -> None:
    """What a distribution ships may be years old."""
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho 'nats-server: v2.9.10'\n")
    program.chmod(0o755)
    with pytest.raises(StartRefused, match=r"v2\.9\.10; Penstock needs nats-server 2\.14 or newer"):
        find_server(program)


async def test_a_second_server_on_a_data_directory_is_refused(own_server: EmbeddedServer) -> None:
    """Two servers on one store would destroy it."""
    with pytest.raises(StartRefused) as refused:
        await EmbeddedServer(own_server.data_dir, 0).start()
    assert refused.value.code == "data_dir_in_use"
    for part in (str(os.getpid()), str(own_server.data_dir), "PENSTOCK_DATA_DIR"):
        assert part in str(refused.value)
    assert await _accepts(own_server)


async def test_a_busy_port_names_its_setting(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """The sentence says what to set."""
    with pytest.raises(StartRefused, match="PENSTOCK_NATS_PORT") as refused:
        await EmbeddedServer(tmp_path / "other", own_server.port).start()
    assert refused.value.code == "port_busy"


async def test_a_refused_start_leaves_the_directory_free(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """After a busy port the same directory can be started on another."""
    with pytest.raises(StartRefused):
        await EmbeddedServer(tmp_path / "other", own_server.port).start()
    second = EmbeddedServer(tmp_path / "other", 0)
    await second.start()
    await second.stop()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The last error of its own log is part of the sentence."""
    broken = EmbeddedServer(tmp_path, 0, authorization={"users": "nobody"})
    with pytest.raises(StartRefused, match=r"did not start: .*nats\.conf") as refused:
        await broken.start()
    assert refused.value.code == "nats_server_failed"


async def test_its_configuration_is_private_and_synced(own_server: EmbeddedServer) -> None:
    """Passwords are in it; and an acknowledgement must mean that the disk has it."""
    config = own_server.data_dir / CONFIG_FILE
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert is_synced(own_server.data_dir) is True


def test_whether_an_unknown_server_syncs_is_not_known(tmp_path: Path) -> None:
    """No answer is not the answer yes."""
    assert is_synced(tmp_path) is None


async def test_it_listens_on_the_loopback_only(own_server: EmbeddedServer) -> None:
    """Nobody else on the network can reach it."""
    hosts = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), own_server.port, socket.AF_INET)}
    outside = [host for host in hosts if not host.startswith("127.")]
    for host in outside:
        with pytest.raises(OSError, match="refused"):
            await asyncio.open_connection(host, own_server.port)


async def test_stopping_leaves_the_directory_to_the_next(own_server: EmbeddedServer) -> None:
    """Stop, then start again, also from another object."""
    await own_server.stop()
    again = EmbeddedServer(own_server.data_dir, 0)
    await again.start()
    await again.stop()


async def test_a_server_that_died_can_be_started_again(own_server: EmbeddedServer) -> None:
    """By its supervisor, which is the owner of the directory, and on the same port."""
    port = own_server.port
    assert own_server.process is not None
    own_server.process.kill()
    assert await own_server.wait() == -signal.SIGKILL
    await own_server.start()
    assert own_server.port == port
    assert await _accepts(own_server)


async def test_ctrl_c_in_the_terminal_does_not_reach_it(own_server: EmbeddedServer) -> None:
    """It leads a session of its own: services drain before it goes."""
    assert own_server.process is not None
    assert os.getsid(own_server.process.pid) != os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_it_dies_with_its_parent_and_the_next_start_succeeds(tmp_path: Path) -> None:
    """`kill -9` of the parent leaves no server behind that would hold port and directory."""
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from penstock.jetstream.server import EmbeddedServer\n"
        "async def main():\n"
        "    server = EmbeddedServer(Path(sys.argv[1]), 0)\n"
        "    await server.start()\n"
        "    print(server.port, flush=True)\n"
        "    await server.wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    after = EmbeddedServer(tmp_path, 0)
    await after.start()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)
    await after.stop()


async def test_killing_it_loses_nothing_acknowledged(own_server: EmbeddedServer) -> None:
    """SIGKILL in the middle of publishing: every acknowledged message is there after the restart."""
    names = Names()
    connection = Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    publisher = Publisher(connection, answer_seconds=2)
    acknowledged: list[int] = []

    async def publish_until_refused(worker: int) -> None:
        number = 0
        while True:
            try:
                sequence = await publisher.publish(names.event_subject(f"w{worker}.e{number}"), b"{}")
            except Exception:
                return
            acknowledged.append(sequence)
            number += 1

    writers = [asyncio.create_task(publish_until_refused(worker)) for worker in range(20)]
    await eventually(lambda: len(acknowledged) > 500)
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGKILL)
    await asyncio.gather(*writers)
    await own_server.wait()
    await own_server.stop()
    await own_server.start()
    await eventually(lambda: connection.problem is None)
    info = await connection.js.stream_info(names.events)
    assert info.state.last_seq >= max(acknowledged)
    assert info.state.messages == info.state.last_seq
    assert len(set(acknowledged)) == len(acknowledged)
    await connection.close()


async def _accepts(server: EmbeddedServer) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    line = await reader.readline()
    writer.close()
    return line.startswith(b"INFO")


async def test_a_stream_may_promise_more_than_the_disk_has(own_server: EmbeddedServer) -> None:
    """What lines of user code may take at most is no reason to refuse a start on a small disk."""
    connection = Connection("test")
    await connection.open(own_server.url)
    terabytes = 200 * 2**40
    info = await connection.js.add_stream(name="PROMISES", subjects=["promises"], max_bytes=terabytes)
    assert info.config.max_bytes == terabytes
    await connection.close()
