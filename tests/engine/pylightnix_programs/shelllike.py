# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Looking around, links, removal, garbage, copies."""

from prelude import *


def low(n=1, r=None):
    return node("low", r=r, n=n)


def high(n=1, r=None):
    return node("high", r=r, low=low(n, r=r))


def main(root):
    S = mkSS(root)
    fsinit(S)
    rref = realize1(instantiate(high, S=S))
    other = realize1(instantiate(high, 2, S=S))
    dref = rref2dref(rref)
    say(
        "ls", [n for n in lsref(rref, S) if n[0] != "_" and n != "context.json"], catref(rref, ["out.txt"], S)
    )
    say(
        "find",
        len(find(S=S)),
        len(find("low", S=S)),
        len(find("l*", S=S)),
        len(find("no", S=S)),
        len(find(low, S=S)),
    )
    say(
        "paths",
        path2rref(rref2path(rref, S)) == rref,
        path2dref(dref2path(dref, S)) == dref,
        isfile(drefcfgpath(dref, S)),
    )
    links = Path(join(root, "links"))
    l = linkrref(rref, links, format="_%(N)s", S=S)
    d = linkdref(dref, links, format="_d_%(N)s", S=S)
    say(
        "links",
        basename(l),
        islink(l),
        isfile(join(l, "out.txt")),
        path2rref(l) == rref,
        basename(d),
        path2dref(d) == dref,
    )
    say("many", len(linkrrefs([rref, other], join(root, "more"), format="_%(N)s", S=S)))
    keep = gc_exceptions([links])
    drefs, rrefs = gc_candidates(keep, S)
    say("garbage", len(keep[0]), len(keep[1]), len(drefs), len(rrefs), other in rrefs, rref in rrefs)
    usage = du(S)
    say(
        "du",
        len(usage),
        all(total > sum(sizes.values()) > 0 for total, sizes in usage.values()),
        diskspace_h(5 * 2**20),
    )
    gc([links], interactive=False, verbose=False, S=S)
    say("collected", sorted(cfgname(drefcfg_(d, S)) for d in alldrefs(S)), len(find(S=S)))
    rmref(rref, S)
    again = realize1(instantiate(high, S=S))
    say("removed", again == rref, attempt(lambda: rmref(other, S)))
    D = mkSS(join(root, "copy"))
    fsinit(D)
    copyclosure([again], S, D)
    say("copied", len(find(S=D)), mklens(again, S=D).low.out.contents, list(rootrrefs(D)) == [again])
    say("used", realize1(instantiate(high, S=D)) == again)
    say(
        "hashes",
        dirhash(rref2path(again, D)) == dirhash(rref2path(again, D)),
        filehash(join(rref2path(again, D), "out.txt"))[:8],
    )
    say(
        "small",
        timestring(0)[:2] in ("69", "70"),
        parsetime("x"),
        concat([[1], [2, 3]]),
        kahntsort([3, 1, 2], lambda n: {1} if n == 3 else set()),
        sorted(dagroots([1, 2, 3], lambda n: {1} if n == 3 else set())),
    )
    say(
        "tries",
        tryreadjson("/none"),
        tryreadstr_def("/none", "d"),
        tryread("/none"),
        maybereadstr("/none", "3", int),
        trywrite("/none/none", ""),
    )
