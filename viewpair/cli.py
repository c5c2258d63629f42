"""The command line: `viewpair VERB [flags] [key=value ...]`.

Every verb composes one typed config with Hydra's overrides. What a user can mend is printed as one message on
stderr with exit code 2; Ctrl-C exits with 130; only an error of ours shows a traceback (exit code 1).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn, Protocol, cast

from omegaconf import DictConfig, OmegaConf

import viewpair.commands
from core.errors import UserError, did_you_mean, disk_full

USER_ERROR, INTERRUPTED = 2, 130
# Configs that a verb may be told by; the third is "trial". Composing the last imports nothing that trains.
SWEEP, RESULTS = "sweep", "results"


class Command(Protocol):
    """What a module of viewpair/commands offers.

    A module may also have `checked(overrides)`: those of the command line that can be composed before it runs (the
    others it composes itself). And it may have ACTIONS, {word: line}: what the verb can do, the first being what it
    does when the command line names none (`viewpair data check`). The word arrives as `arguments.action`.
    """

    LINE: str
    PRIMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's own flags."""

    def run(self, config: DictConfig, arguments: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are UserErrors that name the nearest right flag."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        if unknown != message.split(" ")[0] and unknown.startswith("-"):
            flags = [f for action in self._actions for f in action.option_strings]
            raise UserError(f"{self.prog} has no flag {unknown}", did_you_mean(unknown, flags))
        raise UserError(message, f"see {self.prog} --help")


def verbs() -> list[str]:
    """Names of all verbs, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(viewpair.commands.__path__) if not m.name.startswith("_"))


def load(verb: str) -> Command:
    """The module of a verb. Raises UserError that names the nearest verbs."""
    known = verbs()
    if verb not in known:
        raise UserError(f"there is no verb {verb!r}", did_you_mean(verb, known))
    return cast(Command, importlib.import_module(f"viewpair.commands.{verb}"))


def overview() -> str:
    """The text of `viewpair --help`: what it is for and a line for each verb."""
    lines = ["usage: viewpair VERB [flags] [key=value ...]", ""]
    lines += ["Does the structure of medical images earn its keep? Pre-train, evaluate and compare.", "", "verbs:"]
    lines += [f"  {verb:<10} {load(verb).LINE}" for verb in verbs()]
    lines += ["", "viewpair VERB --help lists a verb's flags, and every config key with its line.", ""]
    return "\n".join(lines)


def parse(verb: str, command: Command, words: Sequence[str]) -> argparse.Namespace:
    """Flags and overrides of one verb, in any order."""
    parser = Parser(prog=f"viewpair {verb}", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--cfg", choices=["job"], help="print the resolved config as YAML and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the config")
    command.add_arguments(parser)
    action, rest = split_action(verb, command, list(words))
    arguments = parser.parse_intermixed_args(rest)
    arguments.parser, arguments.action = parser, action
    return arguments


def split_action(verb: str, command: Command, words: list[str]) -> tuple[str, list[str]]:
    """The verb's action and the other words. Raises UserError that names the nearest actions."""
    actions = list(getattr(command, "ACTIONS", {}))
    if not actions:
        return "", words
    if not words or words[0].startswith("-") or "=" in words[0]:
        return actions[0], words
    if words[0] not in actions:
        raise UserError(f"viewpair {verb} cannot {words[0]!r}", did_you_mean(words[0], actions))
    return words[0], words[1:]


def configure(command: Command, overrides: list[str]) -> DictConfig:
    """The verb's composed config, its values checked."""
    from core.compose import compose, compose_alone, to_object

    overrides = getattr(command, "checked", list)(overrides)
    if command.PRIMARY == RESULTS:
        from sweeps.config import ResultsConfig

        config = compose_alone(overrides, ResultsConfig)
    elif command.PRIMARY == SWEEP:
        from sweeps.config import register, with_profile

        register()
        config = compose(with_profile(overrides), SWEEP)
    else:
        config = compose(overrides, command.PRIMARY)
    to_object(config)
    return config


def dispatch(words: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Raises UserError for a user's mistake."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return 0
    verb, *rest = words
    command = load(verb)
    arguments = parse(verb, command, rest)
    if arguments.help:
        from viewpair.help import describe

        print(describe(verb, command, arguments))
        return 0
    config = configure(command, arguments.overrides)
    if arguments.cfg:
        print(OmegaConf.to_yaml(config, resolve=True), end="")
        return 0
    return command.run(config, arguments)


@contextlib.contextmanager
def quiet_pipe() -> Iterator[None]:
    """End silently when the reader of our output (such as `head`) has gone."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(message: str) -> None:
    """One message for the user, on stderr."""
    print(f"viewpair: {message}", file=sys.stderr)


def main(words: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    code = 0
    try:
        with quiet_pipe():
            code = dispatch(sys.argv[1:] if words is None else words)
    except UserError as error:
        say(str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        say("interrupted; what was computed is kept, run the same command to go on")
        return INTERRUPTED
    except OSError as error:
        if not disk_full(error):
            raise
        say(f"the disk is full ({error.filename or error})\n  -> free some space and run the same command to go on")
        return USER_ERROR
    return code
