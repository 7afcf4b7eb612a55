#!/usr/bin/python3
"""`tidings store export` and `import`: a stream as a file.

test_cli_store.py [-v] [Class.test ...]
"""
import json
import os
import shutil
import signal
import sys
import tempfile

from cli import Broker, DONE, FAILED, USAGE, WithStreams, environment, main


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


class Damage(Files):
    def damaged_folder(self):
        """Events 1, 2 and 3, each a record of its own, of which the second
        cannot be read."""
        folder = os.path.join(self.dir, "data")
        broker = Broker("tcp://127.0.0.1:*", "--data", folder)
        try:
            env = environment(TIDINGS_URL=broker.url)
            self.check(DONE, "stream", "add", "torn", "--pattern",
                       "torn.>", env=env)
            for data in ('"one"', '"needle"', '"three"'):
                self.check(DONE, "pub", "torn.a", data, "--confirm", "disk",
                           env=env)
            broker.signal(signal.SIGTERM)
            broker.ended()
        finally:
            broker.end()
        path = os.path.join(folder, "data.mdb")
        with open(path, "rb") as file:
            data = file.read()
        self.assertIn(b"needle", data)
        with open(path, "wb") as file:
            file.write(data.replace(b"needle", b"needls"))
        return folder

    def test_verify_says_which_events_are_damaged(self):
        """C05: in words, without a trailing blank."""
        folder = self.damaged_folder()
        done = self.check(FAILED, "store", "verify", folder)
        self.assertRegex(done.out, r"^damaged: 1 of [1-9]\d* records\n$")
        self.assertRegex(done.err, r"is damaged: the checksum of events of "
                         r"stream \d+, from sequence 2 on\n$")

    def test_damage_is_an_error_of_who_reads_all(self):
        """C05: what is left is read, and that it is not all is said."""
        broker = Broker("tcp://127.0.0.1:*", "--data", self.damaged_folder())
        self.addCleanup(broker.end)
        env = environment(TIDINGS_URL=broker.url)
        for args, lines in ((("tail", "torn"), 2), (("replay", "torn"), 2),
                            (("replay", "torn", "--until", "2"), 1),
                            (("store", "export", "torn", self.path), 1)):
            done = self.check(FAILED, *args, env=env)
            self.assertIn("lost 1 event, sequence 2 of torn: damaged in the "
                          "store\n", done.err)
            self.assertIn("1 event of torn is missing here, damaged in the "
                          "store", done.err.splitlines()[-1])
            self.assertIn("tidings store verify", done.err.splitlines()[-1])
            self.assertEqual(len(done.out.splitlines()), lines)
        self.assertEqual(len(self.lines()), 2)
        for args in (("replay", "torn", "--until", "1"),
                     ("tail", "torn", "--count", "1"),
                     ("tail", "torn", "--start", "3")):
            self.check(DONE, *args, env=env)


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
                   "12000", "--confirm", "disk")
        export = self.start("store", "export", name, self.path)
        self.soon(lambda: os.path.exists(self.path) and
                  os.path.getsize(self.path) > 100000)
        export.signal(signal.SIGINT)
        if export.ended() != DONE: # else it was faster
            self.assertEqual(export.ended(), FAILED)
            self.assertIn("the same command goes on", export.all["err"][-1])
        self.check(DONE, "store", "export", name, self.path)
        self.assertEqual([int(json.loads(l)["streamsequence"])
                          for l in self.lines()], list(range(1, 12001)))

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

    def test_export_is_not_gone_on_with_from_another_stream(self):
        name = self.stored()
        self.check(DONE, "store", "export", name, self.path)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write('{"half')
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        other = self.id()[-20:].replace(".", "_")
        self.check(DONE, "stream", "add", other, "--pattern", other + ".>")
        # shorter, as long, longer; one with the same id
        for count, options in (("2", ()), ("1", ("-a", "id=own")), ("9", ())):
            self.check(DONE, "pub", other + ".a", "{}", "--count", count,
                       "--confirm", "disk", *options)
            done = self.check(FAILED, "store", "export", other, self.path)
            self.assertIn("is of another stream", done.err)
            self.assertIn("sequence 3", done.err)
            self.assertEqual(done.out, "")
            with open(self.path, encoding="utf-8") as file:
                self.assertEqual(file.read(), text)

    def test_export_is_not_gone_on_with_from_a_stream_made_anew(self):
        name = self.stored()
        self.check(DONE, "store", "export", name, self.path)
        whole = self.lines()
        self.check(DONE, "stream", "delete", name, "--yes")
        self.check(DONE, "stream", "add", name, "--pattern", name + ".>")
        self.check(DONE, "pub", name + ".a", "{}", "--count", "5",
                   "--confirm", "disk")
        done = self.check(FAILED, "store", "export", name, self.path)
        self.assertIn("is of another stream", done.err)
        self.assertEqual(self.lines(), whole)

    def test_export_goes_on_when_its_last_event_is_gone(self):
        name = self.stored()
        self.check(DONE, "store", "export", name, self.path)
        self.check(DONE, "pub", name + ".c", "{}", "--count", "2", "--confirm",
                   "disk")
        self.check(DONE, "stream", "purge", name, "--before", "4", "--yes")
        done = self.check(DONE, "store", "export", name, self.path, "--pattern",
                          name + ".c", "--until", "4")
        self.assertEqual(done.out, "exported 1 event, up to sequence 4\n")
        self.assertIn("not checked", done.err)
        done = self.check(DONE, "store", "export", name, self.path)
        self.assertEqual(done.err, "")
        self.assertEqual([json.loads(l)["streamsequence"]
                          for l in self.lines()], list("12345"))

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


class Import(Files):
    """Into another broker, whose stream "events" takes all."""

    def setUp(self):
        super().setUp()
        self.other = Broker("tcp://127.0.0.1:*", "--data",
                            os.path.join(self.dir, "data"))
        self.addCleanup(self.other.end)

    def there(self, code, *args, **options):
        return self.check(code, *args, env=environment(
            TIDINGS_URL=self.other.url), **options)

    def exported(self):
        name = self.stored()
        self.check(DONE, "store", "export", name, self.path)
        return name

    def check_there(self, lines):
        self.assertEqual(self.there(DONE, "tail", "events", "--json").out,
                         "".join(line + "\n" for line in lines))

    def test_import_stores_what_was_exported_once(self):
        self.exported()
        done = self.there(DONE, "store", "import", self.path)
        self.assertEqual(done.out, "imported 3 events, 0 were there already\n")
        self.check_there(self.lines())
        done = self.there(DONE, "store", "import", self.path, "events", "--json")
        self.assertEqual(json.loads(done.out),
                         {"events": 0, "duplicates": 3, "refused": 0})
        self.check_there(self.lines())

    def test_import_goes_on_with_a_file_that_has_grown(self):
        name = self.exported()
        self.there(DONE, "store", "import", self.path)
        self.check(DONE, "pub", name + ".c", "{}", "--confirm", "disk")
        self.check(DONE, "store", "export", name, self.path)
        done = self.there(DONE, "store", "import", self.path)
        self.assertEqual(done.out, "imported 1 event, 3 were there already\n")
        self.check_there(self.lines())

    def test_import_is_ended_by_a_signal_and_goes_on(self):
        name = self.stream()
        self.check(DONE, "pub", name + ".a", json.dumps("x" * 500), "--count",
                   "12000", "--confirm", "disk")
        self.check(DONE, "store", "export", name, self.path)
        done = self.start("store", "import", self.path,
                          env=environment(TIDINGS_URL=self.other.url))
        self.soon(lambda: json.loads(self.there(
            DONE, "stream", "list", "--json").out)["events"] > 100)
        done.signal(signal.SIGINT)
        self.assertIn(done.ended(), (DONE, FAILED))
        self.there(DONE, "store", "import", self.path)
        self.check_there(self.lines())

    def test_import_goes_on_with_what_was_refused(self):
        self.exported()
        self.there(DONE, "stream", "add", "small", "--pattern", ">",
                   "--max-events", "3", "--on-full", "reject")
        self.there(DONE, "pub", "a", "1", "--count", "3", "--confirm", "disk")
        done = self.there(FAILED, "store", "import", self.path)
        self.assertIn("not stored", done.err)
        self.there(DONE, "stream", "purge", "small", "--yes")
        done = self.there(DONE, "store", "import", self.path)
        self.assertEqual(done.out, "imported 3 events, 0 were there already\n")

    def test_import_into_a_stream_that_does_not_take_it(self):
        name = self.exported()
        self.there(DONE, "stream", "add", "shop", "--pattern", "shop.>")
        self.there(DONE, "stream", "add", "taken", "--pattern", name + ".>")
        for stream in ("shop", "events"):
            done = self.there(FAILED, "store", "import", self.path, stream)
            self.assertIn("line 1: stream %s does not take" % stream, done.err)
            self.check_there([])

    def test_import_into_the_stream_that_takes_it(self):
        name = self.exported()
        self.there(DONE, "stream", "add", "shop", "--pattern", "shop.>",
                   "--pattern", name + ".a")
        done = self.there(FAILED, "store", "import", self.path, "shop")
        self.assertIn("line 3: stream shop does not take %s.b" % name,
                      done.err)
        self.assertEqual(self.there(DONE, "tail", "shop", "--json").out,
                         "".join(line + "\n" for line in self.lines()[:2]))
        self.check_there([])
        self.there(DONE, "stream", "add", "more", "--pattern", name + ".b")
        self.there(DONE, "store", "import", self.path)
        self.check_there([])

    def test_import_into_no_stream(self):
        self.exported()
        done = self.there(USAGE, "store", "import", self.path, "nobody")
        self.assertIn("stream nobody: no such stream", done.err)
        self.assertEqual(done.out, "")
        self.check_there([])

    def test_import_says_which_line_is_wrong(self):
        name = self.exported()
        lines = self.lines()
        for bad, words in (("{", "line 3: "), (lines[0], "does not rise"),
                           ('{"type": "a"}', "has no streamsequence"),
                           (self.check(DONE, "replay", name).out.strip(),
                            "has no streamsequence")):
            with open(self.path, "w", encoding="utf-8") as file:
                file.write("\n".join(lines[:2] + [bad, lines[2]]))
            done = self.there(FAILED, "store", "import", self.path)
            self.assertIn("events.jsonl, line 3: ", done.err)
            self.assertIn(words, done.err)
            self.check_there(lines[:2])

    def test_import_of_nothing(self):
        done = self.there(FAILED, "store", "import", self.path)
        self.assertIn("No such file", done.err)
        self.there(USAGE, "store", "import")
        self.there(USAGE, "store", "import", "a", "b", "c")
        open(self.path, "w", encoding="utf-8").close()
        done = self.there(DONE, "store", "import", self.path)
        self.assertEqual(done.out, "imported 0 events, 0 were there already\n")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__], "cli_store"))
