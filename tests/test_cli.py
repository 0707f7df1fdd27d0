"""The front door, through the real command: help, refusals, settings, history, completion."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest

from lightmeter import cli
from lightmeter.configuration import known_keys
from lightmeter.journal import Journal
from support import rows
from support.cli import clean_environment, lightmeter, python
from support.rows import every, row


HEAVY = {"pandas", "numpy", "torch", "fastapi", "pydantic", "pyarrow", "httpx", "matplotlib"}
LOADED = (
    "import sys; from lightmeter.cli import main\n"
    "try: main(sys.argv[1:])\n"
    "except SystemExit as end: print(*sys.modules, file=sys.stderr); sys.exit(end.code)"
)


def paths(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Walk every command and subcommand there is."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from paths(inner, (*path, name))


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small history."""
    return rows.folder(tmp_path_factory.mktemp("past"), every(60, 50))


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(flag: str, tmp_path: Path) -> None:
    """--help lists every command with its line, and starts without a heavy library."""
    ran = python(LOADED, flag, cwd=tmp_path)

    assert 0 == ran.code
    for name, text in cli.COMMANDS.items():
        assert f"\n  {name} " in ran.out
        assert text in re.sub(r"\s+", " ", ran.out)
    assert "lightmeter.cli" in ran.err.split()
    assert set() == HEAVY & set(ran.err.split())


@pytest.mark.parametrize("path", [path for path in paths(cli.root) if path], ids=" ".join)
def test_help_of_each(path: tuple[str, ...], tmp_path: Path) -> None:
    """Every command and subcommand has a --help of its own, which touches nothing."""
    ran = lightmeter(*path, "--help", cwd=tmp_path)

    assert (0, "") == (ran.code, ran.err)
    assert ran.out.startswith(f"Usage: lightmeter {' '.join(path)} ")
    assert "--help" in ran.out
    assert [] == list(tmp_path.iterdir())


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Walk every command that does something, with its help."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, (*path, name))
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield " ".join(path), command.help or ""


def test_examples() -> None:
    """Every command that does something shows in its --help how it is typed."""
    helps = dict(leaves(cli.root))

    assert {"serve", "plan", "config show", "history repair"} <= helps.keys()
    assert [] == [name for name, text in helps.items() if f"lightmeter {name}" not in text and not re.search(rf"\blightmeter .*\b{name}\b", text)]  # fmt: skip


@pytest.mark.parametrize("group", [[], ["history"], ["config"]])
def test_bare(group: list[str], tmp_path: Path) -> None:
    """A group without a command is bad usage, but no help text is squeezed into one line."""
    ran = lightmeter(*group, cwd=tmp_path)

    assert 2 == ran.code
    assert max(map(len, ran.err.splitlines())) < 200


def test_version(tmp_path: Path) -> None:
    """--version is the installed version."""
    ran = lightmeter("--version", cwd=tmp_path)

    assert (0, f"lightmeter {metadata.version('lightmeter')}\n", "") == (ran.code, ran.out, ran.err)


PLAN = "plan --history PAST --out out"
SERVE = "serve --port 0 --metrics-port 0 --model"
REFUSED = {
    "srve": "no command 'srve' (see lightmeter --help); did you mean 'serve'?",
    "history shwo": "No such command 'shwo'. Did you mean 'show'?",
    "serve --prot 1": "'--port'",
    "plan": "Missing option '--history'",
    "plan --history PAST": "Missing option '--out'",
    "history show": "Missing argument 'DIR'",
    "history import gentd27 x --out y": "'gentd27'",
    "completion tcsh": "'tcsh'",
    "--config absent.toml config show": "configuration file 'absent.toml' does not exist",
    "history show absent": "history 'absent' does not exist; make one with",
    "plan --history absent --out out": "history 'absent' does not exist; make one with",
    "history import gentd26 absent.csv --out out": "trace 'absent.csv' does not exist",
    f"{PLAN} --sku aws-g6e-l40": "SKU 'aws-g6e-l40' is in no price table; did you mean 'aws-g6e-l40s'?",
    f"{PLAN} --slo p95=30s": "is not understood at 'p95=30s'; write it like p95_wait=30s,attainment=0.95",
    f"{PLAN} --slo p95_wait=1s,attainment=95": "attainment is 95.0; it must lie between 0 and 1",
    f"{PLAN} --month 2026-13": "month '2026-13' is no month; write it like 2026-10",
    f"{PLAN} --month 9999-12": "month",
    f"{PLAN} --month 2026-09": "name another --month",
    f"{PLAN} --prices absent.csv": "price table 'absent.csv' does not exist",
    "plan audit absent.toml": "claims 'absent.toml' does not exist",
    "plan audit --history x": "'--history'",
    "plan --history PAST --out out audi": "No such command 'audi'. Did you mean 'audit'?",
    f"{PLAN} --seed -1": "plan.seed is '-1' (from --seed): ",
    "serve --workers -1": "serve.workers is '-1' (from --workers): ",
    f"{SERVE} absent": "model 'absent' does not exist; give a folder saved with save_pretrained",
    f"{SERVE} ./absent": "model './absent' does not exist; give a folder saved with save_pretrained",
    f"{SERVE} /a/b": "model '/a/b' does not exist; give a folder saved with save_pretrained",
    "localprom --port 0 --data /dev/null/x": "give another --data",
    "replay absent": "decisions 'absent' does not exist; name the folder 'scale' of a scaler's data",
    f"{SERVE} PAST": "is no diffusers pipeline: model_index.json does not exist",
}  # fmt: skip


@pytest.mark.parametrize("command", REFUSED)
def test_refused(command: str, past: Path, tmp_path: Path) -> None:
    """Bad usage and bad input end with 2, one line that says what to do, and nothing left behind."""
    arguments = [str(past) if word == "PAST" else word for word in command.split()]

    assert REFUSED[command] in lightmeter(*arguments, cwd=tmp_path).refusal()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"_class_name": "FluxPipeline"}', "is a FluxPipeline; lightmeter serves ZImagePipeline"),
        ('{"_class_name": ', "its model_index.json is damaged; save or download it again"),
        ("[]", "its model_index.json is damaged; save or download it again"),
        ("{}", "its model_index.json is damaged; save or download it again"),
    ],
)
def test_wrong_pipeline(content: str, words: str, tmp_path: Path) -> None:
    """A pipeline of another class, or a damaged one, is refused before anything is loaded."""
    (tmp_path / "model_index.json").write_text(content)

    said = lightmeter(*SERVE.split(), tmp_path, cwd=tmp_path).refusal()
    assert f"model {str(tmp_path)!r} is" in said
    assert words in said


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_busy_port(option: str, tmp_path: Path) -> None:
    """A port that another program has is refused by address, with what to do."""
    other = {"--port": "--metrics-port", "--metrics-port": "--port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        ran = lightmeter("serve", "--model", "still", option, port, other, "0", cwd=tmp_path)

    assert f"address 127.0.0.1:{port} is already in use; give another {option}, or 0 for a free one" == ran.refusal()  # fmt: skip


def test_unknown_variable(tmp_path: Path) -> None:
    """A misspelled variable is refused by every command that has settings."""
    for command in ("serve", "up", "config show", "doctor"):
        ran = lightmeter(*command.split(), cwd=tmp_path, LIGHTMETER_SERVE_PROT="1")
        assert "variable LIGHTMETER_SERVE_PROT is no setting; did you mean 'LIGHTMETER_SERVE_PORT'?" in ran.refusal()  # fmt: skip


def test_not_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An environment that lacks a package is one line with the way out; a fault of ours is not hidden."""
    monkeypatch.delitem(sys.modules, "lightmeter.cli.config_", raising=False)
    monkeypatch.setitem(sys.modules, "lightmeter.cli.options", None)
    with pytest.raises(ImportError, match="lightmeter"):
        cli.main(["config", "show"])
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "lightmeter.cli.completion_", raising=False)
    monkeypatch.setitem(sys.modules, "click.shell_completion", None)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["completion", "bash"])

    assert "lightmeter: the environment is not whole: " in capsys.readouterr().err


def test_reader_gone(tmp_path: Path) -> None:
    """A reader that has seen enough, like head, makes no failure and no noise."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "lightmeter.cli", "config", "show"],
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
            cwd=tmp_path,
            env=clean_environment(),
        )

    assert (0, b"") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, tmp_path: Path) -> None:
    """Each shell gets a script that completes this command, and that the shell can read."""
    ran = lightmeter("completion", shell, cwd=tmp_path)

    assert (0, "") == (ran.code, ran.err)
    assert f"_LIGHTMETER_COMPLETE={shell}_complete" in ran.out
    if program := shutil.which(shell):
        checked = subprocess.run(
            [program, "-n"], input=ran.out, capture_output=True, check=False, text=True
        )
        assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize(
    ("expected", "words", "place"),
    [
        (["plan"], "lightmeter pl", 1),
        (["demand", "import", "repair", "show", "verify"], "lightmeter history ", 2),
        (["--metrics-port"], "lightmeter serve --metr", 2),
    ],
)
def test_completes(expected: list[str], words: str, place: int, tmp_path: Path) -> None:
    """The completion script is answered with commands, subcommands and options."""
    ran = lightmeter(
        cwd=tmp_path, _LIGHTMETER_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(place)
    )

    assert expected == [line.removeprefix("plain,") for line in ran.out.splitlines()]


def test_config_keeps_secrets(tmp_path: Path) -> None:
    """The login in a URL is not printed: what config show says is pasted into tickets."""
    secret = {"LIGHTMETER_SERVE_STORE": "ftp://user:hunter2@127.0.0.1:1/x"}
    shown = [
        lightmeter("config", "show", *more, cwd=tmp_path, **secret) for more in ([], ["--json"])
    ]

    assert [True, True] == ["ftp://***@127.0.0.1:1/x" in ran.out for ran in shown]
    assert not any("hunter2" in ran.out + ran.err for ran in shown)


def test_config(tmp_path: Path) -> None:
    """Config show prints every setting with its value and origin, as text and as JSON."""
    (tmp_path / "lightmeter.toml").write_text('[plan]\nsku = "aws-g5-a10g"\n')
    text = lightmeter("config", "show", cwd=tmp_path, LIGHTMETER_SERVE_QUEUE="9")
    data = lightmeter("config", "show", "--json", cwd=tmp_path, LIGHTMETER_SERVE_QUEUE="9")

    assert (0, "", 0, "") == (text.code, text.err, data.code, data.err)
    shown = [re.split(r"  +", line) for line in text.out.splitlines()]
    assert list(known_keys()) == [name for name, _, _ in shown]
    assert ["serve.queue", "9", "LIGHTMETER_SERVE_QUEUE"] in shown
    assert ["plan.sku", "aws-g5-a10g", "lightmeter.toml"] in shown
    assert ["serve.port", "7860", "default"] in shown
    values = {f"{value['section']}.{value['key']}": value for value in json.loads(data.out)}
    assert list(known_keys()) == list(values)
    assert {"section": "serve", "key": "queue", "value": 9, "origin": "LIGHTMETER_SERVE_QUEUE"} == values["serve.queue"]  # fmt: skip


def test_history(past: Path, tmp_path: Path) -> None:
    """History show counts the rows, as text and as JSON."""
    text = lightmeter("history", "show", past, cwd=tmp_path)
    data = lightmeter("history", "show", past, "--json", cwd=tmp_path)

    assert (0, "", 0, "") == (text.code, text.err, data.code, data.err)
    for line in (r"rows +50", r"first +2026-10-01T00:00", r"services +50 +a", r"outcomes +50 +ok"):
        assert re.search(rf"(?m)^{line}", text.out)
    found = json.loads(data.out)
    assert (50, {"a": 50}, {"ok": 50}) == (found["rows"], found["services"], found["outcomes"])
    assert ("2026-10-01T00:00:00+00:00", "2026-10-01T00:49:00+00:00") == (found["first"], found["last"])  # fmt: skip


def test_history_torn(tmp_path: Path) -> None:
    """A torn row is noted on stderr and in the JSON, and is no failure."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
        book.append(row(1.0))
    book.path.write_bytes(book.path.read_bytes()[:-9])
    ran = lightmeter("history", "show", tmp_path, "--json", cwd=tmp_path)

    note = f"{book.path}: the last row was cut short by a crash and is left out; 1 whole rows read"
    assert (0, f"note: {note}\n") == (ran.code, ran.err)
    assert [note] == json.loads(ran.out)["notes"]
    assert 1 == json.loads(ran.out)["rows"]


def test_doctor(tmp_path: Path) -> None:
    """The doctor finds nothing here that must be mended, and names the fix of what could be better."""
    ran = lightmeter("doctor", "--json", cwd=tmp_path)
    findings = json.loads(ran.out)

    assert (0, "") == (ran.code, ran.err)
    assert {("what", "verdict", "found", "fix")} == {tuple(finding) for finding in findings}
    assert {finding["verdict"] for finding in findings} <= {"ok", "warn"}
    assert [] == [
        each["what"] for each in findings if each["verdict"] == "warn" and not each["fix"]
    ]
    looked_at = "Python, room names, disk, torch, diffusers, NVIDIA driver, replay kernel, prices"
    assert set(looked_at.split(", ")) <= {finding["what"] for finding in findings}


def test_doctor_says_no(tmp_path: Path) -> None:
    """A library that is broken is exit code 1 with the fix; a port that is taken is a warning."""
    (tmp_path / "torch.py").write_text("raise ImportError('broken on purpose')")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        ports = {"LIGHTMETER_SERVE_PORT": port, "LIGHTMETER_EXPORT_PORT": port}
        ran = lightmeter("doctor", cwd=tmp_path, PYTHONPATH=".", **ports)

    assert (1, "") == (ran.code, ran.err)
    assert (
        "\nfail  torch: does not import (ImportError: broken on purpose)\n      make env\n"
        in ran.out
    )
    assert f"\nwarn  port {port}: taken, and --port would use it" in ran.out
    assert f"\nwarn  port {port}: taken, and export --port would use it" in ran.out
