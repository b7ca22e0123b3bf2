# ruff: noqa - written in the way of Pylightnix programs, wildcards included
"""A file of this machine as a stage."""

from prelude import *


def main(root):
    S = mkSS(root)
    fsinit(S)
    path = join(root, "given.txt")
    writestr(path, "given")
    digest = filehash(Path(path))
    a = realize1(instantiate(fetchlocal, sha256=digest, path=path, mode="as-is", S=S))
    say("as-is", mklens(a, S=S).out_path.contents, mklens(a, S=S).mode.val, mklens(a, S=S).path.val == path)
    environ["GIVEN"] = path
    b = realize1(
        instantiate(fetchlocal, sha256=digest, envname="GIVEN", mode="as-is", filename="f", foo=1, S=S)
    )
    say(
        "variable",
        mklens(b, S=S).out_path.contents,
        basename(mklens(b, S=S).out_path.syspath),
        mklens(b, S=S).foo.val,
    )
    say(
        "wrong",
        attempt(lambda: realize1(instantiate(fetchlocal, sha256="0" * 64, path=path, mode="as-is", S=S)))
        != "ok",
    )
    say("neither", attempt(lambda: instantiate(fetchlocal, sha256=digest, mode="as-is", S=S)))
