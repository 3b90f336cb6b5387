"""Three machines on one: network namespaces, joined by a switch whose cables can be pulled."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_numbers = itertools.count()


class Network:
    """Machines by name, each with an address that this process reaches too."""

    def __init__(self, *machines: str) -> None:
        self._mark = f"{os.getpid():x}{next(_numbers):x}"
        self._block = f"10.{201 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self._bridge = f"ms{self._mark}"
        self._machines = machines

    @property
    def here(self) -> str:
        """The address of this process among them."""
        return f"{self._block}.1"

    def address(self, machine: str) -> str:
        """Its address."""
        return f"{self._block}.{2 + self._machines.index(machine)}"

    def within(self, machine: str) -> list[str]:
        """What goes before a command that is to run there."""
        return ["nsenter", f"--net=/run/netns/{self._name(machine)}"]

    def cut(self, machine: str) -> None:
        """Pull its cable: connections stay open and say nothing any more."""
        _ip("link", "set", self._cable(machine), "down")

    def heal(self, machine: str) -> None:
        """Plug it in again."""
        _ip("link", "set", self._cable(machine), "up")

    def build(self) -> None:
        """Set it all up; needs root."""
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.here}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for machine in self._machines:
            name, cable = self._name(machine), self._cable(machine)
            _ip("netns", "add", name)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", cable, "master", self._bridge, "up")
            _ip("-n", name, "address", "add", f"{self.address(machine)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Take it all down."""
        for machine in self._machines:
            subprocess.run(["ip", "link", "delete", self._cable(machine)], check=False)
            subprocess.run(["ip", "netns", "delete", self._name(machine)], check=False)
        subprocess.run(["ip", "link", "delete", self._bridge], check=False)

    def _name(self, machine: str) -> str:
        return f"{self._bridge}-{machine}"

    def _cable(self, machine: str) -> str:
        return f"{self._bridge}c{self._machines.index(machine)}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def network(*machines: str) -> Iterator[Network]:
    """These machines, for the block."""
    net = Network(*machines)
    try:
        net.build()
        yield net
    finally:
        net.remove()
