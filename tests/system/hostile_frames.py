"""Cases about what a message is: frames, greetings, fields, batches, and what is not even ZeroMQ."""
import os, socket, struct, time
import msgpack
from foreign_client import (HELLO, WELCOME, PUBLISH, TAKEN, SUBSCRIBE, REPLY, DELIVER, CREDIT, GAP,
                            PING, STATS, BYE)
from hostile import (EPROTO, EVERSION, EVENT, N, WINDOW, ANSWER_S, URL, CASES, Raw, turned_away,
                     published, bad_type, case)


# ---- [W08] frames ----
CASES.update({
    "frames_empty": turned_away(b""),
    "frames_one_where_two_belong": turned_away([PUBLISH, 1, []]),
    "frames_two_where_one_belongs": turned_away([PING, 1], b"x"),
    "frames_two_empty": turned_away(b"", b""),
    "frames_three": turned_away(lambda raw: ([PUBLISH, 1, [[raw.producer, "/h", 0, [["bad.three", 1, len(EVENT), 1, 0]]]]],
                                             EVENT, b"")),
    "frames_fifty": turned_away(*[msgpack.packb([PING, i]) for i in range(50)]),
})


@case
def frames_fifty_are_drained_whole():
    raw = Raw(hello=False)
    raw.send(*[msgpack.packb(raw.hello())] * 50)
    raw.expect(BYE, EPROTO)
    raw.send(raw.hello())  # were one left over, this would be another's answer
    raw.expect(WELCOME, 1)
    raw.ping()
    raw.close()


# ---- [W20] greeting ----
@case
def nobody_says_anything_before_hello():
    raw = Raw(hello=False)
    for message in ([PING, 1], [SUBSCRIBE, 1, 1, "bad.early", WINDOW], [STATS, 1, {}], [CREDIT, 0, []], b"\xc1", b""):
        raw.send(message)
        raw.expect(BYE, EPROTO)
    raw.publish([["bad.early", 1, len(EVENT), 1, 0]], EVENT)
    raw.expect(BYE, EPROTO)
    raw.send(raw.hello())
    assert raw.expect(WELCOME, 1)[4] == 0, "something was taken before HELLO"
    raw.close()


@case
def hello_twice_changes_nothing():
    raw = Raw()
    raw.send(raw.hello(4, os.urandom(16)))
    raw.expect(REPLY, 0, EPROTO)
    raw.ping()
    raw.publish([["also.fine", 1, len(EVENT), 1, 0]], EVENT)  # still the first producer
    raw.expect(TAKEN, 1)
    raw.close()


@case
def hello_with_no_common_version():
    raw = Raw(hello=False)
    raw.send(raw.hello(2, 2, 3, 9))
    assert "1" in raw.expect(BYE, EVERSION)[2], "the text does not say the broker's range"
    raw.close()


@case
def hello_of_a_later_version_with_more_fields():
    raw = Raw(hello=False)
    raw.send(raw.hello(3, 9, 6, {"later": [1, {"x": None}]}) + ["and", ["more"]])
    raw.expect(WELCOME, 1)
    raw.ping()
    raw.close()


@case
def second_session_of_a_producer_ends_the_first():
    first = Raw()
    second = Raw(producer=first.producer)
    first.expect(BYE)
    second.ping()
    first.close()
    second.close()


def hello_bad(*changes):
    return turned_away(lambda raw: (raw.hello(*changes),), hello=False)


CASES.update({
    "hello_name_1_mb": hello_bad(5, "x" * (1 << 20)),
    "hello_name_65_bytes": hello_bad(5, "x" * 65),
    "hello_name_is_a_number": hello_bad(5, 7),
    "hello_wrong_magic": hello_bad(1, "tidingz"),
    "hello_magic_is_bin": hello_bad(1, b"tidings"),
    "hello_producer_15_bytes": hello_bad(4, b"x" * 15),
    "hello_producer_is_str": hello_bad(4, "x" * 16),
    "hello_options_are_a_list": hello_bad(6, []),
    "hello_too_short": turned_away([HELLO, "tidings", 1, 1], hello=False),
    "hello_version_is_a_float": hello_bad(2, 1.0),
    "hello_version_is_negative": hello_bad(2, -1),
})

# ---- [W11..W15, W26] control frames ----
CASES.update({
    "array32_of_4_billion": turned_away(b"\xdd\xff\xff\xff\xff"),
    "map32_of_4_billion": turned_away(b"\xdf\xff\xff\xff\xff"),
    "array32_of_4_billion_inside": turned_away(b"\x93\x03\x01\xdd\xff\xff\xff\xff"),
    "map32_of_4_billion_inside": turned_away(b"\x93\x0d\x01\xdf\xff\xff\xff\xff"),
    "str32_of_4_gb": turned_away(b"\x95\x05\x01\x01\xdb\xff\xff\xff\xff"),
    "bin32_of_4_gb": turned_away(b"\x92\x0b\xc6\xff\xff\xff\xff"),
    "ext32_of_4_gb": turned_away(b"\x92\x0b\xc9\xff\xff\xff\xff\x01"),
    "array32_before_hello": turned_away(b"\xdd\xff\xff\xff\xff", hello=False),
    "nesting_9": turned_away(b"\x93\x0d\x01" + b"\x91" * 9 + b"\xc0"),
    "nesting_33": turned_away(b"\x93\x0d\x01" + b"\x91" * 33 + b"\xc0"),
    "nesting_1000": turned_away(b"\x91" * 1000 + b"\xc0"),
    "nesting_100000": turned_away(b"\x91" * 100000 + b"\xc0"),
    "nesting_of_maps": turned_away(b"\x93\x0d\x01" + b"\x81\x01" * 1000 + b"\xc0"),
    "elements_100000": turned_away([STATS, 1, {"x": [0] * 100000}]),
    "control_over_its_limit": turned_away(lambda raw: ([STATS, 1, {"x": "y" * raw.welcome[7]["control_max"]}],)),
    "control_1_mb": turned_away([STATS, 1, {"x": "y" * (1 << 20)}]),
    "cut_short": turned_away(msgpack.packb([SUBSCRIBE, 1, 1, "bad.cut", WINDOW])[:-1]),
    "bytes_left_over": turned_away(msgpack.packb([PING, 1]) + b"\xc0"),
    "two_arrays": turned_away(msgpack.packb([PING, 1]) * 2),
    "never_used_byte": turned_away(b"\x92\x0b\xc1"),
    "not_an_array": turned_away(msgpack.packb({"op": PING})),
    "a_number": turned_away(b"\x0b"),
    "empty_array": turned_away(b"\x90"),
    "op_is_str": turned_away(["11", 1]),
    "op_is_float": turned_away([11.0, 1]),
    "op_is_nan": turned_away([float("nan"), 1]),
    "op_is_negative": turned_away([-11, 1]),
    "op_is_huge": turned_away([2**64 - 1, 1]),
    "op_nil": turned_away([None, 1]),
    "ping_without_token": turned_away([PING]),
    "stats_request_is_a_map": turned_away([STATS, {}, {}]),
    "stats_request_is_negative": turned_away([STATS, -1, {}]),
    "subscribe_without_options": turned_away([SUBSCRIBE, 1, 1, "bad.x"]),
    "subscribe_pattern_is_bin": turned_away([SUBSCRIBE, 1, 1, b"bad.x", WINDOW]),
    "bye_code_is_str": turned_away([BYE, "ok", ""]),
})
for op in (0, WELCOME, TAKEN, REPLY, DELIVER, GAP, 15, 63, 64, 1 << 40):
    CASES["unknown_op_%d" % op] = turned_away([op, 1, 1, 1, 1, 1])

# ---- [W17, W18, W22, W26] batches ----
CASES.update({
    "batch_no_batches": turned_away([PUBLISH, 1, []], b""),
    "batch_no_runs": published([], b""),
    "batch_count_0": published([["bad.x", 0, 0, 1, 0]], b""),
    "batch_count_too_high": published([["bad.x", 2, N, 1, 0]]),
    "batch_count_too_low": published([["bad.x", 1, 2 * N, 1, 0]], EVENT * 2),
    "batch_bytes_too_high": published([["bad.x", 1, N + 1, 1, 0]]),
    "batch_bytes_too_low": published([["bad.x", 1, N - 1, 1, 0]]),
    "batch_bytes_shifted": published([["bad.x", 1, N + 1, 1, 0], ["bad.x", 1, N - 1, 2, 0]], EVENT * 2),
    "batch_body_left_over": published([["bad.x", 1, N, 1, 0]], EVENT + b"\0"),
    "batch_body_empty": published([["bad.x", 1, N, 1, 0]], b""),
    "batch_body_cut": published([["bad.x", 1, N, 1, 0]], EVENT[:-1]),
    "batch_event_is_not_bin": published([["bad.x", 1, 2, 1, 0]], b"\xa1x"),
    "batch_event_is_a_number": published([["bad.x", 1, 1, 1, 0]], b"\x01"),
    "batch_event_longer_than_body": published([["bad.x", 1, 5, 1, 0]], b"\xc6\xff\xff\xff\xff"),
    "batch_prefix_cut": published([["bad.x", 1, 2, 1, 0]], b"\xc6\xff"),
    "batch_sequences_fall": published([["bad.x", 1, N, 5, 0], ["bad.y", 1, N, 4, 0]], EVENT * 2),
    "batch_sequences_overlap": published([["bad.x", 2, 2 * N, 1, 0], ["bad.y", 1, N, 2, 0]], EVENT * 3),
    "batch_sequence_0": published([["bad.x", 1, N, 0, 0]]),
    "batch_sequence_2_64": published([["bad.x", 1, N, 2**64 - 1, 0]]),
    "batch_sequence_past_2_63": published([["bad.x", 2, 2 * N, 2**63 - 1, 0]], EVENT * 2),
    "batch_count_2_63": published([["bad.x", 2**63 - 1, N, 1, 0]]),
    "batch_bytes_2_63": published([["bad.x", 1, 2**63 - 1, 1, 0]]),
    "batch_sizes_wrap": published([["bad.x", 1, 2**64 - 1, 1, 0], ["bad.x", 1, N + 1, 2, 0]]),
    "batch_run_flag_unknown": published([["bad.x", 1, N, 1, 16]]),
    "batch_flag_unknown": published([["bad.x", 1, N, 1, 0]], flags=16),
    "batch_run_too_short": published([["bad.x", 1, N, 1]]),
    "batch_run_is_a_map": published([{}]),
    "batch_of_another_producer": published([["bad.x", 1, N, 1, 0]], producer=b"\1" * 16),
    "batch_producer_short": published([["bad.x", 1, N, 1, 0]], producer=b"\1" * 15),
    "batch_source_empty": published([["bad.x", 1, N, 1, 0]], source=""),
    "batch_source_1024": published([["bad.x", 1, N, 1, 0]], source="x" * 1024),
    "batch_base_is_a_float": published([["bad.x", 1, N, 1, 0]], base=0.5),
    "batch_runs_1025": published([["bad.x", 1, N, i + 1, 0] for i in range(1025)], EVENT * 1025),
    "batch_events_65537": published([["bad.x", 65537, 2 * 65537, 1, 0]], b"\xc4\0" * 65537),
    "batch_good_run_before_a_bad_one": published([["bad.x", 1, N, 1, 0], ["bad.y", 1, N, 2, 0]], EVENT + b"\xc1" * N),
    "batches_65": turned_away(lambda raw: ([PUBLISH, 1, [[raw.producer, "/h", 0, [["bad.x", 1, N, i + 1, 0]]]
                                                        for i in range(65)]], EVENT * 65)),
    "batches_second_of_another": turned_away(lambda raw: (
        [PUBLISH, 1, [[p, "/h", 0, [["bad.x", 1, N, i + 1, 0]]] for i, p in enumerate((raw.producer, b"\2" * 16))]],
        EVENT * 2)),
    "type_empty": bad_type(""), "type_dot": bad_type("."), "type_empty_token": bad_type("bad..x"),
    "type_ends_with_dot": bad_type("bad."), "type_begins_with_dot": bad_type(".bad"), "type_star": bad_type("bad.*"),
    "type_star_inside": bad_type("bad.x*y"), "type_rest": bad_type("bad.>"), "type_space": bad_type("bad.x y"),
    "type_nul": bad_type("bad.x\0y"), "type_control": bad_type("bad.\x1f"), "type_del": bad_type("bad.\x7f"),
    "type_not_ascii": bad_type("bad.\u00fc"), "type_256_bytes": bad_type("bad." + "x" * 252),
    "type_17_tokens": bad_type(".".join("a" * 17)), "type_only_dots": bad_type("." * 255),
    "type_65535_slashes": bad_type("/" * 65535), "type_system": bad_type("$sys.broker"), "type_dollar": bad_type("$"),
    "type_is_bin": published([[b"bad.x", 1, N, 1, 0]]), "type_is_a_number": published([[7, 1, N, 1, 0]]),
})


# ---- [W01..W06] not even ZeroMQ ----
@case
def tcp_junk():
    host, port = URL[len("tcp://"):].rsplit(":", 1)
    greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + b"\0" * 32
    ready = b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
    junk = {
        "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "tls": bytes.fromhex("16030100c8010000c40303") + os.urandom(189),
        "random": os.urandom(65536),
        "zeros": b"\0" * 4096,
        "silence": b"",
        "greeting only": greeting,
        "greeting cut": greeting[:11],
        "plain": greeting.replace(b"NULL\0", b"PLAIN"),
        "curve": greeting.replace(b"NULL\0", b"CURVE"),
        "frame of 2^63": greeting + ready + b"\x02" + b"\x80" + b"\0" * 7,
        "frame of 2^62": greeting + ready + b"\x02" + b"\x40" + b"\0" * 7,
        "frame of 2^31": greeting + ready + b"\x02" + struct.pack(">Q", 1 << 31),
        "frame of 2 MiB": greeting + ready + b"\x02" + struct.pack(">Q", 2 << 20) + b"x" * 1000,
        "short ping command": greeting + ready + b"\x04\x05\x04PING",
    }
    stays = ("short ping command",)  # [W09] only must not hurt
    peers = {}
    for name, data in junk.items():
        peers[name] = socket.create_connection((host, int(port)))
        try:
            peers[name].sendall(data)
        except OSError:
            pass  # turned away while it was still talking
    until = time.monotonic() + ANSWER_S + 3
    for name, peer in peers.items():
        try:
            while name not in stays:
                peer.settimeout(max(0.01, until - time.monotonic()))
                if not peer.recv(65536):
                    break
        except ConnectionError:
            pass
        except socket.timeout:
            raise AssertionError("still connected: " + name)
        finally:
            peer.close()
