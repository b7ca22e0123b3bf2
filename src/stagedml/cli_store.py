"""The commands that look after a store: verify, push, pull, adopt, root, gc."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from stagedml.errors import ConfigError, CorruptError, MissingError, UnknownStageError
from stagedml.refs import RRef, is_rref
from stagedml.store import Store, current_store

Command = Callable[[argparse.Namespace], int]
AddCommand = Callable[[str, Command, str], argparse.ArgumentParser]


def add_keeping(add: AddCommand) -> None:
    """Adds the commands to the parser's."""
    sub = add("verify", verify_command, "rehash everything, or one closure; damage goes to quarantine")
    sub.add_argument("ref", nargs="?")
    sub.add_argument("--remote", metavar="URL", help="bring it back from there ($STAGEDML_REMOTE)")
    sub = add("push", push_command, "send realizations, and all they were built from, to a remote store")
    sub.add_argument("refs", nargs="+", metavar="REF|STAGE", help="a realization, or a realized stage")
    sub.add_argument("--to", metavar="URL", help="an fsspec URL or a folder (default: $STAGEDML_REMOTE)")
    sub.add_argument("--check", action="store_true", help="read back what is there, repair what is damaged")
    sub = add("pull", pull_command, "bring a realization, and all it was built from, from a remote store")
    sub.add_argument("ref", help="a reference, or what is unambiguous there")
    sub.add_argument(
        "--from", metavar="URL", dest="source", help="the same as --to (default: $STAGEDML_REMOTE)"
    )
    sub = add(
        "adopt", adopt_command, "bring in what Pylightnix 0.3.0 has built, contexts and contents verified"
    )
    sub.add_argument("path", help="its storage, or the root with store-v0 in it")
    sub = add("root", root_command, "protect a realization from gc")
    sub.add_argument("ref", nargs="?", help="without one, lists the roots")
    sub.add_argument("--name", default="")
    sub.add_argument("--remove", metavar="NAME", help="remove a root")
    sub = add("gc", gc_command, "what no root and no running process needs; deletes only with --delete")
    sub.add_argument("--delete", action="store_true")
    sub.add_argument("--keep-best", nargs=3, action="append", default=[], metavar=("NAME", "METRIC", "K"))
    sub.add_argument("--max-seconds-per-gb", type=float, help="spare what is dearer to build again")


def push_command(args: argparse.Namespace) -> int:
    from stagedml.remote import Remote, push

    store = current_store()
    rrefs = [rref for text in args.refs for rref in _meant(store, text)]
    remote = Remote(_needed_address(args.to, "--to"))
    sent = there = size = 0
    for moved in push(remote, store, rrefs, check=args.check):
        size += moved.bytes
        sent, there = sent + (not moved.was_there), there + moved.was_there
        print(
            f"there    {moved.rref}" if moved.was_there else f"sent     {moved.rref}  {in_bytes(moved.bytes)}"
        )
    print(f"{sent} sent ({in_bytes(size)}), {there} there already", file=sys.stderr)
    return 0


def pull_command(args: argparse.Namespace) -> int:
    from stagedml.remote import Remote, pull

    store = current_store()
    remote = Remote(_needed_address(args.source, "--from"))
    rref = remote.resolve(args.ref)
    for moved in pull(remote, store, rref):
        word, size = ("here", "") if moved.was_there else ("taken", f"  {in_bytes(moved.bytes)}")
        print(f"{word:<8} {moved.rref.name}{size}", file=sys.stderr)
    print(rref)
    return 0


def _address(given: str | None) -> str:
    return os.environ.get("STAGEDML_REMOTE", "") if given is None else given


def _needed_address(given: str | None, option: str) -> str:
    url = _address(given)
    if not url:
        raise ConfigError("which remote store?", hint=f"{option} URL, or set $STAGEDML_REMOTE")
    return url


def _meant(store: Store, text: str) -> list[RRef]:
    """The realizations that a word of the command line means: one of the store, or a stage's."""
    from stagedml.browse import resolve
    from stagedml.menu import find_stage
    from stagedml.plan import forecast
    from stagedml.realize import realizeMany
    from stagedml.reporter import Reporter
    from stagedml.stage import Manager, instantiate_in

    try:
        return [resolve(store, text)]
    except MissingError as missing:
        try:
            stage = find_stage(text)
        except UnknownStageError:
            raise missing from None
    closure = instantiate_in(Manager(store), stage)
    todo = [step.name for step in forecast(closure, remote="") if step.verb != "reuse"]
    if todo:
        raise MissingError(
            f"{text} is not realized: {', '.join(todo[:3])}{' ...' if len(todo) > 3 else ''}",
            where=store.path,
            hint=f"stagedml realize {text}",
        )
    return realizeMany(closure, reporter=Reporter(), remote="")


def verify_command(args: argparse.Namespace) -> int:
    from stagedml.browse import closure, resolve, verify

    store = current_store()
    url = _address(args.remote)
    rrefs = list(closure(store, resolve(store, args.ref))) if args.ref else None
    count = bad = 0
    lost: list[RRef] = []
    for name, folder, problems in verify(store, rrefs):
        count += 1
        if problems:
            bad += 1
            lost += _realizations_in(folder)
            print(f"damaged  {name}  {folder}: {'; '.join(problems[:5])}")
            print(f"         moved to {store.quarantine(folder, '; '.join(problems))}")
    restored = _restore(store, url, lost) if url and lost else 0
    print(f"{count} realizations read, {bad} damaged{f', {restored} restored' if url and bad else ''}")
    return 0 if not bad or (lost and restored == len(lost)) else 1


def _realizations_in(folder: str) -> list[RRef]:
    """What is lost with a folder, which is a realization or a derivation with all of its own."""
    parent, name = os.path.split(folder)
    if os.path.basename(parent) != "drv":
        return [RRef(f"rref:{name}-{os.path.basename(parent)}")]
    found = (f"rref:{digest}-{name}" for digest in os.listdir(folder))
    return [RRef(r) for r in found if is_rref(r)]


def _restore(store: Store, url: str, lost: list[RRef]) -> int:
    """Pulls what was damaged; says what came and why something did not."""
    from stagedml.remote import Remote, pull

    remote, restored = Remote(url), 0
    for rref in lost:
        try:
            for moved in pull(remote, store, rref):
                if not moved.was_there:
                    print(f"taken    {moved.rref.name}  from {remote.name}")
            restored += 1
        except (CorruptError, MissingError) as e:
            print(f"lost     {rref.name}  {e.where}: {e.what}")
    return restored


def adopt_command(args: argparse.Namespace) -> int:
    from stagedml.pylightnix.adopt import adopt

    result = adopt(args.path)
    for ref, reason in result.refused.items():
        print(f"refused  {ref}\n         {reason}")
    for rref in result.rrefs.values():
        print(rref)
    print(f"{len(result.rrefs)} realizations adopted, {len(result.refused)} refused", file=sys.stderr)
    return 1 if result.refused else 0


def root_command(args: argparse.Namespace) -> int:
    from stagedml.browse import resolve
    from stagedml.garbage import root, roots, unroot

    store = current_store()
    if args.remove:
        unroot(store, args.remove)
    elif args.ref:
        print(root(store, resolve(store, args.ref), args.name))
    else:
        for rref, places in sorted(roots(store).items()):
            print(f"{rref}  {', '.join(places)}")
    return 0


def gc_command(args: argparse.Namespace) -> int:
    from stagedml.garbage import best, collect, garbage

    store = current_store()
    keep = [r for name, metric, k in args.keep_best for r in best(store, name, metric, int(k))]
    function = collect if args.delete else garbage
    found = function(store, keep=keep, max_seconds_per_gb=args.max_seconds_per_gb)
    for c in found:
        print(f"{c.record.rref}  {in_bytes(c.bytes):>9}  {c.seconds:9.1f} s to build again")
    size, seconds = sum(c.bytes for c in found), sum(c.seconds for c in found)
    total = f"{len(found)} realizations, {in_bytes(size)}, {seconds:.0f} s to build again"
    print(f"{'deleted' if args.delete else 'would go (with --delete)'}: {total}")
    return 0


def in_bytes(n: float) -> str:
    """A number of bytes, short."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"
