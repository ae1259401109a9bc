"""The address of a process for the others: that of its way to process 0, unless it is a loopback."""

import socket

import pytest

import cnnzoo
from cnnzoo.core.host_address import (
    Route,
    check_first_host,
    check_port_is_free,
    choose_address,
    find_free_address,
    find_route,
)

LOOPBACK, NAMED_LOOPBACK = Route("127.0.0.1", "127.0.0.1"), Route("127.0.1.1", "127.0.1.1")
OTHER, THIRD = Route("10.0.0.2", "10.0.0.1"), Route("10.0.0.3", "10.0.0.1")


@pytest.mark.parametrize(
    ("own", "routes", "address"),
    [
        (LOOPBACK, [LOOPBACK, LOOPBACK], "127.0.0.1"),  # all on one machine
        (OTHER, [LOOPBACK, OTHER], "10.0.0.2"),
        (NAMED_LOOPBACK, [NAMED_LOOPBACK, NAMED_LOOPBACK, OTHER, THIRD], "10.0.0.1"),  # /etc/hosts of Debian
        (Route("::1", "::1"), [Route("::1", "::1"), Route("fd00::2", "fd00::1")], "fd00::1"),
        (Route("fe80::1%eth0", "fe80::2%eth0"), [], "fe80::1%eth0"),
        (Route("", ""), [Route("", ""), OTHER], ""),  # left to JAX
    ],
)
def test_the_address_is_one_that_all_reach(own, routes, address):
    assert choose_address(own, routes) == address


def test_a_route_needs_no_answer_from_the_other_end():
    assert find_route("127.0.0.1:9") == LOOPBACK
    assert find_route("no-such-host.invalid:9") == Route("", "")


def test_process_0_must_be_at_the_address():
    check_first_host("127.0.0.1:9")
    check_first_host("no-such-host.invalid:9")  # perhaps it has no address yet
    elsewhere = "192.0.2.1:9"  # an address for documentation
    if find_route(elsewhere) == Route("", ""):
        pytest.skip("needs a network")
    with pytest.raises(cnnzoo.InputError, match=r"must run on the host of the address 192.0.2.1:9.* another --rank"):
        check_first_host(elsewhere)


def test_a_port_that_is_in_use_is_refused():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(cnnzoo.InputError, match=f"Port {port} of this host is in use.* --address 127.0.0.1:"):
            check_port_is_free(f"127.0.0.1:{port}")
    check_port_is_free(find_free_address())
