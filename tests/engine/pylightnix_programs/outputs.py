# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""Promises, realizers of the low level, names that do not count, failures."""

from prelude import *


def low(paths):
    def realizer(S, dref, context, rarg):
        say("low", len(context), sorted(rarg.items()))
        found = []
        for files in paths:
            folder = mkdtemp(dir=fstmpdir(S))
            for name, text in files.items():
                makedirs(dirname(join(folder, name)), exist_ok=True)
                writestr(join(folder, name), text)
            found.append(Path(folder))
        return found

    return realizer


def raw(name, paths, matcher=None, r=None, **fields):
    return mkdrv(mkconfig({"name": name, **fields}), matcher or match_all, low(paths), r)


def failing(kind, r):
    def make(b):
        if kind == "raise":
            raise ValueError("no")
        if kind == "nothing":
            return
        makedirs(join(build_outpath(b), "deep", "er"))
        writestr(mklens(b).deep.syspath, "x")
        writestr(join(build_outpath(b), "out.txt"), "x")

    config = {
        "name": "failing",
        "kind": kind,
        "out": [selfref, "out.txt"],
        "deep": [selfref, "deep", "er", "x.txt"],
    }
    return mkdrv(mkconfig(config), match_only(), build_wrapper(make), r)


def main(root):
    S = mkSS(root)
    fsinit(S)
    for kind in ("raise", "nothing", "good"):
        say(kind, attempt(lambda: realize1(instantiate(failing, kind, S=S))))
    two = realizeMany(instantiate(raw, "two", [{"a": "1"}, {"a": "2"}], S=S))
    say("two", len(two), sorted(readstr(join(rref2path(x, S), "a")) for x in two))
    same = realizeMany(instantiate(raw, "same", [{"a": "1"}, {"a": "1"}], S=S))
    say("same", len(same))
    hidden = realizeMany(instantiate(raw, "hidden", [{"a": "1", "_x": "1"}, {"a": "1", "_x": "2"}], S=S))
    say("hidden", len(hidden), sorted(listdir(rref2path(hidden[0], S)) + ["context.json"])[:2])
    deep = realizeMany(instantiate(raw, "deep", [{"d/e/f": "1", "g": "2"}], S=S))
    say(
        "deep",
        folder_of(rref2path(deep[0], S)),
        sorted(basename(p) for p in rrefdata(deep[0], S) if basename(p) != "context.json"),
    )
    unchecked = realizeMany(instantiate(raw, "unchecked", [{"a": "1"}], out=[selfref, "missing"], S=S))
    say("unchecked", len(unchecked))
    say(
        "read-only",
        attempt(lambda: writestr(join(rref2path(two[0], S), "a"), "x")) in ("ok", "PermissionError"),
    )
    args = {rref2dref(two[0]): {"x": 1}}
    realizeMany(instantiate(raw, "two", [{"a": "1"}, {"a": "2"}], S=S), force_rebuild=True, realize_args=args)
    say("realized", attempt(lambda: realizeMany(instantiate(realized(raw), "two", [{"a": "3"}], S=S))))
    say("not realized", attempt(lambda: realizeMany(instantiate(realized(raw), "new", [{"a": "3"}], S=S))))
    new = instantiate(raw, "new", [], S=S)[0]
    closure = instantiate(raw, "new", [{"a": "3"}], S=S)
    say("asserted", attempt(lambda: realizeMany(closure, assert_realized=[new])) != "ok")
    r = Registry(S)
    dref = mknode(r, {"x": 1}, {"f": b"bytes", "g": b""}, "given")
    rref = realize1(instantiate(dref, r=r))
    say(
        "given",
        folder_of(rref2path(rref, S)),
        open(join(rref2path(rref, S), "f"), "rb").read().decode(),
        mklens(rref, S=S).x.val,
    )
    say("reserved", attempt(lambda: mknode(r, {"__artifacts__": 1})))
