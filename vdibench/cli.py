"""``vdibench`` on the command line: the group, and errors as one line with an exit code.

Exit codes: 0 pass, 99 objective missed, 98 no or too little data, 97 invalid run, 2 usage, 1 fault, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from vdibench import __version__
from vdibench.errors import VdibenchError

__all__ = ["cli", "main"]

INTERRUPTED = 130

# Command -> the module of vdibench.commands that has it. Imported when asked for: analysis and WebRTC take a second
# to load, and `vdibench lab down` needs neither.
_COMMANDS = {
    "run": "run",
    "watch": "watch",
    "load": "load",
    "preflight": "preflight",
    "conformance": "conformance",
    "lab": "lab",
    "report": "report",
    "verdict": "report",
    "runs": "report",
    "compare": "compare",
    "plan": "plan",
    "graduate": "graduate",
    "selftest": "selftest",
    "record": "record",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"vdibench.commands.{module}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="vdibench")
def cli() -> None:
    """Validate and benchmark GPU virtual desktops: does one work, how many fit, what may be shipped."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # A terminated command cleans up as an interrupted one does.
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    # A terminal that goes away (a dropped ssh) ends a command as Ctrl-C does, unless nohup asked for the contrary.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)
    code: int
    try:
        result = cli.main(prog_name="vdibench", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except VdibenchError as error:
        print(f"vdibench: error: {error}", file=sys.stderr)
        code = error.exit_code
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        print("vdibench: interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`): nobody is left to tell, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
