"""What changes a fingerprint and what does not, for projects written to a folder and walked."""

from __future__ import annotations

import functools
import importlib
import json
import linecache
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType

import pytest

from stagedml.fingerprint import diff_fingerprints, fingerprint, fingerprint_digest
from stagedml.fingerprint.syntax import Source, canonical

PROJECT = {
    "proj/__init__.py": "",
    "proj/stages.py": '''
        """The stages."""
        from proj import records
        from proj.metrics import f1 as score
        from .table import *
        from stagedml import Build, promise, stage

        LIMIT = 10

        @stage(version=1, toy={"size": 1})
        def realizer(b, size=3):
            """Build it."""
            from proj.deep.train import train
            rows = records.read(b.path, limit=LIMIT)
            return train(rows, size) + score(rows) + lookup(size)

        def unrelated():
            return 1
        ''',
    "proj/records.py": """
        import csv
        def read(path, limit):
            return [parse(row) for row in csv.reader(open(path))][:limit]
        def parse(row):
            return [int(x) for x in row]
        def write(path):
            return path
        """,
    "proj/metrics.py": """
        import math
        import proj.stages
        def f1(rows, beta=1.0):
            return math.sqrt(len(rows)) * beta
        """,
    "proj/table.py": """
        TABLE = {"a": 1}
        TABLE["b"] = 2
        def lookup(x):
            return TABLE.get(x, 0)
        """,
    "proj/deep/__init__.py": "from .loop import step\n",
    "proj/deep/loop.py": """
        def step(x):
            return x + 1
        """,
    "proj/deep/train.py": """
        from proj.deep import step
        raise RuntimeError("importing me takes minutes")
        class Base:
            rate: float = 0.1
        class Model(Base):
            def run(self, row: list[int]) -> int:
                total: int = 0
                for x in row:
                    total += step(x)
                return total
        def train(rows, size):
            return sum(Model().run(r) for r in rows) * size
        """,
}
REACHED = {
    "proj.stages:realizer",
    "proj.stages:LIMIT",
    "proj.records:read",
    "proj.records:parse",
    "proj.metrics:f1",
    "proj.table:TABLE",
    "proj.table:lookup",
    "proj.deep.train:train",
    "proj.deep.train:Model",
    "proj.deep.train:Base",
    "proj.deep.loop:step",
}

Loader = Callable[..., Callable[..., object]]


def dedent(text: str) -> str:
    lines = text.strip("\n").rstrip(" ").split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines) + "\n"


def forget(*tops: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loader]:
    """Writes a project, with files replaced or texts changed in them, and gives one function of it."""
    count = 0

    def write(
        files: dict[str, str], *edits: tuple[str, str, str], entry: str = "proj.stages:realizer"
    ) -> Callable[..., object]:
        nonlocal count
        count += 1
        root = tmp_path / str(count)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            body = dedent(text)
            for file, old, new in edits:
                if file == name:
                    assert old in body, (old, body)
                    body = body.replace(old, new)
            path.write_text(body, encoding="utf-8")
        forget("proj", "other")
        monkeypatch.syspath_prepend(str(root))
        module, _, name = entry.partition(":")
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))  # type: ignore[no-any-return]

    fake = FunctionType((lambda **_: lambda f: f).__code__, {}, "stage")
    import stagedml

    for name in ("stage", "promise", "Build"):
        monkeypatch.setattr(stagedml, name, fake, raising=False)
    yield write
    forget("proj", "other")


def test_reaches_helpers_without_importing_them(load: Loader) -> None:
    """Names, attributes, lazy and star imports, bases and constants are followed; nothing is run."""
    assert set(fingerprint(load(PROJECT))) == REACHED
    assert "proj.deep.train" not in sys.modules


SAME = {
    "comment": ("proj/metrics.py", "import math", "# what it is for\nimport math"),
    "white space": (
        "proj/metrics.py",
        "math.sqrt(len(rows)) * beta",
        "(math.sqrt( len(rows) )\n        *beta)",
    ),
    "docstring": ("proj/stages.py", '"""Build it."""', '"""Build it well."""'),
    "a first docstring": ("proj/metrics.py", "):\n", '):\n    "The harmonic mean."\n'),
    "annotations": ("proj/metrics.py", "rows, beta=1.0)", "rows: list[int], beta: float = 1.0) -> float"),
    "a local annotation": ("proj/deep/train.py", "total: int = 0", "total = 0"),
    "quotes": ("proj/table.py", '"a"', "'a'"),
    "number notation": ("proj/stages.py", "LIMIT = 10", "LIMIT = 0xA"),
    "unreached function": ("proj/stages.py", "return 1", "return 2"),
    "order of functions": ("proj/records.py", "def parse", "def extra(): pass\ndef parse"),
    "engine decorator": ("proj/stages.py", 'toy={"size": 1}', 'toy={"size": 2}'),
    "import path": ("proj/deep/train.py", "from proj.deep import step", "from proj.deep.loop import step"),
    "unused import": ("proj/records.py", "import csv\n", "import csv, json\n"),
}


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME)
def test_same_identity(load: Loader, edit: tuple[str, str, str]) -> None:
    """What cannot change a result changes no entry."""
    assert diff_fingerprints(fingerprint(load(PROJECT)), fingerprint(load(PROJECT, edit))) == []


DIFFERENT = {
    "own body": ("proj/stages.py", "+ score(rows)", "- score(rows)", "proj.stages:realizer"),
    "own default": ("proj/stages.py", "size=3", "size=4", "proj.stages:realizer"),
    "constant": ("proj/stages.py", "LIMIT = 10", "LIMIT = 11", "proj.stages:LIMIT"),
    "mutated constant": ("proj/table.py", 'TABLE["b"] = 2', 'TABLE["b"] = 3', "proj.table:TABLE"),
    "helper one module away": ("proj/records.py", "[:limit]", "[-limit:]", "proj.records:read"),
    "helper's helper": ("proj/records.py", "int(x)", "float(x)", "proj.records:parse"),
    "re-exported helper": ("proj/deep/loop.py", "x + 1", "x + 2", "proj.deep.loop:step"),
    "method": ("proj/deep/train.py", "total += step(x)", "total -= step(x)", "proj.deep.train:Model"),
    "base class": ("proj/deep/train.py", "rate: float = 0.1", "rate: float = 0.2", "proj.deep.train:Base"),
    "default of a helper": ("proj/metrics.py", "beta=1.0", "beta=2.0", "proj.metrics:f1"),
    "type of a default": ("proj/metrics.py", "beta=1.0", "beta=1", "proj.metrics:f1"),
    "meaning of an import": ("proj/metrics.py", "import math", "import cmath as math", "proj.metrics:f1"),
}


@pytest.mark.parametrize("edit", DIFFERENT.values(), ids=DIFFERENT)
def test_different_identity(load: Loader, edit: tuple[str, str, str, str]) -> None:
    """What can change a result changes exactly the definition it is in."""
    *change, changed = edit
    old, new = fingerprint(load(PROJECT)), fingerprint(load(PROJECT, tuple(change)))
    assert diff_fingerprints(old, new) == [("changed", changed)]
    assert fingerprint_digest(old) != fingerprint_digest(new)


def test_difference_names_what_came_and_went(load: Loader) -> None:
    """A helper replaced by another shows as changed, added and removed names."""
    edit = ("proj/records.py", "[parse(row)", "[str(row)")
    edit2 = ("proj/stages.py", "lookup(size)", "len(unrelated())")
    new = fingerprint(load(PROJECT, edit, edit2))
    assert diff_fingerprints(fingerprint(load(PROJECT)), new) == [
        ("removed", "proj.records:parse"),
        ("changed", "proj.records:read"),
        ("changed", "proj.stages:realizer"),
        ("added", "proj.stages:unrelated"),
        ("removed", "proj.table:TABLE"),
        ("removed", "proj.table:lookup"),
    ]


def test_digest_ignores_order_and_is_pinned() -> None:
    """The digest of a mapping is one literal everywhere."""
    assert fingerprint_digest({"b:g": "1", "a:f": "2"}) == fingerprint_digest({"a:f": "2", "b:g": "1"})
    assert fingerprint_digest({"a:f": "2", "b:g": "1"}) == "f5ff2bd905c0d3c095b1985ad5a1174b"


KINDS = {
    "proj/__init__.py": "",
    "proj/stages.py": """
        from functools import partial, wraps
        import proj.tools
        from proj import tools as t
        from proj.tools import loud

        def helper(x):
            return x * 2

        def plain(b, scale):
            return helper(b) * scale

        def factory(scale, how):
            def inner(b):
                return how(b) * scale
            return inner

        @loud
        def decorated(b):
            return t.shared(b)

        def recursive(b):
            return mutual(b - 1) if b else 0

        def mutual(b):
            return recursive(b)

        def dotted(b):
            return proj.tools.shared(b)

        def passes_module(b):
            return getattr(t, "shared")(b)

        def dynamic(b):
            import importlib
            return importlib.import_module("proj.tools").shared(b)

        def shadowing(b):
            helper = [b]
            return [mutual for mutual in helper]

        class Callable:
            def __call__(self, b):
                return helper(b)

            def method(self, b):
                return mutual(b)

        first, second = lambda b: helper(b), lambda b: mutual(b)
        bound = partial(plain, scale=3)
        made = factory(2, helper)
        made_other = factory(3, helper)
        instance = Callable()
        method = instance.method
        typed: "Callable" = Callable()

        def takes(b, c: Callable):
            return c.method(b)
        """,
    "proj/tools.py": """
        from functools import wraps
        def shared(b):
            return b
        def loud(f):
            @wraps(f)
            def inner(*args):
                return f(*args)
            return inner
        """,
}
ALL_TOOLS = {"proj.tools:shared", "proj.tools:loud"}
RECURSION = {"proj.stages:recursive", "proj.stages:mutual"}
CALLABLE = {"proj.stages:Callable", "proj.stages:helper", *RECURSION}
OBJECTS = {
    "partial": ("bound", {"proj.stages:plain", "proj.stages:helper"}),
    "decorated": (
        "decorated",
        {"proj.stages:decorated", "proj.tools:loud.<locals>.inner", *ALL_TOOLS},
    ),
    "cycle": ("recursive", RECURSION),
    "dotted import": ("dotted", {"proj.stages:dotted", "proj.tools:shared"}),
    "module handed on": ("passes_module", {"proj.stages:passes_module", *ALL_TOOLS}),
    "import_module of a literal": ("dynamic", {"proj.stages:dynamic", *ALL_TOOLS}),
    "local names": ("shadowing", {"proj.stages:shadowing"}),
    "class": ("Callable", CALLABLE),
    "callable instance": ("instance", CALLABLE),
    "bound method": ("method", CALLABLE | {"proj.stages:Callable.method"}),
    "class of a parameter": ("takes", CALLABLE | {"proj.stages:takes"}),
    "lambda": ("first", {"proj.stages:<lambda>", "proj.stages:helper"}),
    "second lambda of the line": ("second", {"proj.stages:<lambda>", *RECURSION}),
}


@pytest.mark.parametrize(("name", "reached"), OBJECTS.values(), ids=OBJECTS)
def test_kinds_of_callables(load: Loader, name: str, reached: set[str]) -> None:
    """Whatever may be a realizer is followed to its source."""
    assert set(fingerprint(load(KINDS, entry=f"proj.stages:{name}"))) == reached


def test_closure_sees_what_it_captured(load: Loader) -> None:
    """A function made by a factory is told from another by the plain values and functions it captured."""
    made = fingerprint(load(KINDS, entry="proj.stages:made"))
    other = fingerprint(load(KINDS, entry="proj.stages:made_other"))
    assert set(made) == {
        "proj.stages:factory.<locals>.inner",
        "proj.stages:factory.<locals>.inner(scale)",
        "proj.stages:helper",
    }
    assert diff_fingerprints(made, other) == [("changed", "proj.stages:factory.<locals>.inner(scale)")]


def test_same_directory_is_project_and_installed_code_is_not(
    load: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sibling module is followed; one below site-packages and the standard library are not."""
    site = tmp_path / "1" / "site-packages"
    site.mkdir(parents=True)
    (site / "installed_thing.py").write_text("def h(b):\n    return b\n")
    monkeypatch.syspath_prepend(str(site))
    files = {
        "proj.py": """
            import json, installed_thing, other
            def f(b):
                return other.g(b), json.dumps(b), installed_thing.h(b)
            """,
        "other.py": "def g(b):\n    return b\n",
    }
    assert set(fingerprint(load(files, entry="proj:f"))) == {"proj:f", "other:g"}
    del sys.modules["installed_thing"]


def test_code_without_source_is_unknown() -> None:
    """`exec`, builtins and classes made at run time give one entry that says so."""
    scope: dict[str, object] = {"__name__": "typed"}
    exec("def f(b):\n    return b\n", scope)
    assert fingerprint(scope["f"]) == {"typed:f": "unknown"}  # type: ignore[arg-type]
    assert fingerprint(len) == {"builtins:len": "unknown"}
    assert fingerprint(functools.partial(print)) == {"functools:partial": "unknown"}


def test_module_that_does_not_parse_is_not_followed(load: Loader) -> None:
    """A broken helper module neither raises nor hides the rest."""
    broken = {**PROJECT, "proj/deep/train.py": "def train(:\n"}
    assert "proj.stages:realizer" in fingerprint(load(broken))


def prompt_input(number: int, text: str, scope: dict[str, object]) -> None:
    name = f"<input-{number}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), scope)


@pytest.mark.parametrize("changed", ["x + 2", "x + 1  # same"])
def test_inputs_of_a_notebook(changed: str) -> None:
    """Functions of a notebook are seen across its inputs, as far as the interpreter keeps their text."""
    found = []
    for helper in ("x + 1", changed):
        scope: dict[str, object] = {"__name__": "notebook"}
        prompt_input(1, f"RATE = 3\ndef helper(x):\n    return {helper}\n", scope)
        prompt_input(2, "def realizer(b):\n    return helper(b) * RATE\n", scope)
        found.append(fingerprint(scope["realizer"]))  # type: ignore[arg-type]
    assert set(found[0]) == {"notebook:realizer", "notebook:helper", "notebook:RATE"}
    expected = [] if "same" in changed else [("changed", "notebook:helper")]
    assert diff_fingerprints(*found) == expected


SYNTAX = '''
import os, sys as system
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from nowhere import Nothing
LIMITS = {"a": 1.5e300, "b": -0.0, **{}}
TEXT = "a\\u00e9\\U0001fae8" "b" f"c{LIMITS!r:>{10}}d{1}" + rb"\\x00"[0:0].decode()
EMPTY = f"{TEXT:}" + f"{TEXT=}" + f"" + f"{'x'}" "tail"
async def gather(*args: int, key: "str" = u"k", **more) -> None:
    """Doc."""
    async with open(key) as f, open(key):
        async for x in f:
            yield [y async for y in x if (z := y)]
    try:
        pass
    except* (OSError, ValueError) as e:
        raise e from None
    match args:
        case [1, *rest] | {"k": [*rest], **more}:
            return
        case os.PathLike(name=n) if n:
            del n
class Point:
    x: int = 1
    y: "float"
'''
SCRIPT = """
import sys
from pathlib import Path
from stagedml.fingerprint.syntax import Source, canonical
source = Source("m", None, text=Path(sys.argv[1]).read_text(encoding="utf-8"))
print(canonical(source.tree))
for name in sorted(source.bindings):
    for node in source.definitions(name):
        print(name, sorted(source.references(node)))
"""


def other_pythons() -> list[str]:
    """The interpreters of the supported versions, where this machine has them."""
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    found = [str(p) for root in roots for p in sorted(root.glob("3.1[123].*/bin/python3"))]
    return [p for p in found if Path(p).resolve() != Path(sys.executable).resolve()]


def test_canonical_text_is_that_of_every_python_version(tmp_path: Path) -> None:
    """The canonical text, and the references, of all kinds of syntax are the same in each version at hand."""
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python of the supported versions here (looked in $PYENV_ROOT/versions)")
    target = tmp_path / "syntax_sample.py"
    target.write_text(SYNTAX, encoding="utf-8")
    outputs = set()
    for python in [sys.executable, *pythons]:
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PYTHONHASHSEED": "random"}
        command = [python, "-c", SCRIPT, str(target)]
        outputs.add(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    assert len(outputs) == 1


def test_canonical_text_is_pinned() -> None:
    """The text that is hashed is a contract: stores hold its digests."""
    source = Source(
        "m", None, text='def f(x: int, y=1) -> str:\n    "Doc."\n    return f"a{x}" + "b"  # why\n'
    )
    assert canonical(source.tree.body[0]) == (
        "FunctionDef(name='f';args=arguments(args=[arg(arg='x';)arg(arg='y';)]defaults=[int:1;])"
        "body=[Return(value=BinOp(left=JoinedStr(values=[str:'a';FormattedValue(value=Name(id='x';)"
        "conversion=-1;)])op=Add()right=str:'b';))])"
    )


def test_stable_across_processes_and_as_a_script(load: Loader, tmp_path: Path) -> None:
    """A realizer defined in a script has the fingerprint it has when the script is imported."""
    script = {
        "proj.py": """
            import json, sys
            def helper(b):
                return b
            def f(b):
                return helper(b)
            if __name__ == "__main__":
                from stagedml.fingerprint import fingerprint
                json.dump(fingerprint(f), sys.stdout)
            """
    }
    func = load(script, entry="proj:f")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, func.__code__.co_filename]
    run = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert json.loads(run.stdout) == fingerprint(func)
