"""One sync a file at a time: the lock beside it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from syncline.errors import StoreBusy, StoreError, UsageError
from syncline.replica.lock import checked_wait, one_at_a_time, tidy

HOLD = """
import os, sys, time
from syncline.replica.lock import one_at_a_time
with one_at_a_time(sys.argv[1], "sync", 0):
    if sys.argv[2] == "fork" and os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    if sys.argv[2] == "alone":
        print("held", flush=True)
    time.sleep(600)
"""


def holding(file: Path, how: str) -> tuple[subprocess.Popen[str], str]:
    """A process that holds the lock of the file, and the line that it said then."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_the_second_is_told_who_is_at_work(tmp_path: Path) -> None:
    process, _ = holding(tmp_path / "d.db", "alone")
    try:
        with pytest.raises(StoreBusy) as busy, one_at_a_time(str(tmp_path / "d.db"), "push", 0.05):
            raise AssertionError("two are at work")
        assert busy.value.code == "store_busy"
        assert f"process {process.pid} on {socket.gethostname()} (sync, since 2" in busy.value.detail
        assert "--wait" in busy.value.remedy
    finally:
        process.kill()
        process.communicate()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    process, _ = holding(tmp_path / "d.db", "alone")
    process.kill()
    process.communicate()
    with one_at_a_time(str(tmp_path / "d.db"), "sync", 0):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_the_process_does_not_hold_it_on(tmp_path: Path) -> None:
    process, child = holding(tmp_path / "d.db", "fork")
    try:
        process.kill()
        process.wait()
        with one_at_a_time(str(tmp_path / "d.db"), "sync", 0):
            pass
    finally:
        os.kill(int(child), signal.SIGKILL)
        process.communicate()


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    file, inside, order = str(tmp_path / "d.db"), threading.Event(), []

    def second() -> None:
        inside.wait()
        with one_at_a_time(file, "pull", 60):
            order.append("second")

    other = threading.Thread(target=second)
    with one_at_a_time(file, "sync", 0):
        other.start()
        inside.set()
        with pytest.raises(StoreBusy), one_at_a_time(file, "push", 0):
            raise AssertionError("two are at work")
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_another_name_of_the_file_has_the_same_lock(tmp_path: Path) -> None:
    (tmp_path / "d.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "d.db")
    one, other = str(tmp_path / "d.db"), str(tmp_path / "link.db")
    with one_at_a_time(one, "sync", 0), pytest.raises(StoreBusy), one_at_a_time(other, "sync", 0):
        raise AssertionError("two are at work")


def test_who_may_sync_the_file_may_lock_it(tmp_path: Path) -> None:
    (tmp_path / "d.db").touch()
    (tmp_path / "d.db").chmod(0o600)
    with one_at_a_time(str(tmp_path / "d.db"), "sync", 0):
        pass
    assert (tmp_path / "d.db-sync").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "d.db-sync").read_bytes().strip() == b""  # nobody is at work


def test_no_lock_can_be_made_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="there is no folder"),
        one_at_a_time(str(tmp_path / "none" / "d.db"), "sync", 0),
    ):
        raise AssertionError("nothing was locked")


def test_what_is_no_number_of_seconds_is_refused() -> None:
    for wrong in (-1, float("nan"), "5"):
        with pytest.raises(UsageError):
            checked_wait(wrong)  # type: ignore[arg-type]
    assert checked_wait(0) == 0.0


def test_the_lock_file_goes_and_nobody_is_at_work_beside_another(tmp_path: Path) -> None:
    file, at_work, most = str(tmp_path / "d.db"), 0, 0

    def work() -> None:
        nonlocal at_work, most
        for _ in range(200):
            with one_at_a_time(file, "sync", 60):
                at_work += 1
                most = max(most, at_work)
                at_work -= 1
            tidy(file)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, at_work) == (1, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_stays_as_long_as_somebody_is_at_work(tmp_path: Path) -> None:
    file = str(tmp_path / "d.db")
    with one_at_a_time(file, "sync", 0):
        tidy(file)
        with pytest.raises(StoreBusy), one_at_a_time(file, "push", 0):
            raise AssertionError("two are at work")
    tidy(file)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_file_keeps_its_size(tmp_path: Path) -> None:
    """One that grows and shrinks makes the disk write more when the device file is flushed."""
    file, lock, sizes = tmp_path / "d.db", tmp_path / "d.db-sync", set()
    for verb in ("sync", "preview", "pull"):
        with one_at_a_time(str(file), verb, 0):
            sizes.add(lock.stat().st_size)
        sizes.add(lock.stat().st_size)
    assert len(sizes) == 1
