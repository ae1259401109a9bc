"""Two hosts on this machine: network namespaces with names and addresses of their own, and a link between them."""

import contextlib
import os
import shutil
import subprocess
import sys

NAMES = "alpha", "beta"  # no name service knows them
ADDRESSES = "10.77.0.1", "10.77.0.2"
LINK = "link0"  # the network device on both hosts
LINK_DOWN = ("ip", "link", "set", LINK, "down")
LINK_UP = ("ip", "link", "set", LINK, "up")


class Host:
    """A host that is there as long as a process of it, the keeper, lives.

    Args:
        name: its host name.
        user: the words in front of a command that let it make namespaces; none for root.
    """

    def __init__(self, name, user):
        self.name = name
        code = f"hostname {name} && ip link set lo up && echo ready && exec sleep 3600"
        words = [*user, "unshare", "--net", "--uts", "sh", "-c", code]
        self.keeper = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.is_ready = self.keeper.stdout.readline() == "ready\n"

    def start(self, words, **options):
        """Start a process on this host."""
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        return subprocess.Popen(
            ["nsenter", "--target", str(self.keeper.pid), *user, "--net", "--uts", *words], **options
        )

    def run(self, *words):
        """Run a command on this host, which must succeed."""
        assert self.start(words).wait() == 0, words

    def close(self):
        """End the keeper; the network goes with its last process."""
        self.keeper.kill()
        self.keeper.communicate()


@contextlib.contextmanager
def make_hosts():
    """Yield two hosts with a link between them; None where a process may not make such."""
    programs = ("unshare", "nsenter", "ip", "hostname")
    if sys.platform != "linux" or any(shutil.which(name) is None for name in programs):
        yield None
        return
    with contextlib.ExitStack() as stack:
        hosts = []
        for name in NAMES:
            user = []
            if os.geteuid():
                user = ["unshare", "--user", "--map-root-user"]
            if os.geteuid() and hosts:  # both belong to the same user namespace
                user = ["nsenter", "--target", str(hosts[0].keeper.pid), "--user", "--preserve-credentials"]
            hosts.append(Host(name, user))
            stack.callback(hosts[-1].close)
            if not hosts[-1].is_ready:
                yield None
                return
        first, second = hosts
        first.run("ip", "link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", str(second.keeper.pid))
        for host, address in zip(hosts, ADDRESSES, strict=True):
            host.run("ip", "address", "add", f"{address}/24", "dev", LINK)
            host.run(*LINK_UP)
        yield hosts
