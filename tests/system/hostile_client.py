#!/usr/bin/python3
"""What hostile and careless clients send, and what PROTOCOL.md section 8 says they get.

hostile_client.py URL [CASE...]

Runs each case, prints "case NAME" when the broker did as written or "broken NAME: why" when it
did not, and goes on when it reads a line on standard input, so that whoever started it can look
after the good clients in between. Types begin with "bad.": no event of these may ever arrive.
Ids in brackets are those of the fault list that the cases come from.
"""
import sys, traceback
from hostile import CASES
import hostile_frames, hostile_flow  # the cases enter themselves


def main():
    for name in sys.argv[2:] or CASES:
        try:
            CASES[name]()
            print("case " + name, flush=True)
        except Exception as why:
            where = traceback.extract_tb(why.__traceback__)[-1].lineno
            print("broken %s: %s %s (line %d)" % (name, type(why).__name__, " ".join(str(why).split())[:300], where), flush=True)
        if not sys.stdin.readline():
            sys.exit("nobody reads on")
    print("done %d" % len(sys.argv[2:] or CASES), flush=True)


if __name__ == "__main__":
    main()
