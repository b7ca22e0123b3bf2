# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Building by hand."""

from prelude import *


def lower(r):
    return node("lower", r=r)


def upper(r):
    return node("upper", r=r, lower=lower(r))


def main(root):
    S = mkSS(root)
    fsinit(S)
    rh = repl_realize(instantiate(upper, S=S))
    b = repl_build(rh)
    say("paused", build_name(b), repl_rref(rh), mklens(b).lower.out.contents)
    writestr(mklens(b).out.syspath, "by hand")
    rref = repl_continueBuild(b, rh)
    say(
        "continued",
        mklens(rref, S=S).out.contents,
        repl_rref(rh) == rref,
        attempt(lambda: repl_continue(rh=rh)),
    )
    dref = instantiate(lower, S=S)[0]
    rh = repl_realize(instantiate(upper, S=S), force_interrupt=[dref])
    say("reused", repl_continue(rh=rh) == rref, len(drefrrefs(dref, S)))
    rh = repl_realize(instantiate(upper, S=S), force_interrupt=[dref])
    b = repl_build(rh)
    writestr(mklens(b).out.syspath, "another")
    say("second", attempt(lambda: repl_continueBuild(b, rh)), len(drefrrefs(dref, S)))
    rh = repl_realize(instantiate(node, "third", S=S), force_interrupt=True)
    b = repl_build(rh)
    repl_cancelBuild(b, rh)
    say(
        "cancelled",
        repl_result(rh) is None or repl_result(rh) == {},
        len(find("third", S=S)),
        isdir(build_outpath(b)),
    )
    rh = repl_realize(instantiate(lower, S=S), force_interrupt=True)
    chosen = repl_continue(out_rrefs=[drefrrefs(dref, S)[0]], rh=rh)
    say("chosen", chosen == drefrrefs(dref, S)[0])
    rh = repl_realize(instantiate(node, "fourth", S=S), force_interrupt=False)
    say("straight", repl_rref(rh) is not None, len(repl_rrefs(rh)))
