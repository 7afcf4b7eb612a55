#!/usr/bin/python3
"""`tidings store export`: a stream as a file.

test_cli_store.py [-v] [Class.test ...]
"""
import json
import os
import shutil
import signal
import sys
import tempfile

from cli import DONE, FAILED, USAGE, WithStreams, main


class Files(WithStreams):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.path = os.path.join(self.dir, "events.jsonl")

    def lines(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read().splitlines()

    def stored(self, *options):
        """A stream with three events, the last of its own kind."""
        name = self.stream(*options)
        self.check(DONE, "pub", name + ".a", '{"n": 1}', "--count", "2",
                   "--confirm", "disk")
        self.check(DONE, "pub", name + ".b", '{"n": 3}', "--confirm", "disk",
                   "-a", "id=own", "-a", "source=/shop", "--key", "k7")
        return name


class Export(Files):
    def test_export_writes_whole_events(self):
        name = self.stored()
        done = self.check(DONE, "store", "export", name, self.path)
        self.assertEqual(done.out, "exported 3 events, up to sequence 3\n")
        self.assertEqual(self.check(DONE, "tail", name, "--json").out,
                         "".join(l + "\n" for l in self.lines()))
        events = [json.loads(line) for line in self.lines()]
        self.assertEqual([e["streamsequence"] for e in events],
                         ["1", "2", "3"])
        self.assertEqual([e["data"]["n"] for e in events], [1, 1, 3])
        self.assertEqual((events[2]["id"], events[2]["source"],
                          events[2]["partitionkey"]), ("own", "/shop", "k7"))
        for e in events:
            self.assertTrue(e["id"] and e["source"] and e["time"])

    def test_export_goes_on_where_the_file_ends(self):
        name = self.stored()
        self.check(DONE, "store", "export", name, self.path)
        whole = self.lines()
        for cut in (0, 5, len(whole[2])): # bytes of the last line
            with open(self.path, "w", encoding="utf-8") as file:
                file.write("\n".join(whole[:2] + [whole[2][:cut]]))
            done = self.check(DONE, "store", "export", name, self.path)
            self.assertEqual(done.out, "exported 1 event, up to sequence 3\n")
            self.assertEqual(self.lines(), whole)
        done = self.check(DONE, "store", "export", name, self.path, "--json")
        self.assertEqual(json.loads(done.out),
                         {"events": 0, "left_out": 0, "last": 3})
        self.check(DONE, "pub", name + ".c", "{}", "--confirm", "disk")
        self.check(DONE, "store", "export", name, self.path)
        self.assertEqual(self.lines()[:3], whole)
        self.assertEqual(len(self.lines()), 4)

    def test_export_is_ended_by_a_signal_and_goes_on(self):
        name = self.stream()
        self.check(DONE, "pub", name + ".a", json.dumps("x" * 500), "--count",
                   "30000", "--confirm", "disk")
        export = self.start("store", "export", name, self.path)
        self.soon(lambda: os.path.exists(self.path) and
                  os.path.getsize(self.path) > 100000)
        export.signal(signal.SIGINT)
        if export.ended() != DONE: # else it was faster
            self.assertEqual(export.ended(), FAILED)
            self.assertIn("the same command goes on", export.all["err"][-1])
        self.check(DONE, "store", "export", name, self.path)
        self.assertEqual([int(json.loads(l)["streamsequence"])
                          for l in self.lines()], list(range(1, 30001)))

    def test_export_is_of_a_part(self):
        name = self.stored()
        self.check(DONE, "store", "export", name, self.path, "--start", "2",
                   "--until", "2")
        self.assertEqual(len(self.lines()), 1)
        os.unlink(self.path)
        self.check(DONE, "store", "export", name, self.path, "--pattern",
                   name + ".b")
        self.assertEqual([json.loads(l)["id"] for l in self.lines()], ["own"])

    def test_export_leaves_other_files_alone(self):
        name = self.stored()
        for text in ("a", "a\n", '{"type": "a"}\n', "\n\n"):
            with open(self.path, "w", encoding="utf-8") as file:
                file.write(text)
            done = self.check(FAILED, "store", "export", name, self.path)
            self.assertIn("does not end as an export does", done.err)
            with open(self.path, encoding="utf-8") as file:
                self.assertEqual(file.read(), text)

    def test_export_of_a_longer_stream_is_not_gone_on_from(self):
        name = self.stored()
        other = self.id()[-20:].replace(".", "_")
        self.check(DONE, "stream", "add", other, "--pattern", other + ".>")
        self.check(DONE, "store", "export", name, self.path)
        done = self.check(FAILED, "store", "export", other, self.path)
        self.assertIn("it is of another", done.err)
        self.assertEqual(len(self.lines()), 3)

    def test_export_of_nothing_makes_no_file(self):
        done = self.check(USAGE, "store", "export", "nobody", self.path)
        self.assertIn("nobody", done.err)
        self.assertFalse(os.path.exists(self.path))
        self.check(FAILED, "store", "export", "events",
                   os.path.join(self.dir, "no", "folder"))
        self.check(USAGE, "store", "export", "events")

    def test_export_to_a_full_disk_says_so(self):
        name = self.stored()
        done = self.check(FAILED, "store", "export", name, "/dev/full")
        self.assertIn("/dev/full: No space left", done.err)


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__], "cli_store"))
