"""Cases about durable groups: who never settles, settles what is not theirs, fails all at once, or needs long.
For a broker with a data folder. [D12..D15]
"""
import itertools, time
import msgpack
from foreign_client import CREDIT, DELIVER, GAP, PING, PONG, REPLY, SUBSCRIBE, TAKEN, BYE
from hostile import ANSWER_S, EEXIST, ENOTFOUND, EPROTO, EVENT, N, Raw, durable

CALL, CONFIRM, SETTLE, SETTLED = 15, 16, 17, 18
ACK, NAK, RELEASE, TERM, PROGRESS, PARK = 1, 2, 3, 4, 5, 6
DISK = 3 << 1  # flags of PUBLISH
NUMBERS = itertools.count(1)


class Member(Raw):
    """What it is sent is kept: events are [tag, sequence, deliveries]."""

    def __init__(self, group, **options):
        super().__init__()
        self.group, self.events, self.gaps, self.stale, self.messages = group, [], [], [], 0
        self.subscribe(pattern=">", stream=group.stream, group="g", **options)
        self.pump(lambda got: got[0] == REPLY and got[2] == 0)

    def pump(self, enough, seconds=ANSWER_S):
        """Take what comes until enough(message); None when that is not in time."""
        until = time.monotonic() + seconds
        while self.socket.poll(max(0, int((until - time.monotonic()) * 1000))):
            got = msgpack.unpackb(self.socket.recv_multipart()[0])
            if got[0] == DELIVER:
                self.messages += 1
                self.take(got[1])
            elif got[0] == SETTLED:
                self.stale += got[1]
            elif got[0] == GAP:
                self.gaps.append(got[1:])
            if enough(got):
                return got
        return None

    def take(self, parts):
        for part in parts:
            tag = part[1]
            for count, sequence, deliveries in part[3]:
                self.events += [[tag + i, sequence + i, deliveries] for i in range(count)]
                tag += count
        self.send([CREDIT, self.messages, []])

    def until(self, count):
        """So many events have come in all."""
        if len(self.events) < count:
            self.pump(lambda got: len(self.events) >= count)
        assert len(self.events) >= count, "%d events of %d" % (len(self.events), count)

    def settle(self, *rows):
        """Of subscription 1: [verb, first, last]; what SETTLED says of them."""
        self.stale = []
        self.send([SETTLE, [[1, verb, first, last, 0, ""] for verb, first, last in rows]])
        self.sync()
        return self.stale

    def sync(self):
        self.send([PING, 9])
        assert self.pump(lambda got: got[0] == PONG), "no PONG"


class Group:
    """A stream and a group of its own, and who operates them."""

    def __init__(self, **options):
        self.stream, self.operator, self.sequence = "hostile%d" % next(NUMBERS), Raw(), 0
        self.call("stream.add", name=self.stream, patterns=[self.stream + ".>"])
        self.call("group.add", group="g", start="all", **options)

    def call(self, call, **options):
        if not call.startswith("stream."):
            options["stream"] = self.stream
        self.operator.send([CALL, 5, call, options])
        return self.operator.expect(REPLY, 5, 0, skip=(TAKEN, CONFIRM))[4]

    def publish(self, count):
        self.operator.publish([[self.stream + ".x", count, count * N, self.sequence + 1, 0]], EVENT * count, flags=DISK)
        self.operator.expect(CONFIRM, skip=(TAKEN,))
        self.sequence += count

    def row(self):
        return self.call("group.list")["groups"][0]

    def check(self, **figures):
        """Figures of the group; dead letters are written a little later."""
        until, row = time.monotonic() + ANSWER_S, self.row()
        while any(row[key] < figures[key] for key in ("dead", "floor") if key in figures) and time.monotonic() < until:
            time.sleep(0.005)
            row = self.row()
        assert {key: row[key] for key in figures} == figures, "%r: %r" % (figures, row)

    def member(self, **options):
        return Member(self, **options)

    def close(self, *members):
        for raw in (*members, self.operator):
            raw.close()


# ---- [D12] nothing is settled ----
@durable
def never_settling_fills_the_window_and_is_shown():
    group = Group(max_in_flight=5)
    member = group.member()
    group.publish(12)
    member.until(5)
    member.sync()
    assert len(member.events) == 5, member.events
    group.check(in_flight=5, full=True, lag=7)
    assert member.settle([ACK, 1, 2]) == []
    member.until(7)
    group.check(in_flight=5, full=True, acked=2)
    assert member.settle([ACK, 3, 7]) == []
    member.until(12)
    assert member.settle([ACK, 8, 12]) == []
    group.check(in_flight=0, full=False, floor=13)
    group.close(member)


# ---- [D13] settlements of what is not there ----
@durable
def settling_twice_is_answered_and_changes_nothing():
    group = Group()
    member = group.member()
    group.publish(4)
    member.until(4)
    assert member.settle([ACK, 2, 3]) == []
    assert member.settle([ACK, 2, 2]) == [[1, 2, 2, EEXIST]]
    assert member.settle([NAK, 3, 3]) == [[1, 3, 3, EEXIST]]
    assert member.settle([TERM, 1, 4], [ACK, 1, 1]) == [[1, 2, 3, EEXIST], [1, 1, 1, EEXIST]]
    group.check(acked=2, termed=2, naked=0, stale=5, in_flight=0, dead=2)
    group.close(member)


@durable
def settling_what_never_came_is_answered():
    group = Group()
    member = group.member()
    group.publish(2)
    member.until(2)
    for row in ([ACK, 3, 3], [NAK, 3, 9], [TERM, 1 << 62, 1 << 62], [PROGRESS, 3, 3]):
        stale = member.settle(row)
        assert stale == [[1, row[1], row[2], ENOTFOUND]], (row, stale)
    member.send([SETTLE, [[7, ACK, 1, 1, 0, ""]]])  # no such subscription
    member.stale = []
    member.sync()
    assert [row[0] for row in member.stale] == [7], member.stale
    group.check(acked=0, naked=0, termed=0, in_flight=2, dead=0)
    assert member.settle([ACK, 1, 2]) == []
    group.check(acked=2, floor=3)
    group.close(member)


@durable
def settling_what_another_has_changes_nothing_for_it():
    group = Group()
    first = group.member()
    group.publish(3)
    first.until(3)
    thief = group.member()
    for verb in (ACK, NAK, RELEASE, TERM, PROGRESS, PARK):
        assert thief.settle([verb, 1, 3]) == [[1, 1, 3, ENOTFOUND]], verb
    group.check(in_flight=3, acked=0, naked=0, released=0, termed=0, delivered=3, parks=0)
    assert first.settle([ACK, 3, 3], [ACK, 1, 2]) == []  # in any order
    group.check(in_flight=0, acked=3, floor=4)
    group.close(first, thief)


def malformed(*row):
    """A case: such a row ends the session, and what was delivered to it is another's."""
    def case():
        group = Group(backoff_ms=1, backoff_max_ms=1)
        member = group.member()
        group.publish(2)
        member.until(2)
        member.send([SETTLE, [[1, ACK, 1, 1, 0, ""], list(row)]])
        bye = member.pump(lambda got: got[0] == BYE)
        assert bye and bye[1] == EPROTO, bye
        other = group.member()
        other.until(1)
        assert other.events[0][1:] == [2, 2], other.events  # the good row before it counted
        group.close(member, other)
    return case


for name, row in {"verb_0": (1, 0, 1, 1, 0, ""), "verb_7": (1, 7, 1, 1, 0, ""), "tag_0": (1, 1, 0, 1, 0, ""),
                  "tags_fall": (1, 1, 2, 1, 0, ""), "tag_2_63": (1, 1, 1, 1 << 63, 0, ""), "short": (1, 1, 1),
                  "reason_256": (1, 4, 1, 1, 0, "x" * 256), "tag_is_str": (1, 1, "1", 1, 0, "")}.items():
    durable(malformed(*row), "settle_row_" + name)


# ---- [D14] all fails, at once ----
@durable
def a_storm_of_naks_is_slowed_by_the_backoff():
    group = Group(backoff_ms=100, max_deliver=250)
    member = group.member()
    group.publish(20)
    until = time.monotonic() + 1.2
    settled = 0
    while time.monotonic() < until:
        member.pump(lambda got: len(member.events) > settled, until - time.monotonic())
        if len(member.events) > settled:
            assert member.settle([NAK, settled + 1, len(member.events)]) == []
            settled = len(member.events)
    # 100, 200, 400, 800 ms, each less by a fifth: the fifth delivery comes after 1.2 s
    assert 20 * 2 <= settled <= 20 * 5, "%d deliveries of 20 events" % settled
    assert max(event[2] for event in member.events) <= 5
    group.close(member)


# ---- [D15] it takes long ----
@durable
def progress_extends_the_lease():
    group = Group(ack_wait_ms=600, backoff_ms=1, backoff_max_ms=1)
    first = group.member()
    group.publish(1)
    first.until(1)
    second = group.member()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert first.settle([PROGRESS, 1, 1]) == []
        second.pump(lambda got: False, 0.1)
    assert second.events == [] and len(first.events) == 1, (first.events, second.events)
    group.check(timed_out=0, in_flight=1)
    first.gave_up = time.monotonic()
    while not second.events and len(first.events) == 1:  # whoever gets it
        assert time.monotonic() - first.gave_up < ANSWER_S
        second.pump(lambda got: bool(second.events), 0.05)
        first.sync()
    assert time.monotonic() - first.gave_up > 0.4
    again = (second.events or first.events)[-1]
    assert again[1:] == [1, 2], again
    assert first.settle([ACK, 1, 1]) == [[1, 1, 1, EEXIST]]  # too late
    group.check(timed_out=1, acked=0, in_flight=1)
    group.close(first, second)
