"""Measures Chronik and others in turns, in one run on one machine, and prints two tables.

All brokers run at once and are asked one after another, round by round. A peer that cannot be had or that fails in a
measurement says why in the table, and the rest goes on. Results: target/bench/peers.jsonl and peers.md.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import measures
import proc
import report
from peers import ALL, ROOT, Chronik, Missing

OUT = os.path.join(ROOT, "target", "bench")
# What a start leaves to be done is done by then, and what is synced a second later is, too.
SETTLE_S = 10
# All of them together are idle when they use no more than this share of a processor for so long.
SETTLED_S = 0.1
SETTLED_SHARE = 0.1
# How long each measurement warms up those that compile while they run, and with how many bytes at most.
WARM_UP_S = {"produce-1k": 8, "produce-100": 5, "fetch": 4, "latency": 6, "follow": 2, "synced": 2, "synced-8": 1}
WARM_UP_BYTES = 4_000_000_000
# The clients of others take seconds to start.
FOREIGN_ROUNDS = 3


class Run:
    """One run: who takes part, and what was seen of them."""

    def __init__(self, options):
        self.options = options
        self.results = report.Results()
        self.peers, self.absent, self.versions = [], {}, {}
        self.jsonl = open(os.path.join(OUT, "peers.jsonl"), "w")

    def note(self, measure, peer, line):
        self.results.add(measure, peer.name, line)
        self.jsonl.write(json.dumps(line) + "\n")
        self.jsonl.flush()

    def fail(self, measure, peer, reason):
        reason = f"failed: {reason}"
        self.results.fail(measure, peer.name, reason)
        self.jsonl.write(json.dumps(dict(scenario=measure, subject=peer.name, failed=reason)) + "\n")
        say(f"{measure}: {peer.name} {reason}")

    def gather(self, home):
        """Installs whoever is asked for."""
        for kind in ALL:
            if kind is not Chronik and not is_asked_for(kind, self.options.only):
                continue
            peer = kind(home, self.options.build)
            try:
                peer.install()
                self.versions[peer.name] = peer.version()
                self.peers.append(peer)
            except Missing as reason:
                self.leave_out(peer.name, reason)

    def starts(self):
        """How long each takes to its first answer, on a directory that is there already. All run afterwards."""
        for number in range(3 if self.options.quick else 5):
            for peer in list(self.peers):
                seconds = self.start(peer)
                if seconds is not None and number > 0:
                    line = dict(scenario="start", subject=peer.name, round=number, start_ms=seconds * 1000)
                    self.note("start", peer, line)
                peer.stop()
        for peer in list(self.peers):
            self.start(peer)

    def start(self, peer):
        """Seconds to its first answer; `None` for one that does not start and is left out from now on."""
        try:
            return peer.start()
        except Missing as reason:
            self.peers.remove(peer)
            self.leave_out(peer.name, reason)
            return None

    def leave_out(self, name, reason):
        self.absent[name] = str(reason)
        say(f"{name} is left out: {reason}")

    def idle(self):
        """What they do and weigh while nobody asks, all in the same time."""
        seconds = 5 if self.options.quick else 20
        time.sleep(SETTLE_S)
        before = [proc.switches(peer.pid) for peer in self.peers]
        time.sleep(seconds)
        counts = [proc.switches_since(peer.pid, counts) for peer, counts in zip(self.peers, before)]
        for peer, count in zip(self.peers, counts):
            line = dict(scenario="idle", subject=peer.name, seconds=seconds, switches_per_s=count / seconds)
            self.note("idle", peer, dict(line, resident_mib=proc.resident_mib(peer.pid)))

    def warm_up(self, measure):
        for peer in self.peers:
            if peer.warms_up and measure.name not in peer.declines:
                seconds = WARM_UP_S[measure.name] / (4 if self.options.quick else 1)
                most = WARM_UP_BYTES if "bytes" in measure.full else 0
                with contextlib.suppress(measures.Failed):
                    measure.run(peer, self.options.quick, seconds=seconds, bytes=most)

    def rounds(self, measure, turn, discarded, counted):
        """Lets all take turns. The first rounds do not count: memory, files and code are cold."""
        for peer in self.peers:
            if measure.name in peer.declines:
                self.results.fail(measure.name, peer.name, f"({peer.declines[measure.name]})")
        began = time.monotonic()
        for number in range(-discarded, counted):
            for peer in self.peers:
                if not self.results.has_failed(measure.name, peer.name):
                    self.settle()
                    self.turn(measure, turn, peer, number)
        say(f"{measure.name}: {time.monotonic() - began:.0f} s")

    def settle(self):
        """Waits until what the last turn has left to be done is done, such as the removal of its topic."""
        deadline = time.monotonic() + SETTLE_S
        running = [peer for peer in self.peers if peer.is_running()]
        while time.monotonic() < deadline:
            before = sum(proc.cpu_seconds(peer.pid) for peer in running)
            time.sleep(SETTLED_S)
            if sum(proc.cpu_seconds(peer.pid) for peer in running) - before < SETTLED_S * SETTLED_SHARE:
                return

    def turn(self, measure, turn, peer, number):
        try:
            line = turn(peer, number)
            if number >= 0:
                self.note(measure.name, peer, dict(line, scenario=measure.name, round=number + 1))
        except (measures.Failed, OSError, AssertionError, ValueError) as reason:
            self.fail(measure.name, peer, str(reason) or type(reason).__name__)
            self.revive(peer)

    def revive(self, peer):
        """Who has failed begins anew: it may have ended, or be busy with what nobody waits for any more."""
        peer.stop()
        with contextlib.suppress(Missing):
            peer.start()

    def measure(self):
        self.starts()
        self.idle()
        for one in measures.GENERATED:
            if self.is_wanted(one):
                self.warm_up(one)
                self.rounds(one, lambda peer, _number: one.run(peer, self.options.quick), 2, self.options.rounds)
        for one in measures.FOREIGN:
            if self.is_wanted(one):
                self.foreign(one)
        for peer in self.peers:
            if peer.is_running():
                line = dict(scenario="after", subject=peer.name, resident_mib=proc.resident_mib(peer.pid))
                self.note("after", peer, line)

    def is_wanted(self, measure):
        return not self.options.measure or measure.name in self.options.measure

    def foreign(self, measure):
        try:
            measure.install()
        except Missing as reason:
            self.leave_out(measure.name, reason)
            return
        counted = min(self.options.rounds, FOREIGN_ROUNDS)
        self.rounds(measure, lambda peer, number: measure.run(peer, self.options.quick, number), 1, counted)

    def report(self):
        machine = subprocess.check_output([measures.GENERATOR, "machine"], text=True).strip()
        names = [peer.name for peer in self.peers]
        who = [f"{peer.name} {self.versions[peer.name]}: {peer.about}" for peer in self.peers]
        who += [f"{name} is left out: {reason}" for name, reason in self.absent.items()]
        why = report.reasons(self.results)
        head = f"{machine}, {time.strftime('%Y-%m-%d')}"
        tables = report.figures(self.results, names), report.targets(self.results, names)
        with open(os.path.join(OUT, "peers.md"), "w") as page:
            page.write(report.page(head, who, why, tables))
        print(report.screen(head, who, why, tables))


def is_asked_for(kind, only):
    """Whether a peer takes part: by default all do but the optional ones; else those whose names begin so."""
    if kind.optional:
        return kind.name in (only or [])
    return not only or any(kind.name.startswith(name) for name in only)


def say(line):
    print(f"bench-peers: {line}", file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="bench-peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, for a first look")
    parser.add_argument("--only", action="append", metavar="PEER", help="Chronik beside this one; may be repeated")
    names = [one.name for one in measures.GENERATED + measures.FOREIGN]
    parser.add_argument("--measure", action="append", choices=names, help="this alone; may be repeated")
    parser.add_argument("--rounds", type=int, help="how often all take turns, after some that do not count (5)")
    parser.add_argument("--build", action="store_true", help="build also what takes long to build: Nisshi")
    options = parser.parse_args()
    known = [kind.name for kind in ALL]
    for name in options.only or []:
        if not any(one.startswith(name) for one in known):
            parser.error(f"no peer {name}; there are {', '.join(known[1:])}")
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def main():
    options = arguments()
    # An end from outside is one that cleans up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = os.path.join(OUT, f"peers-{os.getpid()}")
    os.makedirs(home)
    run = Run(options)
    began = time.monotonic()
    try:
        run.gather(home)
        run.measure()
    finally:
        for peer in run.peers:
            peer.stop()
        shutil.rmtree(home, ignore_errors=True)
    run.report()
    say(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
