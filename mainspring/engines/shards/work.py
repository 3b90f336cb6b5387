"""Work: what workers do with a store, over several: settle, claim, renew, take over.

One shard that is away blocks none of the others: what concerns it is told as missed, to be repeated
by whoever asked, and all verbs are repeatable.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from mainspring.engines.shards.grants import Grants
from mainspring.engines.shards.placement import composed
from mainspring.engines.shards.ring import Ring, outer
from mainspring.engines.shards.shard import Asked, Shard
from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.job import Claimed, Now, Transition
from mainspring.store import Claim, Exchanged, Grant, Note, Presence, Pulse, Store, Wanted


class Work:
    """The verbs of workers, over all shards."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._grants = Grants()
        self._last_beat: tuple[Presence, int] | None = None

    # --- exchange ---------------------------------------------------------------------------

    def exchange(
        self, transitions: Sequence[Transition], claim: Claim | None, now: Now | None
    ) -> Exchanged:
        """Each shard settles what is its own; those that may have jobs are asked in turn."""
        round = _Round(self._ring, transitions, alone=claim is None and len(transitions) == 1)
        if claim is not None:
            self._claim(round, claim, now)
        for shard in list(round.todo):
            self._ask(round, shard, None, None, now)
        return round.answer(asked=bool(transitions) or claim is not None)

    def _claim(self, round: "_Round", claim: Claim, now: Now | None) -> None:
        again = self._grants.family(claim.grant.token)
        for shard, token in again:
            self._ask(round, shard, replace(claim, grant=_under(claim.grant, token)), None, now)
        if again:
            return
        left = claim
        for shard, queues in self._plan(claim):
            if shard in round.away:
                continue
            wish = replace(left, queues=queues)
            answer = self._ask(round, shard, wish, claim.grant.token, now)
            if answer is None:
                continue
            left = _rest(left, answer.jobs)
            if left.limit <= 0 or (answer.more and queues is not None):
                # Full, or a careful job waits for a place and nothing overtakes it.
                return

    def _plan(self, claim: Claim) -> list[tuple[Shard, tuple[str, ...] | None]]:
        """Whom to ask for what, one after the other."""
        shards = self._ring.in_turn()
        if claim.queues is None:
            return [(shard, None) for shard in shards]
        plan: list[tuple[Shard, tuple[str, ...] | None]] = []
        for queue in dict.fromkeys(claim.queues):
            homes = self._ring.homes(queue)
            where = [shard for shard in shards if shard in homes or shard.has(queue)]
            if len(where) == 1 and plan and plan[-1][0] is where[0]:
                plan[-1] = where[0], (*(plan[-1][1] or ()), queue)
            else:
                plan += [(shard, (queue,)) for shard in where]
        return plan

    def _ask(
        self, round: "_Round", shard: Shard, wish: Claim | None, claim: int | None, now: Now | None
    ) -> Exchanged | None:
        """One shard's part; `claim` is the token of a claim that gets one of its own there."""
        changes = round.todo.pop(shard, [])
        if not shard.is_ready():
            round.miss(shard, changes)
            return None
        limbo: list[int] = []
        if wish is not None and claim is not None:
            limbo = self._grants.in_limbo(shard)
            wish = replace(wish, grant=_under(wish.grant, self._grants.lend(claim, shard)))

        def verb(store: Store) -> tuple[list[Claimed], Exchanged]:
            self._tell_late(shard, store)
            found = store.held(limbo) if limbo else []
            return found, store.exchange(changes, wish, now=now)

        try:
            found, answer = shard.do(verb) if round.alone and not shard.away else shard.ask(verb)
        except StoreUnavailable:
            if wish is not None:
                for token in (*limbo, wish.grant.token):
                    self._grants.unanswered(shard, token, wish.grant.lease)
            round.miss(shard, changes)
            return None
        if wish is not None:
            self._grants.answered(shard, wish.grant.token)
            if claim is not None and not answer.jobs:
                self._grants.take_back(claim, wish.grant.token)
        if found:
            answer = replace(answer, jobs=found + answer.jobs)
        round.add(shard, answer)
        return answer

    def _tell_late(self, shard: Shard, store: Store) -> None:
        """Progress and log lines that came while the shard was away, before their jobs end."""
        if self._last_beat is None or not (notes := shard.take_untold()):
            return
        presence, lease = self._last_beat
        try:
            store.heartbeat(presence, [], lease, notes)
        except StoreUnavailable:
            shard.leave_untold(notes)
            raise

    # --- leases -----------------------------------------------------------------------------

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note],
        now: Now | None,
    ) -> Pulse:
        """All shards at once, each with the tokens that are its own."""
        self._last_beat = presence, lease
        own, stray = self._by_owner(tokens)
        told = self._notes(notes)
        asked: dict[Shard, Asked[Pulse]] = {}
        for shard in self._ring.shards:
            if shard.is_ready():
                mine = [*own[shard], *stray]
                told[shard] = late = [*shard.take_untold(), *told[shard]]

                def verb(store: Store, mine: Any = mine, late: Any = late) -> Pulse:
                    return store.heartbeat(presence, mine, lease, late, now=now)

                asked[shard] = shard.begin(verb)
        pulses: dict[Shard, Pulse] = {}
        for shard in self._ring.shards:
            try:
                if shard not in asked:
                    raise shard.unavailable()
                pulses[shard] = shard.end(asked[shard])
            except StoreUnavailable:
                shard.leave_untold(told[shard])
        return self._merged(pulses, own, stray)

    def _by_owner(self, tokens: Iterable[int]) -> tuple[dict[Shard, list[int]], list[int]]:
        own: defaultdict[Shard, list[int]] = defaultdict(list)
        stray: list[int] = []
        for token in tokens:
            shard = self._grants.shard(token)
            (stray if shard is None else own[shard]).append(token)
        return own, stray

    def _notes(self, notes: Sequence[Note]) -> dict[Shard, list[Note]]:
        by_shard: defaultdict[Shard, list[Note]] = defaultdict(list)
        for note in notes:
            shard, number = self._ring.of_number(note.number)
            if shard is not None:
                by_shard[shard].append(replace(note, number=number))
        return by_shard

    def _merged(
        self, pulses: dict[Shard, Pulse], own: dict[Shard, list[int]], stray: list[int]
    ) -> Pulse:
        if not pulses:
            raise self._ring.shards[0].unavailable()
        away = [shard for shard in self._ring.shards if shard not in pulses]
        lost = {token for shard, pulse in pulses.items() for token in pulse.lost} - set(stray)
        # Lost is what no shard holds; while one does not answer nobody knows.
        gone = {token for token in stray if all(token in pulse.lost for pulse in pulses.values())}
        missed = [token for shard in away for token in own[shard]]
        answer = Pulse(
            lost=tuple(lost | (set() if away else gone)),
            cancel=tuple(composed(n, shard.slot) for shard in pulses for n in pulses[shard].cancel),
            paused=tuple(dict.fromkeys(name for each in pulses.values() for name in each.paused)),
            wanted=_agreed([each.wanted for each in pulses.values() if each.wanted is not None]),
        )
        if away:
            missed += gone
        if missed:
            raise PartlyUnavailable(str(away[0].unavailable()), answer, missed)
        return answer

    def reclaim(self, grant: Grant, limit: int, now: Now | None) -> list[Claimed]:
        """What has expired, from one shard after the other."""
        taken: list[Claimed] = []
        answered = False
        again = self._grants.family(grant.token)
        for shard in dict.fromkeys(each for each, _ in again) or self._ring.in_turn():
            if len(taken) >= limit:
                break
            tokens = [token for each, token in again if each is shard]
            token = tokens[0] if tokens else self._grants.lend(grant.token, shard)
            verb = _taking_over(_under(grant, token), limit - len(taken), now)
            try:
                jobs = shard.ask(verb)
            except StoreUnavailable:
                continue
            answered = True
            if not jobs:
                self._grants.take_back(grant.token, token)
            taken += [outer(shard, job) for job in jobs]
        if not answered and limit > 0:
            raise self._ring.shards[0].unavailable()
        return taken

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        """What each shard holds under those that are its own."""
        # What a claim got is held by the whole family of its token.
        families = [token for each in tokens for _, token in self._grants.family(each)]
        own, stray = self._by_owner(dict.fromkeys([*tokens, *families]))
        held: list[Claimed] = []
        missed: list[int] = []
        trouble: StoreUnavailable | None = None
        for shard in self._ring.shards:
            if mine := [*own[shard], *stray]:
                try:
                    held += [outer(shard, job) for job in shard.ask(_holding(mine))]
                except StoreUnavailable as error:
                    trouble = error
                    missed += mine
        if trouble is not None:
            if self._ring.all_away():
                raise trouble
            raise PartlyUnavailable(str(trouble), held, missed)
        return held


class _Round:
    """One exchange: what is still to be written where, and what came of it.

    `alone`: it is one acknowledgement, and nobody else waits. It is made in the caller's thread,
    which the engine knows if it holds a transaction.
    """

    def __init__(self, ring: Ring, transitions: Sequence[Transition], *, alone: bool) -> None:
        self.alone = alone
        self._ring = ring
        self._jobs: list[Claimed] = []
        self._lost: list[tuple[int, int]] = []
        self._cancelled: list[int] = []
        self._next_due: int | None = None
        self._more = False
        self._missed: list[Transition] = []
        self._answered = False
        self.away: list[Shard] = []
        self.todo: dict[Shard, list[Transition]] = {}
        for each in transitions:
            shard, number = ring.of_number(each.number)
            if shard is None:
                self._lost.append((each.number, each.token))
            else:
                self.todo.setdefault(shard, []).append(replace(each, number=number))

    def add(self, shard: Shard, answer: Exchanged) -> None:
        """What a shard answered."""
        self._answered = True
        self._jobs += [outer(shard, job) for job in answer.jobs]
        self._lost += [(composed(number, shard.slot), token) for number, token in answer.lost]
        self._cancelled += [composed(number, shard.slot) for number in answer.cancelled]
        dues = [due for due in (self._next_due, answer.next_due) if due is not None]
        self._next_due = min(dues, default=None)
        self._more |= answer.more

    def miss(self, shard: Shard, changes: Sequence[Transition]) -> None:
        """A shard did not answer."""
        self.away.append(shard)
        self._missed += [outer(shard, each) for each in changes]

    def answer(self, asked: bool) -> Exchanged:
        """All in one; `StoreUnavailable` if nothing could be done, `PartlyUnavailable` if
        something could not be written."""
        answer = Exchanged(
            self._jobs, tuple(self._lost), tuple(self._cancelled), self._next_due, self._more
        )
        if not self.away:
            return answer
        error = self.away[0].unavailable()
        if self._missed and not self._ring.all_away():
            raise PartlyUnavailable(str(error), answer, self._missed)
        if self._missed or (asked and not self._answered):
            raise error
        return answer


def _rest(claim: Claim, jobs: Sequence[Claimed]) -> Claim:
    """What is left of a wish when these were given."""
    alone = sum(job.alone for job in jobs)
    return replace(
        claim,
        limit=claim.limit - len(jobs),
        slots=max(0, claim.slots - len(jobs) + alone),
        alone=max(0, claim.alone - alone),
    )


def _agreed(told: Sequence[Wanted]) -> Wanted | None:
    """What several shards want of a worker. They differ where one was away when it was said: then
    the most is meant, so that who was paused stays so until all know better."""
    if not told:
        return None
    fields = {
        name: [value for each in told if (value := getattr(each, name)) is not None]
        for name in Wanted.__struct_fields__
    }
    return Wanted(**{name: max(said, default=None) for name, said in fields.items()})


def _under(grant: Grant, token: int) -> Grant:
    return grant if token == grant.token else replace(grant, token=token)


def _holding(tokens: Sequence[int]) -> Callable[[Store], list[Claimed]]:
    return lambda store: store.held(tokens)


def _taking_over(grant: Grant, limit: int, now: Now | None) -> Callable[[Store], list[Claimed]]:
    return lambda store: store.reclaim(grant, limit, now=now)
