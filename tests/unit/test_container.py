"""Lines are for programs in a container, by any of the signs that runtimes leave."""

from pathlib import Path

import pytest

from penstock.service.container import is_in_container

PLAIN = "/dev/vda1 / ext4 rw 0 0\noverlay /var/lib/docker/overlay2/merged overlay rw 0 0\n"


def _root(folder: Path, mounts: str) -> Path:
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc/self/mounts").write_text(mounts)
    return folder


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_the_mark_of_a_runtime_tells_a_container(tmp_path: Path, mark: str) -> None:
    """Docker's and Podman's."""
    root = _root(tmp_path, PLAIN)
    (root / mark).parent.mkdir(exist_ok=True)
    (root / mark).touch()
    assert is_in_container(root, {})


@pytest.mark.parametrize("variable", [{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"container": "podman"}])
def test_the_variable_of_a_runtime_tells_a_container(tmp_path: Path, variable: dict[str, str]) -> None:
    """Kubernetes sets one, and so do Podman and systemd-nspawn."""
    assert is_in_container(_root(tmp_path, PLAIN), variable)


def test_a_layered_root_tells_a_container(tmp_path: Path) -> None:
    """Where a runtime leaves neither file nor variable."""
    assert is_in_container(_root(tmp_path, "overlay / overlay rw,lowerdir=/a 0 0\n"), {})


def test_a_machine_that_runs_containers_is_none(tmp_path: Path) -> None:
    """Layers that are mounted elsewhere are those of others."""
    assert not is_in_container(_root(tmp_path, PLAIN), {})


def test_without_proc_it_is_none(tmp_path: Path) -> None:
    """Other systems have no such place to look at."""
    assert not is_in_container(tmp_path, {})
