"""Fleet: what one may ask of workers, wherever they run. The app inherits it."""

import time

from mainspring.errors import InvalidArguments, UnknownWorker
from mainspring.handle import Home
from mainspring.options import text
from mainspring.store import Presence, Wanted
from mainspring.twins import in_thread

MOST_PROCESSES = 256
"""Children that a worker may have."""

SOME = 5
"""Workers that are named where one is not known."""


class Fleet(Home):
    """The verbs. Each has an async twin with an "a" in front.

    Which workers: those of these names (`Presence.id`), or all on a `host`. They hear it with their
    next heartbeats, which come three times in a lease, and forget it when they end. Each verb
    returns the names of those that were told; `UnknownWorker`, and nobody is told, if one of them
    was not heard of lately.
    """

    def workers(self) -> list[Presence]:
        """The workers that were heard of lately."""
        return self.store.workers()

    def pause_workers(self, *names: str, host: str | None = None) -> list[str]:
        """Have workers claim nothing until they are resumed. What runs there goes on, what has not
        begun goes back unspent."""
        return self._tell(names, host, Wanted(paused=True))

    def resume_workers(self, *names: str, host: str | None = None) -> list[str]:
        """Have paused workers claim jobs again."""
        return self._tell(names, host, Wanted(paused=False))

    def drain_workers(self, *names: str, host: str | None = None) -> list[str]:
        """Have workers finish what runs, give back what has not begun, and end."""
        return self._tell(names, host, Wanted(stop=True))

    def scale_workers(
        self, *names: str, least: int, most: int | None = None, host: str | None = None
    ) -> list[str]:
        """Have workers run at least and at most so many children (1 to 256 each); without `most`
        exactly `least`."""
        bounds = _bounds(least, least if most is None else most)
        return self._tell(names, host, Wanted(processes=bounds))

    def reload_workers(self, *names: str, host: str | None = None) -> list[str]:
        """Have workers replace their children, one after the other, by new ones that import the app
        anew. Without names and host: all of them."""
        if not names and host is None:
            names = tuple(worker.id for worker in self.store.workers())
            if not names:
                return []
        return self._tell(names, host, Wanted(reload=time.time_ns() // 1000))

    def _tell(self, names: tuple[str, ...], host: str | None, wanted: Wanted) -> list[str]:
        return self.store.instruct(self._chosen(names, host), wanted)

    def _chosen(self, names: tuple[str, ...], host: str | None) -> list[str]:
        """The workers that are meant, all of them known."""
        if bool(names) == (host is not None):
            got = "both" if names else "neither"
            raise InvalidArguments(f"expected names of workers, or a host, got {got}")
        heard = self.store.workers()
        if host is not None:
            text(host, "host")
            found = [worker.id for worker in heard if worker.host == host]
            if not found:
                raise UnknownWorker(
                    f"no worker on host {host!r} was heard of lately{_there(heard)}"
                )
            return found
        known = {worker.id for worker in heard}
        for name in names:
            if text(name, "worker") not in known:
                raise UnknownWorker(f"no worker {name!r} was heard of lately{_there(heard)}")
        return list(dict.fromkeys(names))

    aworkers = in_thread(workers)
    apause_workers = in_thread(pause_workers)
    aresume_workers = in_thread(resume_workers)
    adrain_workers = in_thread(drain_workers)
    ascale_workers = in_thread(scale_workers)
    areload_workers = in_thread(reload_workers)


def _bounds(least: int, most: int) -> tuple[int, int]:
    for name, count in (("least", least), ("most", most)):
        if (
            isinstance(count, bool)
            or not isinstance(count, int)
            or not 1 <= count <= MOST_PROCESSES
        ):
            raise InvalidArguments(f"{name}: expected 1 to {MOST_PROCESSES}, got {count!r}")
    if least > most:
        raise InvalidArguments(f"expected least ≤ most, got {least} and {most}")
    return least, most


def _there(heard: list[Presence]) -> str:
    """Who was heard of, for whoever mistyped a name."""
    if not heard:
        return "; none was"
    some = ", ".join(f"{worker.id!r} on {worker.host!r}" for worker in heard[:SOME])
    return f"; there are {some}" + (" …" if len(heard) > SOME else "")
