"""Any order of what can happen to the outbox, crashes and a failing disk among it, against a model of a few lines."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.dialers.protocol import Delivery, Entry, EntryKind
from appliance.store.outbox import OutboxStore, read_outbox, still_owed

T = 1_700_000_000.0
CLOSINGS = st.sampled_from([Delivery.DONE, Delivery.ALREADY, Delivery.SUPERSEDED])
WRITTEN = (Delivery.DONE, Delivery.ALREADY)


class OutboxMachine(RuleBasedStateMachine):
    """`owed` is what the store must say, `on_disk` what a crash must leave of it."""

    @initialize()
    def begin(self) -> None:
        self.files = contextlib.ExitStack()
        self.folders = (Path(self.files.enter_context(tempfile.TemporaryDirectory())) / str(n) for n in itertools.count())
        self.folder = next(self.folders)
        self.store = OutboxStore(self.folder / "outbox.db")
        self.owed: dict[int, Entry] = {}
        self.on_disk: dict[int, Entry] = {}
        self.written: list[Entry] = []
        self.left: set[int] = set()
        self.failing = False

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.files.close()

    def changed(self) -> None:
        if not self.failing:
            self.on_disk = dict(self.owed)

    def some(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.owed)))

    @rule(
        kind=st.sampled_from(EntryKind),
        call=st.sampled_from(["V1", "V2", "V3"]),
        lead=st.integers(0, 2),
        value=st.sampled_from(["a", "b"]),
    )
    def add(self, kind: EntryKind, call: str, lead: int, value: str) -> None:
        before = set(self.owed)
        entry = self.store.add(kind, call, lead, {"value": value}, T)
        twin = [owed for owed in self.owed.values() if owed.kind is kind]
        if kind is EntryKind.DNC and (same := [owed for owed in twin if owed.data == entry.data]):
            assert [entry] == same
        elif kind is EntryKind.SETTLE and (same := [owed for owed in twin if owed.call_id == call and not owed.attempts]):
            assert [entry.id] == [owed.id for owed in same]
        else:
            assert entry.id not in before
            assert entry.id > max(before, default=0)
        assert entry.data == {"value": value}
        self.owed[entry.id] = entry
        self.changed()

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def trying(self, data: st.DataObject) -> None:
        entry = self.owed[self.some(data)]
        may = self.store.trying(entry.id)
        assert may is not (self.failing and entry.id in self.on_disk and not self.on_disk[entry.id].attempts)
        if may:
            self.left.add(entry.id)
            self.owed[entry.id] = msgspec.structs.replace(entry, attempts=entry.attempts + 1)
        self.changed()

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), what=CLOSINGS)
    def done(self, data: st.DataObject, what: Delivery) -> None:
        id = self.some(data)
        self.store.done(id, what, T)
        entry = self.owed.pop(id)
        if what in WRITTEN and not (self.failing and id not in self.on_disk):
            self.written.append(entry)
        self.changed()

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), park=st.booleans())
    def failed(self, data: st.DataObject, park: bool) -> None:
        entry = self.owed[self.some(data)]
        if park:
            self.store.park(entry.id, "why")
            changed = msgspec.structs.replace(entry, parked=True, error="why")
        else:
            self.store.later(entry.id, T + 5, "why")
            changed = msgspec.structs.replace(entry, not_before=T + 5, error="why")
        self.owed[entry.id] = changed
        self.changed()

    @rule()
    def unpark_all(self) -> None:
        self.store.unpark_all(T)
        for entry in list(self.owed.values()):
            if not entry.parked:
                continue
            past = [w for w in self.written if (w.lead_id, w.kind) == (entry.lead_id, entry.kind) and w.id > entry.id]
            if (left := still_owed(entry, past)) is None:
                del self.owed[entry.id]
            else:
                self.owed[entry.id] = msgspec.structs.replace(left, parked=False, not_before=T)
        self.changed()

    @rule()
    def hasten(self) -> None:
        self.store.hasten(T)
        for entry in self.owed.values():
            if entry.attempts:
                self.owed[entry.id] = msgspec.structs.replace(entry, not_before=min(entry.not_before, T))
        self.changed()

    @rule(failing=st.booleans())
    def disk(self, failing: bool) -> None:
        self.failing = failing
        self.store._db.execute(f"PRAGMA query_only = {int(failing)}")
        assert self.store.flush() or failing
        self.changed()

    @rule()
    def crash(self) -> None:
        """What `kill -9` leaves: the files as they are."""
        folder = next(self.folders)
        shutil.copytree(self.folder, folder)
        self.store.close()
        self.folder, self.store, self.failing = folder, OutboxStore(folder / "outbox.db"), False
        self.owed = dict(self.on_disk)
        found = {entry.id: entry for entry in self.store.pending()}
        assert all(found[id].attempts > 0 for id in self.left if id in found), "it would be sent again without a look"
        self.left &= set(found)
        gone = {entry.id for entry in self.written if entry.id in found}
        self.written = [entry for entry in self.written if entry.id not in gone]

    @invariant()
    def what_is_owed_is_all_there_in_order(self) -> None:
        if hasattr(self, "store"):
            assert self.store.pending() == [self.owed[id] for id in sorted(self.owed)]

    @invariant()
    def the_disk_has_it(self) -> None:
        if hasattr(self, "store"):
            assert read_outbox(self.folder / "outbox.db") == [self.on_disk[id] for id in sorted(self.on_disk)]

    @invariant()
    def the_next_of_each_lead_is_its_oldest(self) -> None:
        if hasattr(self, "store"):
            waiting = [entry for entry in self.owed.values() if not entry.parked]
            oldest = {lead: min(e.id for e in waiting if e.lead_id == lead) for lead in {e.lead_id for e in waiting}}
            assert {head.lead_id: head.id for head in self.store.heads()} == oldest


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
