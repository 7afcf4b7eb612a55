#!/usr/bin/python3
"""What hostile and careless clients send, and what PROTOCOL.md section 8 says they get.

hostile_client.py URL [CASE...]
hostile_client.py URL --durable [CASE...]   for a broker with a data folder

Runs each case, prints "case NAME" when the broker did as written or "broken NAME: why" when it
did not, and goes on when it reads a line on standard input, so that whoever started it can look
after the good clients in between. Types begin with "bad.": no event of these may ever arrive.
Ids in brackets are those of the fault list that the cases come from.
"""
import sys, traceback
from hostile import CASES, DURABLE
import hostile_durable, hostile_flow, hostile_frames  # the cases enter themselves


def main():
    names = [name for name in sys.argv[2:] if name != "--durable"]
    cases = DURABLE if "--durable" in sys.argv else CASES
    for name in names or cases:
        try:
            cases[name]()
            print("case " + name, flush=True)
        except Exception as why:
            where = traceback.extract_tb(why.__traceback__)[-1].lineno
            print("broken %s: %s %s (line %d)" % (name, type(why).__name__, " ".join(str(why).split())[:300], where), flush=True)
        if not sys.stdin.readline():
            sys.exit("nobody reads on")
    print("done %d" % len(names or cases), flush=True)


if __name__ == "__main__":
    main()
