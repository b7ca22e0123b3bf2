# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Registries, closures of several targets, redefinition, mistakes."""

from prelude import *


class Special(Build):
    extra = None


def special(r):
    def make(b):
        b.extra = build_config(b).val["n"]
        build_cattrs(b).n += 1
        say(
            "special",
            type(b).__name__,
            b.extra,
            build_cattrs(b).n,
            sorted(build_context(b)),
            build_environ(b, {"A": "1"})["n"],
        )
        writestr(join(build_outpath(b), "x"), "x")

    return mkdrv(mkconfig({"name": "special", "n": 1}), match_only(), build_wrapper_(make, Special), r)


def pair(n=1, r=None):
    return [node("one", r=r, n=n), node("two", r=r, n=n)]


def named(r):
    return {"a": node("one", r=r, n=1), "b": {"c": [node("three", r=r)]}}


def implicit():
    return node("implicit")


def upper(lower, r):
    return node("upper", r=r, lower=lower(r=r))


def nested(r):
    return instantiate(pair, r=r)


def main(root):
    S = mkSS(root)
    fsinit(S)
    realize1(instantiate(special, S=S))
    result, closure, context = realize(instantiate(pair, S=S))
    say("pair", len(result), len(closure.targets), len(context), [len(v) for v in context.values()])
    result, closure, context = realize(instantiate(named, S=S))
    say("named", sorted(result), len(context), isclosure(closure))
    say("many of two", attempt(lambda: realizeMany(instantiate(pair, S=S))))
    r = Registry(S)
    with current_registry(r):
        dref = implicit()
        rref = realize1(instantiate(dref))
        say(
            "implicit",
            isdref(dref),
            mklens(rref).name.val,
            fsstorage() == fsstorage(S),
            tlregistry(None) is r,
        )
    say("after", tlregistry(None) is None, attempt(implicit))
    with current_storage(S):
        say("storage", fsstorage() == fsstorage(S), len(find("implicit")))
    low = partial(node, "lower", n=1)
    a = realize1(instantiate(upper, low, S=S))

    def change(c):
        c["n"] += 1
        return mkconfig(c)

    b = realize1(instantiate(upper, redefine(low, change), S=S))
    c = realize1(instantiate(redefine(partial(upper, lower=low), lambda c: c.update(m=5)), S=S))
    say(
        "redefined",
        mklens(a, S=S).lower.n.val,
        mklens(b, S=S).lower.n.val,
        mklens(c, S=S).m.val,
        mklens(c, S=S).lower.n.val,
    )
    d = realize1(instantiate(redefine(low, new_realizer=maker("other")), S=S))
    say("same config", mklens(d, S=S).out.contents, rref2dref(d) == mklens(a, S=S).lower.dref)
    say("matcher", len(realizeMany(instantiate(redefine(low, new_matcher=match_all), S=S))))
    say("evaluate", evaluate(low, S=S) == d)
    say("mistakes", attempt(lambda: instantiate(lambda r: 1, S=S)), attempt(lambda: instantiate(nested, S=S)))
    say(
        "mistakes",
        attempt(lambda: mkconfig({"a": (1, 2)})),
        attempt(lambda: mkconfig({"a": object()})) != "ok",
        attempt(lambda: mkconfig({1: 2})),
    )
    say(
        "mistakes",
        attempt(lambda: instantiate(lambda r: node("a b", r=r), S=S)),
        attempt(lambda: instantiate(lambda r: node("x", r=r, y=rref), S=S)),
    )
    say(
        "mistakes",
        attempt(lambda: instantiate(pair, S=mkSS(root + "/other"), r=r)),
        attempt(lambda: realize1(instantiate(mkconfig, {}, S=S))),
    )
    say("config", mkconfig({"name": "x", "r": r, "n": 1}).val, cfgname(mkconfig({})), repr(Config({"a": 1})))
    closure = instantiate(upper, low, S=S)[1]
    say(
        "lens",
        mklens(closure, S=S).lower.n.val,
        realize1(mklens(closure, S=S).lower.closure) == mklens(a, S=S).lower.rref,
    )
    l = mklens({"a": {"b": 1}})
    l.a.b.val += 1
    say("assigned", l.val, attempt(lambda: setattr(mklens(rref2dref(a), S=S).name, "val", 1)) != "ok")
    j = realize1(
        instantiate(
            lambda r: mkdrv(
                mkconfig({"name": "json", "j": [selfref, "x.json"]}),
                match_only(),
                build_wrapper(lambda b: writejson(mklens(b).j.syspath, {"k": {"v": 7}})),
                r,
            ),
            S=S,
        )
    )
    say("json", mklens(j, S=S).j.k.v.val)
