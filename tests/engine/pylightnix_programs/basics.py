# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Configs, dependencies, lenses; what is built once and reused."""

from prelude import *


def words(text="a b c", r=None):
    return node("words", text=text, r=r)


def counted(text="a b c", step=1, r=None):
    def make(b):
        say("build", "counted", mklens(b).step.val)
        content = open(mklens(b).words.out.syspath).read()
        same = open(build_path(b, mklens(b).source.refpath)).read()
        assert content == same
        with open(mklens(b).out.syspath, "w") as f:
            f.write(f"{content}+{mklens(b).step.val}")

    dref = words(text, r=r)
    source = mklens(dref, r=r).out.refpath
    say("refpath", source[1:], isrefpath(source))
    return node(
        "counted",
        r=r,
        realizer=build_wrapper(make),
        words=dref,
        source=source,
        step=step,
        nested={"a": [1, {"b": None}]},
    )


def main(root):
    S = mkSS(root)
    fsinit(S)
    rref = realize1(instantiate(counted, S=S))
    again = realize1(instantiate(counted, S=S))
    say("reused", rref == again, isrref(rref), isdref(rref2dref(rref)))
    other = realize1(instantiate(counted, step=2, S=S))
    say("other", other != rref, rref2dref(other) != rref2dref(rref))
    third = realize1(instantiate(counted, text="d", S=S))
    for x in (rref, other, third):
        l = mklens(x, S=S)
        say(
            "lens",
            l.step.val,
            l.words.text.val,
            l.out.contents,
            l.words.out.contents,
            l.nested.a.val,
            l.name.val,
        )
        say("files", folder_of(rref2path(x, S)), l.syspath == rref2path(x, S), isfile(l.words.out.syspath))
    l = mklens(rref, S=S)
    say(
        "optval",
        l.nested.val,
        l.get("nested").optval,
        l.words.rref in allrrefs(S),
        l.words.dref in alldrefs(S),
    )
    say(
        "errors",
        attempt(lambda: l.missing),
        attempt(lambda: l.step.dref),
        attempt(lambda: l.step.syspath),
        attempt(lambda: l.step.refpath),
    )
    say(
        "errors",
        attempt(lambda: mklens(rref2dref(rref), S=S).words.out.syspath),
        attempt(lambda: mklens({"a": None}).a.val),
    )
    say("counts", len(list(alldrefs(S))), len(list(allrrefs(S))))
    say("names", sorted(cfgname(drefcfg_(d, S)) for d in alldrefs(S)))
    say("deps", len(drefdeps([rref2dref(rref)], S)), len(rrefdeps([rref], S)), len(rrefctx(rref, S)))
    say("roots", len(rootdrefs(S)), len(rootrrefs(S)))
    say(
        "config",
        drefcfg_(rref2dref(rref), S).val["out"],
        drefcfg(rref2dref(rref), S).val["out"][1:],
        cfgsp(drefcfg_(rref2dref(rref), S)),
    )
    say("attrs", drefattrs(rref2dref(rref), S).step, rrefattrs(rref, S).name)
