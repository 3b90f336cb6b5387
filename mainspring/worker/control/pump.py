"""Pump: the worker's one thread of decisions: when to write, what became of jobs, when to stop.

Everything that happens, reports of jobs, answers of the store, signals, comes in as a call through
one inbox; nothing here waits for the store or for a child.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from functools import partial
from operator import attrgetter
from queue import Empty, SimpleQueue

from mainspring.events import (
    AttemptFailed,
    Bus,
    ChildDied,
    LeasesLost,
    Progressed,
    StoreBack,
    StoreLost,
    UnknownTasks,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from mainspring.job import Cancelled, Claimed, HandedBack, Outcome, TaskUnknown
from mainspring.lifecycle import decide
from mainspring.store import Claim, Counts, Exchanged, Note, Presence, Pulse
from mainspring.worker.books.ledger import Round
from mainspring.worker.books.office import FindStore, Office
from mainspring.worker.books.outbox import Outbox
from mainspring.worker.control.dealer import Crew, Dealer
from mainspring.worker.control.identity import Identity, Phase
from mainspring.worker.control.steering import Steering
from mainspring.worker.control.tally import Tally
from mainspring.worker.crew.station import Departure, Station
from mainspring.worker.crew.usage import Usage
from mainspring.worker.crew.verdict import verdict
from mainspring.worker.link.capture import notes
from mainspring.worker.link.wire import Hello, Recall, Report, Stop

LONGEST_TURN = 0.25
"""Seconds between two looks at the clock when nothing happens."""

PACE = 0.01
"""Seconds between two looks at leases and at how busy the places are, however much happens."""

MANY = 64
"""Outcomes that are worth a round of their own before anything else is done."""

LAST_WORDS = 1.9
"""Seconds in which everything must have ended after the worker was told to hand back now."""

STOPPING = ("stopping", "quitting", "stopped")

_token = attrgetter("token")


class Pump:
    """Turns until it was told to stop and all is written or handed back.

    `error` is why it ended, if nobody had asked it to; `turned` is when it last did (monotonic
    seconds), `is_away` whether the store is.
    """

    def __init__(self, me: Identity, events: Bus, find_store: FindStore, url: str | None) -> None:
        self.phase: Phase = "starting"
        self.error: BaseException | None = None
        self.tally = Tally()
        self._usage = Usage()
        self._me = me
        self._events = events
        self._taste = me.taste
        self._find_store = find_store
        self._url = url
        self._on_open: Callable[[], None] = lambda: None
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._office: Office | None = None
        self._outbox = Outbox()
        self._look_at = 0.0
        self.turned = time.monotonic()
        self._told_unknown: set[str] = set()
        self.is_away = self._listening = self._tells_anew = False
        self._hungry = True
        self._due = self._deadline = float("inf")

    def run(self, crew: Crew, on_open: Callable[[], None]) -> None:
        """Work until stopped; `on_open` is called once the first place takes jobs."""
        self.crew = crew
        self._dealer = Dealer(crew, self._me.read_ahead)
        self._steering = Steering(self, crew, self._me, self._events)
        self._on_open = on_open
        try:
            crew.tend()
            if self._url is not None:
                self._open_office(self._url, None)
            while self.phase != "stopped":
                self._hear()
                self._turn()
        finally:
            self._end()

    # --- from any thread --------------------------------------------------------------------

    def post(self, call: Callable[[], None]) -> None:
        """Have this done in the pump's thread."""
        self._inbox.put(call)

    def stop(self, grace: float | None = None) -> None:
        """Claim no more and finish within the grace time; the second time: hand back now."""
        self.post(partial(self._stop, self._me.grace if grace is None else grace))

    def reload(self) -> None:
        """Replace the places, one after the other, by such that import the app anew."""
        self.post(lambda: self._steering.reload())

    @property
    def elastic(self) -> bool:
        """Whether it wants to know how much waits."""
        return self._steering.elastic

    def counted(self, counts: Counts) -> None:
        """So many jobs are in the store."""
        self.post(partial(self._steering.measure, counts))

    def written(self, round: Round, answer: Exchanged) -> None:
        """A round of the ledger is done."""
        self.post(partial(self._written, round, answer))

    def away(self, error: str) -> None:
        """The store does not answer."""
        self.post(partial(self._is_away, error))

    def back(self) -> None:
        """The store answers again."""
        self.post(self._is_back)

    def broken(self, error: BaseException) -> None:
        """The store cannot be worked with."""
        self.post(partial(self.hopeless, error))

    def asked(self, pulse: Pulse) -> None:
        """Grants are lost, or jobs are to be cancelled, or queues are paused."""
        self.post(partial(self._asked, pulse))

    def poked(self) -> None:
        """There may be work."""
        self.post(self._poked)

    def presence(self) -> Presence:
        """What the worker tells of itself."""
        anew, self._tells_anew = self._tells_anew, False
        load = self._usage.look()
        return self._me.presence(self.phase, self.crew, self._dealer, self.tally, load, anew=anew)

    def known(self) -> set[tuple[int, int]]:
        """Number and token of every job that waits or runs here or is still to be written."""
        # In the order in which a job goes from one to the next: none is missed on its way.
        held = {(job.number, job.token) for job in self._dealer.held()}
        late = self._outbox.transitions
        return held.union((each.number, each.token) for each in late)

    # --- turns ------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Do what has come in; wait for something if nothing has."""
        left = min(self._due, self._deadline) - time.monotonic()
        try:
            self._inbox.get(timeout=max(0.0, min(left, LONGEST_TURN)))()
            while True:
                self._inbox.get_nowait()()
        except Empty:
            pass

    def _turn(self) -> None:
        now = self.turned = time.monotonic()
        self.crew.tend()
        if now >= self._due:
            self._due, self._hungry = float("inf"), True
        if now >= self._look_at:
            self._look_at = now + min(PACE, self._me.lease / 100)
            self._look_around()
        if self._office is not None:
            self._dealer.deal_suspects()
            self._submit(self._office, now)
            if not self._outbox.busy:
                # What needs no write, jobs that completed by themselves, has been dealt with.
                for station in self.crew.everyone:
                    station.acknowledge()
        if self.phase in STOPPING:
            self._wind_down(now)

    def _look_around(self) -> None:
        everyone = self.crew.everyone
        places = sum(each.places for each in everyone)
        self._usage.is_now(sum(each.busy for each in everyone) / places if places else 0.0)
        if self._office is not None:
            self._lose(self._office.keeper.overdue())

    def _submit(self, office: Office, now: float, undealt: int = 0) -> None:
        """Write what there is to write and claim what there is room for, one round at a time."""
        if self._outbox.busy:
            return
        self._outbox.repeat(now)
        if (round := self._outbox.round(self._claim(undealt), now)) is not None:
            office.ledger.submit(round)

    def _claim(self, undealt: int) -> Claim | None:
        # With something to write a look costs next to nothing, hint or no hint.
        if self.phase != "running" or not (self._hungry or self._outbox.pending):
            return None
        return self._dealer.wish(self._taste, undealt)

    # --- the store says ---------------------------------------------------------------------

    def _written(self, round: Round, answer: Exchanged) -> None:
        overtaken = self._outbox.written(round, time.monotonic())
        office = self._required_office()
        if len(self._outbox.pending) >= MANY and not overtaken:
            # Under load the store need not wait until these jobs are dealt.
            self._submit(office, time.monotonic(), len(answer.jobs))
        office.keeper.settle(map(_token, round.transitions))
        if answer.jobs:
            for token, jobs in Counter(map(_token, answer.jobs)).items():
                office.keeper.hold(token, jobs, round.asked)
            if self._dealer.timely(len(answer.jobs), round.asked, self._me.lease) and not overtaken:
                self._deal(answer.jobs)
            else:  # others come first, or they may be somebody else's before they have begun
                self._end_all(answer.jobs, HandedBack())
        for station in self.crew.everyone:
            station.acknowledge()
        if answer.lost:
            self._tell_lost([number for number, _ in answer.lost])
        if round.claim:
            self._look_ahead(round.claim, answer)

    def _look_ahead(self, claim: Claim, answer: Exchanged) -> None:
        """Whether to claim on at once, or when there is a reason to."""
        # Short of its limit but with more to come: a careful job waits for a place, and the
        # outcome that frees one brings the next claim along.
        self._hungry = answer.more and len(answer.jobs) >= claim.limit
        if not self._hungry and not self._listening:
            self._listening = True
            self._required_office().listener.arm()
        if answer.next_due is not None:
            self._due = time.monotonic() + max(0.0, answer.next_due / 1_000_000 - time.time())

    def _deal(self, jobs: list[Claimed]) -> None:
        if self.phase != "running":
            self._end_all(jobs, HandedBack())
            return
        unknown, left = self._dealer.deal(jobs)
        self._end_all(left, HandedBack())
        if unknown:
            self._end_all(unknown, TaskUnknown())
            if new := {job.task for job in unknown} - self._told_unknown:
                self._told_unknown |= new
                self._events.emit(UnknownTasks(tuple(sorted(new)), self._me.name))

    def _is_away(self, error: str) -> None:
        self.is_away = True
        for station in self.crew.everyone:
            station.acknowledge()
        self._events.emit(StoreLost(error, self._me.name))

    def _is_back(self) -> None:
        self.is_away = False
        self._events.emit(StoreBack(self._me.name))

    def _poked(self) -> None:
        self._hungry, self._listening = True, False

    def _asked(self, pulse: Pulse) -> None:
        self._lose(pulse.lost)
        if pulse.wanted is not None:
            self._steering.obey(pulse.wanted)
        if pulse.cancel:
            wanted = set(pulse.cancel)
            self._order(wanted, Stop)
            self._end_all(self._dealer.withdraw(wanted), Cancelled("cancelled before it began"))
        if pulse.paused:
            paused = set(pulse.paused)
            wanted = {job.number for job in self._dealer.held() if job.queue in paused}
            self._order(wanted, Recall)
            self._end_all(self._dealer.withdraw(wanted), HandedBack())

    def pause(self) -> bool:
        """Claim nothing, and give back what has not begun. Whether that is new."""
        if self.phase != "running":
            return False
        self.phase = "paused"
        self._give_back_unbegun()
        return True

    def resume(self) -> bool:
        """Claim again. Whether that is new."""
        if self.phase != "paused":
            return False
        self.phase, self._hungry = "running", True
        return True

    def drain(self) -> bool:
        """Finish what runs, and end. Whether that is new."""
        if self.phase not in ("running", "paused"):
            return False
        self._stop(self._me.grace)
        return True

    def _give_back_unbegun(self) -> None:
        for station in self.crew.everyone:
            station.place.send(Recall())
        suspects = {job.number for job in self._dealer.suspects}
        self._end_all(self._dealer.withdraw(suspects), HandedBack())

    def _order(self, wanted: Collection[int], order: Callable[[list[int]], Stop | Recall]) -> None:
        """Tell each place what is to become of those of these jobs that it holds."""
        for station in self.crew.everyone:
            if numbers := [number for number in wanted if number in station.held]:
                station.place.send(order(numbers))

    def _lose(self, tokens: Collection[int]) -> None:
        """These grants are somebody else's, or may be before they can be renewed."""
        if not tokens:
            return
        self._required_office().keeper.forget(tokens)
        # What has ended is offered all the same: whether somebody took it, the store will say.
        self._tell_lost(job.number for job in self._dealer.lose(tokens))

    def _tell_lost(self, numbers: Iterable[int]) -> None:
        if found := tuple(sorted(numbers)):
            self._events.emit(LeasesLost(found, self._me.name))

    # --- places say -------------------------------------------------------------------------

    def opened(self, station: Station, hello: Hello) -> None:
        """A place is ready for jobs."""
        self._dealer.meet(hello)
        if self._office is None:
            self._open_office(hello.url, hello.api_key)
        self._hungry = True
        if self.phase == "starting":
            self.phase = "running"
            self._events.emit(WorkerStarted(self._me.name, self._url or hello.url))
            self._required_office().keeper.hurry()
            self._on_open()
        else:
            self._tells_anew = True

    def reported(self, station: Station, report: Report) -> None:
        """Jobs have ended, or told something."""
        if report.notes:
            self._outbox.note(report.notes)
            self._tell_progress(station, report.notes)
        ended = self._dealer.take(station, report)
        self._outbox.pending += ended.transitions
        for job, transition in ended.failed:
            self._events.emit(AttemptFailed(job, transition, self._me.name))
        self.tally.count(ended.transitions, stopping=self.phase in STOPPING)
        self._end_all(ended.returned, HandedBack())
        if ended.settled:
            self.tally.processed += len(ended.settled)
            self._hungry = True
            self._required_office().keeper.settle(map(_token, ended.settled))
        if self.is_away:
            # The ledger is stuck; what has ended is safer here than in a child.
            station.acknowledge()

    def ended(self, departure: Departure) -> None:
        """A place is gone."""
        self._end_all(departure.rest, HandedBack())
        self._outbox.overtake(departure.rest)
        begun = departure.begun
        for job in begun:
            self._outbox.note(notes(job.number, job.token, departure.output))
        if departure.asked:
            self.tally.cut_short += len(begun)
            self._end_all(begun, HandedBack())
            return
        ends = [decide(job, verdict(job, departure, self._me.name)) for job in begun]
        self._outbox.pending += ends
        self.tally.count(ends, stopping=self.phase in STOPPING)
        for job, transition in zip(begun, ends, strict=True):
            if transition.error is not None:
                self._events.emit(AttemptFailed(job, transition, self._me.name))
        if not departure.why:
            numbers = tuple(job.number for job in begun)
            self._events.emit(ChildDied(departure.pid, departure.status, numbers, self._me.name))

    def hopeless(self, error: BaseException) -> None:
        """The work cannot go on."""
        self.error = self.error or error
        self._stop(0.0)
        self._stop(0.0)

    def _tell_progress(self, station: Station, notes: list[Note]) -> None:
        if not self._events.wants(Progressed):
            return
        for note in notes:
            held = station.held.get(note.number)
            if held and note.percent is not None:
                self._events.emit(Progressed(held[0], note.percent, note.text))

    def _end_all(self, jobs: Iterable[Claimed], outcome: Outcome) -> None:
        """Settle jobs that did not end in a place of theirs."""
        ends = [decide(job, outcome) for job in jobs]
        self._outbox.pending += ends
        if isinstance(outcome, HandedBack) and self.phase in STOPPING:
            self.tally.handed_back += len(ends)

    # --- the end ----------------------------------------------------------------------------

    def _stop(self, grace: float) -> None:
        now = time.monotonic()
        if self.phase in ("starting", "running", "paused"):
            self.phase, self._deadline = "stopping", now + grace
            if any(each.held for each in self.crew.everyone):
                self._events.emit(WorkerStopping(self._me.name, grace))
            self._give_back_unbegun()
            if self._office is not None:
                self._office.keeper.hurry()
        elif self.phase == "stopping":
            self.phase, self._deadline = "quitting", now + LAST_WORDS
            self.crew.quit()

    def _wind_down(self, now: float) -> None:
        """Whether it is over, or time for the next step."""
        if self._outbox.empty and not any(each.held for each in self.crew.everyone):
            self.crew.quit()
            if self.crew.gone:
                self.phase = "stopped"
        if now >= self._deadline and self.phase == "stopping":
            self._stop(0.0)
        elif now >= self._deadline:
            self.phase = "stopped"

    def _end(self) -> None:
        self.phase = "stopped"
        self.crew.kill()
        if self._office is not None:
            self._office.close()
        self._events.emit(WorkerStopped(self._me.name, self.tally.handed_back))

    def _open_office(self, url: str, api_key: str | None) -> None:
        store = self._find_store(url, api_key)
        self._office = Office(store, self._me.name, self._me.lease, self)

    def _required_office(self) -> Office:
        assert self._office is not None
        return self._office
