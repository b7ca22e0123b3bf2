# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Failures as results."""

from prelude import *


def maybe(name, fail, deps=(), r=None):
    def realizer(S, dref, context, rarg):
        say("run", name)
        if fail:
            raise RuntimeError("boom")
        folder = mkdtemp(dir=fstmpdir(S))
        writestr(join(folder, "x"), name)
        return Output([Path(folder)])

    def matcher(S, out):
        return out if len(out.val) > 0 else None

    return mkdrvE(mkconfig({"name": name, "deps": list(deps)}), matcher, realizer, r)


def chain(fail, r):
    a = maybe("a", False, r=r)
    b = maybe("b", fail, [a], r=r)
    return maybe("c", False, [b], r=r)


def main(root):
    S = mkSS(root)
    fsinit(S)
    good = realizeManyE(instantiate(chain, False, S=S))
    say("good", either_isRight(good), either_isLeft(good), either_status(good), len(either_paths(good)))
    bad = realizeManyE(instantiate(lambda r: maybe("d", False, [maybe("e", True, r=r)], r=r), S=S))
    say("bad", either_isRight(bad), either_isLeft(bad), "boom" in either_status(bad), len(either_paths(bad)))
    one = realizeE(instantiate(lambda r: maybe("e", True, r=r), S=S)[1])
    say("kept", either_isLeft(one), "RuntimeError" in either_status(one))
    say("empty", attempt(lambda: Either()), mkright(Output([1])).right.val)
