"""Which addresses a port is open on: recorded tables, and this machine's own."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from agentlaunch.survey import sockets

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0
   1: 00000000:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2 1 0
   2: 0A01A8C0:2CAA 0100007F:E1A2 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0
   3: 0A01A8C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4 1 0
   4: zz:2CAA 00000000:0000 0A
   5: 00:2CAA 00000000:0000 0A
   6: short
"""
"""As Linux 6 writes it; 2CAA is 11434."""

TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:2CAA 00000000000000000000000000000000:0000 0A 00000000
   1: 00000000000000000000000001000000:2CAA 00000000000000000000000000000000:0000 0A 00000000
   2: 0000000000000000FFFF00000100007F:2CAA 00000000000000000000000000000000:0000 0A 00000000
   3: B80D0120000000000000000001000000:2CAA 00000000000000000000000000000000:0000 0A 00000000
"""

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="recorded on a small-endian machine")


def _root(root: Path, tcp: str = TCP, tcp6: str = TCP6) -> Path:
    folder = root / "proc" / "net"
    folder.mkdir(parents=True)
    (folder / "tcp").write_text(tcp)
    (folder / "tcp6").write_text(tcp6)
    return root


def test_only_listening_rows_of_the_port_count() -> None:
    assert list(sockets.listeners(TCP, 11434)) == [ip_address("127.0.0.1"), ip_address("0.0.0.0")]
    assert list(sockets.listeners(TCP, 8080)) == [ip_address("192.168.1.10")]
    assert list(sockets.listeners(TCP, 9)) == []
    assert list(sockets.listeners("", 11434)) == []


def test_loopback_in_each_spelling_is_no_way_in(tmp_path: Path) -> None:
    root = _root(tmp_path)
    assert sockets.open_addresses(11434, root=root) == ("0.0.0.0", "2001:db8::1", "::")
    assert sockets.open_addresses(9, root=root) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="the table of Linux")
def test_a_real_port_is_seen_as_it_is() -> None:
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        assert sockets.open_addresses(everywhere.getsockname()[1]) == ("0.0.0.0",)
    with socket.create_server(("127.0.0.1", 0)) as here:
        assert sockets.open_addresses(here.getsockname()[1]) == ()


def test_without_such_a_table_the_own_address_is_tried(tmp_path: Path) -> None:
    own = sockets.own_address()
    if own is None:
        pytest.skip("this machine is on no network")
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        assert sockets.open_addresses(everywhere.getsockname()[1], root=tmp_path) == (own,)
    with socket.create_server(("127.0.0.1", 0)) as here:
        assert sockets.open_addresses(here.getsockname()[1], root=tmp_path) == ()
