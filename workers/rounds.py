"""Load, decide, append, for all streams of a batch together, so that reads and appends carry many streams a call.

A round reads what is missing, decides, and appends. What an append did not clearly say yes to is read again and decided again in
the next round; what changed nothing is final only on a state that was the stream's head after its message was received.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from events.deciding import Draft, confirm, decide
from events.domain import Registry
from events.envelope import Commit
from events.history import WINDOW, History
from events.ids import EMPTY, Version
from events.snapshots import Unusable, bear_out, from_item, restore
from events.store import Appended, EventStore, Key
from runtime import logs
from runtime.errors import Fatal
from runtime.lifecycle import backoff
from runtime.metrics import APPENDED_AT, BEFORE_BURST_AT, BURST_AT, COMMITS, SNAPSHOTS
from workers.jobs import Job
from workers.snapshotting import SnapshotWriter
from workers.state_cache import StateCache

MOST: Final = 10
_AGAIN: Final = (Appended.NO, Appended.BUSY)
READS_AT_ONCE: Final = 16
AHEAD: Final = (2, 2, 8)
"""Commits of each stream asked for together, first and then again; what is longer is queried. Of most streams the first shows the end, of
those with two or three commits the second; a key that is not there costs a read unit all the same."""
PAUSE: Final = 1_000_000  # microseconds without a commit that begin a new burst
_LOG: Final = logs.get("rounds")


class Rounds:
    """Decides jobs; a job still waiting afterwards could not be decided now and must come again."""

    def __init__(self, store: EventStore, registry: Registry, cache: StateCache, snapshots: SnapshotWriter | None = None) -> None:
        self._store, self._registry, self._cache, self._snapshots = store, registry, cache, snapshots
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._appended_at = 0

    async def decide(self, jobs: Sequence[Job]) -> None:
        """Raises Retryable when the store cannot be read."""
        jobs = [job for job in jobs if job.waiting()]
        for job in jobs:
            self._begin(job)
        for number in range(1, MOST + 1):
            jobs = [job for job in jobs if job.waiting()]
            if not jobs:
                return
            await self._read(jobs)
            drafts = [(job, draft) for job in jobs if job.history is not None and (draft := self._draft(job, job.history))]
            if drafts and not await self._append(drafts):
                await asyncio.sleep(backoff(number, random.random()))  # noqa: S311 - jitter
        undecided = sum(1 for job in jobs if job.waiting())
        if undecided:
            _LOG.warning("streams given back undecided", action="decide", streams=undecided)

    def _begin(self, job: Job) -> None:
        """The cheapest base: what is cached, or for a creation the guess that nothing is there."""
        job.domain = self._registry.of_stream(job.stream)
        if job.domain is None:
            job.give_up("no domain of this stack has such streams")
            return
        job.history = self._cache.take(job.stream)
        first = job.waiting()[0].command
        kind = self._registry.commands.get(first.name)
        if job.history is None and kind is not None and kind.creates and not first.redriven:
            job.history = History(job.stream, job.domain.decider)

    async def _read(self, jobs: Sequence[Job]) -> None:
        """What is not known, or was found to be old: of most streams together, and alone where every id is needed."""
        needed = [job for job in jobs if job.domain is not None and (job.history is None or job.behind)]
        await self._read_together([job for job in needed if not job.full])
        await asyncio.gather(*(self._read_rest(job) for job in needed if job.full))

    async def _read_together(self, jobs: list[Job]) -> None:
        """On from what is known, some commits ahead of many streams a call, until each stream's end was seen."""
        for job in jobs:
            job.fresh = False
        for ahead in AHEAD:
            if not jobs:
                return
            cold = [job.stream for job in jobs if job.history is None]
            found = await self._store.read([key for job in jobs for key in _ahead(job, ahead)], cold)
            await asyncio.gather(*(self._from_snapshot(job, found.snapshots[job.stream]) for job in jobs if job.stream in found.snapshots))
            jobs = [job for job in jobs if job.waiting() and not job.fresh and not self._follow(job, found.commits, ahead)]
        await asyncio.gather(*(self._read_rest(job) for job in jobs))

    async def _from_snapshot(self, job: Job, item: Mapping[str, Any]) -> None:
        """The state as kept, when the store bears it out, and what came after; else the stream is read from its beginning."""
        history = self._base(job)
        try:
            snapshot = from_item(item)
            restored = restore(snapshot, self._registry)
            async with self._reading:
                commits = await self._store.load(job.stream, Version(snapshot.first - 1))
            bear_out(snapshot, commits)
        except Unusable as why:
            SNAPSHOTS.labels(why.reason).inc()
            if why.reason != "newer":
                history.wrong_snapshot = item.get("last_version")
            job.history = history
            return
        SNAPSHOTS.labels("used").inc()
        self._absorb(job, restored, commits[1:])
        job.fresh, job.behind = True, False

    def _follow(self, job: Job, found: Mapping[Key, Commit], ahead: int) -> bool:
        """Take over the commits that follow one another; False when more may follow than were asked for."""
        history = self._base(job)
        last = history.version
        limit = last + ahead
        commits = []
        while (commit := found.get((job.stream, Version(last + 1)))) is not None:
            commits.append(commit)
            last = commit.last
        self._absorb(job, history, commits)
        job.fresh, job.behind = last < limit, last >= limit
        return job.fresh or not job.waiting()

    async def _read_rest(self, job: Job) -> None:
        """All that came after the history; the whole stream anew when every id is needed."""
        base = self._base(job)
        if job.full:
            base = History(job.stream, base.decider)
        async with self._reading:
            commits = await self._store.load(job.stream, base.commit_first)
        known = job.history
        self._absorb(job, base, commits)
        if known is not None and known is not job.history and job.history is not None and job.history.version == known.version:
            job.history.unsettled.update(known.unsettled)  # read anew for its ids; what its next commit has to tell is no less
        job.fresh, job.behind = True, False

    def _base(self, job: Job) -> History:
        if job.history is not None:
            return job.history
        if job.domain is None:
            raise RuntimeError("a job without a domain is given up before it is read")
        return History(job.stream, job.domain.decider)

    def _absorb(self, job: Job, history: History, commits: Sequence[Commit]) -> None:
        try:
            job.history = history.absorb(commits, self._registry, None if job.full else WINDOW)
        except (Fatal, ValueError, TypeError) as wrong:
            job.give_up(f"its stream cannot be read: {type(wrong).__name__}: {wrong}")

    def _draft(self, job: Job, history: History) -> Draft | None:
        """A draft to append; None when the job is concluded, given up, or must read on first."""
        waiting = job.waiting()
        if not waiting:
            return None
        draft = decide(history, [each.command for each in waiting], self._registry, full=job.full)
        if draft.needs_full and not draft.outcomes:
            job.full = job.behind = True
        elif draft.needs_proof and not job.fresh:
            job.behind = True
        elif draft.events:
            return draft
        else:
            self._conclude(job, history, draft)
        return None

    def _conclude(self, job: Job, history: History, draft: Draft) -> None:
        confirm(history, draft, None if job.full else WINDOW)
        for each, outcome in zip(job.waiting(), draft.outcomes, strict=False):
            each.outcome = outcome
        if not job.waiting():
            history.forget(WINDOW)  # of a full one; what it has to tell of commands without effect is kept
            self._cache.put(history)
            if self._snapshots is not None:
                self._snapshots.offer(history)

    async def _append(self, drafts: Sequence[tuple[Job, Draft]]) -> bool:
        """False when an answer was missing, one was throttled, or all were refused for others' sake: pause before the next round."""
        answers = await self._store.append([draft.commit() for _, draft in drafts])
        self._note_appended(max((draft.at for (_, draft), each in zip(drafts, answers, strict=True) if each is Appended.YES), default=0))
        for answer, count in Counter(answers).items():
            COMMITS.labels("append", answer.value).inc(count)
        for (job, draft), answer in zip(drafts, answers, strict=True):
            if answer is Appended.YES and job.history is not None:
                job.fresh = True  # nobody was faster, so this base was the head a moment ago
                self._conclude(job, job.history, draft)
            elif answer not in _AGAIN:
                job.look_again()
        return not {Appended.UNKNOWN, Appended.BUSY} & set(answers) and set(answers) != {Appended.NO}

    def _note_appended(self, at: int) -> None:
        """For `headrace status`, which tells from it how long the oldest commit waits that a projector lacks. Microseconds."""
        if at <= self._appended_at:
            return
        if at - self._appended_at > PAUSE:
            BEFORE_BURST_AT.set(self._appended_at / 1_000_000)
            BURST_AT.set(at / 1_000_000)
        self._appended_at = at
        APPENDED_AT.set(at / 1_000_000)


def _ahead(job: Job, count: int) -> Iterator[Key]:
    """Where the next commits begin if each holds one event; of longer ones some of these places are inside."""
    version = job.history.version if job.history is not None else EMPTY
    return ((job.stream, Version(version + step)) for step in range(1, count + 1))
