# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Several realizations of one config: outputs at once, matchers, rebuilding."""

from prelude import *

COUNT = [0]


def noisy(nouts=1, starts=None):
    def make(b):
        say("build", len(build_outpaths(b)))
        for path in build_outpaths(b):
            COUNT[0] += 1
            with open(join(path, "value"), "w") as f:
                f.write(str(COUNT[0]))

    return build_wrapper(make, nouts=nouts, starttime=starts or "AUTO")


def sample(name, matcher, nouts=1, starts=None, r=None):
    return mkdrv(mkconfig({"name": name}), matcher, noisy(nouts, starts), r)


def values(rrefs, S):
    return sorted(open(join(rref2path(rref, S), "value")).read() for rref in rrefs)


def dependent(name, matcher, nouts, r):
    def make(b):
        dref = mklens(b).source.val
        say(
            "paths",
            len(build_deref_(b, dref)),
            len(build_paths(b, [dref, "value"])),
            attempt(lambda: build_deref(b, dref)),
        )
        with open(join(build_outpath(b), "sum"), "w") as f:
            f.write(str(sum(int(open(p).read()) for p in build_paths(b, [dref, "value"]))))

    source = sample(name, matcher, nouts, r=r)
    return mkdrv(mkconfig({"name": "dependent", "source": source}), match_only(), build_wrapper(make), r)


def main(root):
    S = mkSS(root)
    fsinit(S)
    for n in (1, 3):
        many = realizeMany(instantiate(sample, f"some{n}", match_some(n), 4, S=S))
        say("some", n, len(many))
    everything = realizeMany(instantiate(sample, "all", match_all, 3, S=S))
    say("all", values(everything, S))
    again = realizeMany(instantiate(sample, "all", match_all, 3, S=S))
    say("all again", values(again, S), sorted(everything) == sorted(again))
    say("only of two", attempt(lambda: realizeMany(instantiate(sample, "two", match_only(), 2, S=S))))
    say("too few", attempt(lambda: realizeMany(instantiate(sample, "few", match_some(5), 2, S=S))))
    say("one of many", attempt(lambda: realize1(instantiate(sample, "all", match_all, 3, S=S))))
    first = realize1(instantiate(sample, "late", match_latest(), 1, timestring(1000), S=S))
    say("rebuilt", values([first], S))
    second = realize1(
        instantiate(sample, "late", match_latest(), 1, timestring(3000), S=S), force_rebuild=True
    )
    third = realize1(
        instantiate(sample, "late", match_latest(), 1, timestring(2000), S=S), force_rebuild=True
    )
    say("latest", second == third, first != second, len(drefrrefs(rref2dref(first), S)))
    exactly = realizeMany(instantiate(sample, "late", match_exact([first]), S=S))
    say("exact", exactly == [first])
    both = realizeMany(instantiate(sample, "late", match_latest(2), S=S))
    say("two latest", len(both), second in both, first in both)
    total = realize1(instantiate(dependent, "all", match_all, 3, S=S))
    say(
        "dependent",
        open(join(rref2path(total, S), "sum")).read(),
        len(rrefctx(total, S)[mklens(total, S=S).source.dref]),
    )
    one = realize1(instantiate(dependent, "all", match_some(1), 3, S=S))
    say("other context", one != total, rref2dref(one) == rref2dref(total), len(drefrrefs(rref2dref(one), S)))
    say(
        "start", parsetime(rrefbstart(second, S)), rrefbdelta(total, S) is not None, rrefbdelta(total, S) >= 0
    )
    say("keys", texthash()(S, first) == unrref(first)[0], exact([first])(S, second), latest()(S, second))

    def flaky(r):
        return mkdrv(
            mkconfig({"name": "same"}),
            match_only(),
            build_wrapper(lambda b: writestr(join(build_outpath(b), "x"), "x")),
            r,
        )

    x = realize1(instantiate(flaky, S=S))
    y = realize1(instantiate(flaky, S=S), force_rebuild=True)
    z = realize1(instantiate(flaky, S=S), force_rebuild=[rref2dref(x)])
    say("deterministic", x == y == z, len(drefrrefs(rref2dref(x), S)))
