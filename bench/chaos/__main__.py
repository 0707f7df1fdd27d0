"""Everything under load while it breaks: ``python -m bench.chaos --minutes 60``.

Gateway, two servers, scaler, exporter on a driver that is made up, Prometheus and Alertmanager where
the system has them. Faults come one at a time at moments that ``--seed`` chooses; each has its turn
before one comes again. Exit code 1 where a promise is broken. Run it as root in a machine of its own:
it makes network namespaces and a small disk, and takes them away.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import Progress

from bench import common
from bench.chaos import report, session
from bench.chaos.faults import BY_NAME, FAULTS
from bench.chaos.stack import stack
from lightmeter.errors import OutsideError


def main() -> None:
    """Run it, and print or write what came out."""
    args = arguments()
    signal.signal(signal.SIGTERM, _end)
    chosen = [BY_NAME[name] for name in args.fault] if args.fault else list(FAULTS)
    about = common.machine("httpx", "uvicorn") | {"seed": args.seed, "model": args.model}
    bar = Progress(console=Console(stderr=True), transient=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, bar:
        folder = args.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        task = bar.add_task("starting", total=1.0)

        def tell(text: str, share: float) -> None:
            bar.update(task, completed=share, description=text)
            if not bar.console.is_terminal:
                print(f"{share:4.0%} {text}", file=sys.stderr, flush=True)

        with stack(folder, args.model) as one:
            one.start()
            result = session.Session(one, chosen, args.seed, tell).run(
                args.minutes * 60, args.rounds
            )
    said = report.markdown(result, about)
    document = json.dumps(session.document(result, about), indent=2)
    if args.out:
        args.out.write_text(document if args.out.suffix == ".json" else said + "\n")
    print(document if args.json else said)
    raise SystemExit(1 if result.broken else 0)


def _end(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=60.0, help="how long; 60 unless told")
    parser.add_argument("--rounds", type=int, default=0, help="end sooner, when each fault was there so often; 0 goes on")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="chooses faults, targets and moments")
    parser.add_argument("--model", default="still", choices=("still", "tiny"), help="what the servers serve")  # fmt: skip
    parser.add_argument("--fault", action="append", metavar="NAME", choices=list(BY_NAME), help=f"only these, each in turn: {', '.join(BY_NAME)}")  # fmt: skip
    parser.add_argument("--out", type=Path, help="file for the result: Markdown, or JSON where it ends in .json")  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="an empty folder for logs and data, which stays")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or these words."""
    parser = _parser()
    args = parser.parse_args(words)
    if not 0 < args.minutes <= 10_080:
        parser.error(f"--minutes {args.minutes:g}: more than 0, at most 10080 (a week)")
    if args.rounds < 0:
        parser.error(f"--rounds {args.rounds}: 0 or more")
    if args.keep and args.keep.exists() and any(args.keep.iterdir()):
        parser.error(f"--keep {args.keep} is not empty; name an empty or a new folder")
    return args


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OutsideError as error:
        raise SystemExit(str(error)) from error
