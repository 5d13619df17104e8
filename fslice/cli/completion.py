"""``fslice completion``: what lets a shell complete commands, options and their values."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from fslice.cli._arguments import Parser, command_parser

_DESCRIPTION = """\
Print what lets a shell complete the commands, their options, and the values of options that
have a few. Put the line of your shell into its file of settings.
"""

_EXAMPLE = """\
  eval "$(fslice completion bash)"      in ~/.bashrc
  eval "$(fslice completion zsh)"       in ~/.zshrc, after compinit
  fslice completion fish | source       in ~/.config/fish/config.fish
"""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command_parser(
        commands, "completion", run, "let the shell complete commands", _DESCRIPTION, _EXAMPLE
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose language to print")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print the script."""
    from fslice.cli import command_line

    commands = _commands(command_line())
    script = _fish(commands) if arguments.shell == "fish" else _bash(commands)
    if arguments.shell == "zsh":  # which reads what is written for bash
        script = f"autoload -U +X bashcompinit && bashcompinit\n{script}"
    print(script, end="")
    return {"shell": arguments.shell, "script": script}


def _commands(parser: Parser) -> dict[str, Parser]:
    """Return the parsers of all commands by their names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _choices(parser: Parser) -> list[tuple[argparse.Action, list[str]]]:
    """Return the options of a command, each with the values that it may have, if these are few."""
    return [
        (action, [str(value) for value in action.choices or ()])
        for action in parser._actions
        if action.option_strings
    ]


def _bash(commands: dict[str, Parser]) -> str:
    options, values = [], []
    for name, parser in commands.items():
        listed = [option for action, _ in _choices(parser) for option in action.option_strings]
        options.append(f"    {name}) words={shlex.quote(' '.join(listed))} ;;")
        for action, known in _choices(parser):
            if known:
                places = "|".join(f'"{name} {option}"' for option in action.option_strings)
                values.append(f"    {places}) words={shlex.quote(' '.join(known))} ;;")
    return "\n".join(
        [
            "_fslice() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" words=""',
            '  local command="${COMP_WORDS[1]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f"    words={shlex.quote(' '.join([*commands, '--help', '--version']))}",
            '  elif [ "${word#-}" != "$word" ]; then',
            '    case "$command" in',
            *options,
            "    esac",
            '  else case "$command $before" in',
            *values,
            "    esac",
            "  fi",
            '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
            "}",
            "complete -o default -F _fslice fslice",
            "",
        ]
    )


def _fish(commands: dict[str, Parser]) -> str:
    lines = [
        f"complete -c fslice -n __fish_use_subcommand -a {name}"
        f" -d {shlex.quote((parser.description or '').split('. ')[0].split(':')[0].strip())}"
        for name, parser in commands.items()
    ]
    for name, parser in commands.items():
        for action, known in _choices(parser):
            words = [
                f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                for option in action.option_strings
            ]
            if known:
                words.append(f"-xa {shlex.quote(' '.join(known))}")
            elif action.nargs != 0:
                words.append("-r")
            condition = shlex.quote(f"__fish_seen_subcommand_from {name}")
            lines.append(f"complete -c fslice -n {condition} {' '.join(words)}")
    return "\n".join([*lines, ""])
