# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""What the programs share. They run on Pylightnix and on this project's interface to it: `run.py` says how."""

import json

from pylightnix import *

LOG = []


def say(*facts):
    """Notes what happened, without digests and times."""
    LOG.append(json.loads(json.dumps(facts, sort_keys=True)))


def attempt(f):
    """ "ok", or the kind of error; user errors are failed asserts in Pylightnix."""
    try:
        f()
    except AssertionError:
        return "assertion"
    except Exception as e:
        return type(e).__name__
    return "ok"


def maker(text="made", name="out.txt"):
    """A realizer that notes its run and writes the file of the field `out`."""

    def make(b):
        say("build", build_name(b))
        with open(mklens(b).out.syspath, "w") as f:
            f.write(text)

    return build_wrapper(make)


def node(name, matcher=None, realizer=None, r=None, **fields):
    """A derivation with one output."""
    config = {"name": name, "out": [selfref, "out.txt"], **fields}
    return mkdrv(mkconfig(config), matcher or match_only(), realizer or maker(name), r)


def folder_of(path):
    """What lies below a folder, without what the engines keep there for themselves."""
    return sorted(n for n in listdir(path) if n not in ("context.json", "group.json") and n[0] != "_")
