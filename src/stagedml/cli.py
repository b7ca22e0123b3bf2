"""The command line: `stagedml COMMAND ...`; `stagedml --help` lists the commands.

Exit status: 0 done, 1 something is not as it should be (verify found damage, diff found differences),
2 an error that one message explains, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence

from stagedml.cli_store import AddCommand, Command, add_keeping, in_bytes
from stagedml.errors import StagedmlError
from stagedml.share import LocalUpstream
from stagedml.stage import Closure, Manager, instantiate_in
from stagedml.store import Store, current_store, initialize


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    args = _parser().parse_args(argv)
    if args.command is None:
        _parser().print_help()
        return 0
    try:
        if args.store is not None:
            initialize(args.store)
        status = args.command(args)
        sys.stdout.flush()
        return int(status)
    except StagedmlError as e:
        print(f"stagedml: {e}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stagedml: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except OSError as e:
        print(f"stagedml: {e.strerror}: {e.filename}" if e.filename else f"stagedml: {e}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stagedml", description="Declarative, content-addressed, staged machine-learning experiments."
    )
    parser.add_argument(
        "--store", metavar="PATH", help="the store (default: $STAGEDML_STORE or ~/.local/share/stagedml)"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(command=None)

    def add(name: str, command: Command, help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.set_defaults(command=command)
        return sub

    _building(add)
    _looking(add)
    add_keeping(add)
    return parser


def _building(add: AddCommand) -> None:
    """The commands that take a stage."""
    for name, command, help_ in (
        ("realize", realize_command, "build what is missing of a stage"),
        ("why", why_command, "what would be built, what reused, and why; builds nothing"),
        ("smoke", smoke_command, "the same closure at toy scale, in an address space of its own"),
        ("keep", keep_command, "changes of code since a stage was built are harmless: keep the results"),
    ):
        sub = _stage_arguments(add(name, command, help_))
        if name != "keep":
            sub.add_argument("--remote", metavar="URL", help="take from there instead ($STAGEDML_REMOTE)")
        if name in ("realize", "smoke"):
            sub.add_argument("-j", "--jobs", type=int, default=1, help="stages to build side by side (1)")
            sub.add_argument("--workers", type=int, help="processes inside a stage (the number of CPUs)")
            sub.add_argument("--keep-going", action="store_true", help="a failure stops only what needs it")
            sub.add_argument("--rebuild", action="append", default=[], metavar="NAME", help="build NAME anew")
            sub.add_argument("--dry-run", action="store_true", help="the same as `stagedml why`")
    sub = _stage_arguments(add("graph", graph_command, "a picture of a stage's closure"))
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="a .png or .svg file")
    add("stages", stages_command, "the stages on the menu")


def _looking(add: AddCommand) -> None:
    """The commands that look at results."""
    sub = add("ls", ls_command, "realizations in the store")
    sub.add_argument("pattern", nargs="?", default="", help="part of a name")
    for name, command, help_ in (
        ("show", show_command, "all that is known of a realization"),
        ("path", path_command, "the folder of a realization's artifacts"),
        ("log", log_command, "what a realization's stage printed"),
    ):
        add(name, command, help_).add_argument("ref", help="a reference, a part of its digest, or a name")
    sub = add(
        "predict", predict_command, "what a fine-tuned model says of sentences, or of pairs (tab between)"
    )
    sub.add_argument("ref", help="a fine-tuned realization")
    sub.add_argument("texts", nargs="*", help="sentences; without any, the lines of standard input")
    sub = add("diff", diff_command, "what differs between two realizations and all they were built from")
    sub.add_argument("one")
    sub.add_argument("other")


def _stage_arguments(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
    sub.add_argument("stage", help="a name on the menu, module:function or file.py:function")
    sub.add_argument("parameters", nargs="*", metavar="param=value")
    sub.add_argument("--strict", action="store_true", help="make the code part of every identity")
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME.PATH=VALUE",
        dest="settings",
        help="change a field of the stage called NAME, wherever it is in the closure",
    )
    return sub


def closure_of(args: argparse.Namespace, *, smoke: bool = False) -> Closure:
    """The closure that a command line names."""
    from stagedml.menu import checked_call, find_stage, parse_parameters, with_settings

    stage = find_stage(args.stage)
    parameters = checked_call(stage, parse_parameters(args.parameters))
    store = current_store()
    if smoke:
        real, store = store, Store(f"{store.path}/smoke")
        store.upstreams.append(LocalUpstream(real))
    from stagedml.code import strict

    m = Manager(store, smoke=smoke, strict=strict if args.strict else None)
    return instantiate_in(m, with_settings(stage, args.settings), **parameters)


def realize_command(args: argparse.Namespace) -> int:
    if args.dry_run:
        return why_command(args)
    return _realize(args, closure_of(args))


def smoke_command(args: argparse.Namespace) -> int:
    return _realize(args, closure_of(args, smoke=True))


def _realize(args: argparse.Namespace, closure: Closure) -> int:
    from stagedml.console import ConsoleReporter
    from stagedml.executors import Processes
    from stagedml.realize import realizeMany

    reporter = ConsoleReporter(sys.stderr, verbose=True)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the references alone
        rrefs = realizeMany(
            closure,
            executor=Processes(args.jobs) if args.jobs > 1 else None,
            rebuild=args.rebuild,
            keep_going=args.keep_going,
            workers=args.workers,
            reporter=reporter,
            remote=args.remote,
        )
    print(reporter.summary(), file=sys.stderr)
    print("\n".join(rrefs))
    return 0


def why_command(args: argparse.Namespace) -> int:
    from stagedml.console import ConsoleReporter
    from stagedml.plan import forecast

    steps = forecast(closure_of(args), remote=args.remote, reporter=ConsoleReporter(sys.stderr))
    for step in steps:
        took = f"  (last time {step.seconds:.1f} s)" if step.seconds else ""
        print(f"{step.verb:<7} {step.name}{'  ' + step.reason if step.reason else ''}{took}")
    cost = sum(s.seconds for s in steps if s.verb == "build")
    count, taken = (sum(s.verb == verb for s in steps) for verb in ("build", "take"))
    last = f", {cost:.0f} s last time" if cost else ""
    also = f", {taken} to take" if taken else ""
    print(f"{count} to build{last}, {len(steps) - count - taken} reused{also}")
    return 0


def stages_command(args: argparse.Namespace) -> int:
    from stagedml.menu import find_stage, menu

    for name in menu():
        first = (find_stage(name).__doc__ or "").strip().splitlines()
        print(f"{name:<34} {first[0] if first else ''}".rstrip())
    return 0


def ls_command(args: argparse.Namespace) -> int:
    from stagedml.browse import rows

    for r in rows(current_store(), args.pattern):
        print(f"{r.rref}  {in_bytes(r.size):>9}  {r.seconds or 0.0:9.1f} s  {r.started}")
    return 0


def show_command(args: argparse.Namespace) -> int:
    from stagedml.browse import describe, resolve

    store = current_store()
    print(json.dumps(describe(store, resolve(store, args.ref)), indent=2, ensure_ascii=False))
    return 0


def path_command(args: argparse.Namespace) -> int:
    from stagedml.browse import resolve

    store = current_store()
    print(store.path_of(resolve(store, args.ref)))
    return 0


def log_command(args: argparse.Namespace) -> int:
    from stagedml.browse import resolve

    store = current_store()
    path = f"{os.path.dirname(store.path_of(resolve(store, args.ref)))}/log.txt"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            sys.stdout.write(f.read())
    return 0


def keep_command(args: argparse.Namespace) -> int:
    from stagedml.plan import keep_code

    for name, functions in keep_code(closure_of(args)):
        print(f"kept     {name}  {', '.join(functions)}")
    return 0


def predict_command(args: argparse.Namespace) -> int:
    import importlib

    from stagedml.browse import resolve
    from stagedml.errors import DataError

    texts = args.texts or [line.rstrip("\n") for line in sys.stdin]
    if not texts:
        raise DataError(
            "no sentences", hint='write them after the reference: stagedml predict REF "A fine film."'
        )
    pairs = [text.split("\t") for text in texts]
    if len({len(p) for p in pairs}) > 1 or len(pairs[0]) > 2:
        raise DataError("all lines must hold one sentence, or all two with a tab between them")
    predict = importlib.import_module("stagedml.stages.glue.predict").predict_texts
    second = [p[1] for p in pairs] if len(pairs[0]) == 2 else None
    rref = resolve(current_store(), args.ref)
    for text, answer in zip(texts, predict(rref, [p[0] for p in pairs], second), strict=True):
        print(f"{answer.label}\t{answer.probability:.4f}\t{text}")
    return 0


def diff_command(args: argparse.Namespace) -> int:
    from stagedml.browse import diff, resolve

    store = current_store()
    sections = diff(store, resolve(store, args.one), resolve(store, args.other))
    for section in sections:
        print(section.title)
        for line in section.lines:
            print(f"  {line}")
    return 1 if sections else 0


def graph_command(args: argparse.Namespace) -> int:
    from stagedml.report.depgraph import depgraph

    print(depgraph([closure_of(args)], filename=args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
