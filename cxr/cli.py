"""What every job starts with: arguments in, exit code out, one clear line for what a user can mend."""

import atexit
import dataclasses
import inspect
import io
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

try:
    import tyro
except ModuleNotFoundError:  # a cluster's Python, where a job starts there
    print(
        f"cxr: {sys.executable} has not what cxr needs; start the cluster from an environment that has it, its bin "
        "first in PATH (PATH=$PWD/.venv/bin:$PATH ray start ...), or pip install it there",
        file=sys.stderr,
    )
    sys.exit(2)
from pydantic import BaseModel, ValidationError
from tyro.conf import FlagConversionOff, OmitArgPrefixes, arg
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from cxr.cost import BudgetSpent, Cost, within_budget
from cxr.errors import BadInput, SomeFailed, StoreError, disk_full, nearest
from cxr.screen import in_notebook

DONE, BUG, BAD_INPUT, SOME_FAILED, BUDGET_SPENT, INTERRUPTED = 0, 1, 2, 3, 4, 130
MOST_WORKERS = 10_000
HELP = ("-h", "--help")
ENTRY = {"cxr": ("cxr",), "__main__": ("python", "-m", "cxr")}  # what starts us, by the name of its file
Args = TypeVar("Args")
Config = TypeVar("Config")
Recipes = Mapping[str, Callable[[], BaseModel]]
FromRecipe = Annotated[OmitArgPrefixes[Config], arg(name="recipe")]  # a recipe's fields, each an option
CostOptions = Annotated[OmitArgPrefixes[Cost], arg(name="cost")]  # --price and --budget
NO_PRICE = Cost()


def run(args: type[Args], job: Callable[[Args], int]) -> None:
    """Parses the command line into `args`, runs the job and exits with its code (docs/scale.md)."""
    leave(guard(lambda: work(job, parse(args, sys.argv[1:], job.__doc__ or ""))))


def work(job: Callable[[Args], int], args: Args) -> int:
    """Runs the job within its budget; its last line is what that cost, where a price is known."""
    cost: Cost | None = getattr(args, "cost", None)
    if cost is None:  # of a job that takes no time
        return job(args)
    start = time.monotonic()
    with within_budget(cost) as price:
        code = job(args)
    if price and not getattr(args, "dry_run", False):
        print(f"cost: {price.cost(time.monotonic() - start)}")
    return code


def guard(main: Callable[[], int]) -> int:
    """What `main` returns, or the code of what it raises, whose one line it prints."""
    speak_unicode()
    for stop in (signal.SIGINT, signal.SIGTERM):  # what `ray job stop` and Kubernetes send does as Ctrl-C does
        signal.signal(stop, signal.default_int_handler)  # set, because shells have background jobs ignore SIGINT
    try:
        return main()
    except (BadInput, StoreError, OSError) as error:
        reason = disk_full(error) or error  # a temporary file's, of a plan or a catalog
        if isinstance(reason, OSError):
            raise
        print(f"{program()}: {' '.join(str(reason).split())}", file=sys.stderr)
        return BAD_INPUT
    except SomeFailed as error:
        print(error, file=sys.stderr)
        return SOME_FAILED
    except KeyboardInterrupt as stop:
        spent = isinstance(stop, BudgetSpent)
        why = str(stop) if spent else "stopped"
        print(
            f"\n{program()}: {why}; what is stored stays, and the same command goes on:\n  {again()}", file=sys.stderr
        )
        return BUDGET_SPENT if spent else INTERRUPTED


def speak_unicode() -> None:
    """Names of files, what is written to files, and every process that is started from here: UTF-8, whatever the
    locale; a terminal that cannot print a character gets its number in its place.

    A locale without it (`LC_ALL=C` where Python may not mend that by itself) is fixed when the interpreter starts, so
    this process begins again as one in UTF-8 mode.
    """
    if sys.getfilesystemencoding() != "utf-8" and not in_notebook() and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def leave(code: int) -> NoReturn:
    """Ends the process without taking the interpreter down; a notebook's kernel, which `%run` runs jobs in, lives on.

    Arrow's threads outlive what they read: one that gives a Python buffer back to an interpreter that is being taken
    down ends the process with SIGABRT, when all the work was done.
    """
    if in_notebook():
        sys.exit(code)
    atexit._run_exitfuncs()
    flush_output()
    sys.stderr.flush()
    os._exit(code)


def flush_output() -> None:
    """Nothing is said where the reader has seen enough, as of `--help | head`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(args: type[Args], words: Sequence[str], description: str = "") -> Args:
    """The words of a command line as `args`, a dataclass.

    Where it has `RECIPES`, the first word names the one that its field `config` starts from; `recipe` keeps the name.

    Raises:
        BadInput: the words do not fit, or a value is out of its range.
    """
    name, description = program(), inspect.cleandoc(description)
    default: Any = tyro.MISSING_NONPROP
    if recipes := getattr(args, "RECIPES", None):
        recipe, words, description = split_recipe(recipes, words, description)
        name, default = f"{name} RECIPE", start_from(args, recipe, recipes)
    usage_error = io.StringIO()
    try:
        with redirect_stderr(usage_error):
            return tyro.cli(
                args, args=words, default=default, description=description, prog=name,
                config=[FlagConversionOff], registry=SWITCHES,
            )  # fmt: skip
    except BrokenPipeError:
        flush_output()
        sys.exit(DONE)
    except (ValidationError, SystemExit) as stop:
        if error := find_validation_error(stop):
            raise out_of_range(error) from None
        if isinstance(stop, SystemExit) and stop.code in (0, None):
            flush_output()
            raise
        raise BadInput(f"{plain(usage_error.getvalue())} (--help lists the options)") from None


def split_recipe(recipes: Recipes, words: Sequence[str], description: str) -> tuple[str, Sequence[str], str]:
    """The recipe's name, the words behind it, and what the help says of it; without a name it lists all of them."""
    if words and words[0] in HELP:
        name = next(iter(recipes))
        lines = "\n".join(f"  {each:<18}{first_line(recipe)}" for each, recipe in recipes.items())
        more = f"Give a recipe first:\n{lines}\n\nThe options of {name}; RECIPE --help shows another's:"
        return name, words, f"{description}\n\n{more}"
    if not words or words[0].startswith("-"):
        raise BadInput(f"give a recipe first: {', '.join(recipes)} (--help tells more)")
    return words[0], words[1:], f"{description}\n\n{words[0]}: {first_line(find_recipe(recipes, words[0]))}"


def find_recipe(recipes: Mapping[str, Config], name: str) -> Config:
    """The recipe of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in recipes:
        raise BadInput(f"no recipe is called {name[:60]!r}; {nearest(name, recipes)}")
    return recipes[name]


def first_line(described: object) -> str:
    return (described.__doc__ or "").partition("\n")[0]


def start_from(args: type[Args], recipe: str, recipes: Recipes) -> Args:
    """`args` with the recipe's values; what has no default has to be given."""
    required = [field.name for field in dataclasses.fields(args) if field.default is dataclasses.MISSING]  # type: ignore[arg-type]
    values: dict[str, Any] = dict.fromkeys(required, tyro.MISSING)
    return args(**values | {"recipe": recipe, "config": recipes[recipe]()})


SWITCHES = ConstructorRegistry()


@SWITCHES.primitive_rule
def switch(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """`--flip`, `--flip True` or `--flip False`, of every field that is a bool."""
    if info.type is not bool:
        return None
    return PrimitiveConstructorSpec(
        nargs=(0, 1), metavar="[True|False]", instance_from_str=read_switch,
        is_instance=lambda value: isinstance(value, bool), str_from_instance=lambda value: [str(value)],
    )  # fmt: skip


def read_switch(words: list[str]) -> bool:
    if words and words[0] not in ("True", "False"):
        raise ValueError(f"give True or False, not {words[0][:60]!r}")
    return words != ["False"]


def find_validation_error(error: BaseException | None) -> ValidationError | None:
    """This error, or the one that led to it."""
    while error is not None and not isinstance(error, ValidationError):
        error = error.__context__
    return error


def out_of_range(error: ValidationError) -> BadInput:
    """The line that names the option whose value a configuration refuses."""
    first = error.errors()[0]
    why = first["msg"].removeprefix("Value error, ")
    fields = [str(part) for part in first["loc"] if isinstance(part, str)]
    if not fields:  # of several fields together
        return BadInput(why)
    return BadInput(f"--{fields[-1].replace('_', '-')} {str(first['input'])[:60]!r}: {why}")


TOLD: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [  # what tyro says, and what we do
    (r"Missing from [^:]+: (.*\(required\))", lambda found: f"missing: {name_missing(found[1])};"),
    (r" \(applied to [^)]*\)", ""),
    (r"Unrecognized (?:or misplaced )?options:", "unknown:"),
    (r" Arguments are applied to .*?Available subcommands: ([\w-]+(?:, [\w-]+)*).*", r"; begin with one of: \1"),
    (r" (?:Perhaps you meant|Arguments similar to [^:]*): (-[\w-]+).*", r"; did you mean \1?"),
    (r"Error parsing (-[\w-]+): invalid literal for int\(\) with base 10: (.*)", r"\1 \2: give a whole number"),
    (r"Error parsing (-[\w-]+): could not convert string to float: (.*)", r"\1 \2: give a number"),
]


def plain(text: str) -> str:
    """A boxed, coloured message of tyro as one line of words, without its title and the options' help."""
    frame = r"\x1b\[[0-9;]*m|╭.*╮|^(?: [A-Z][\w ]*\n)?[ ]*-{10,}[ ]*$"  # the last where a terminal has ASCII alone
    text = re.sub(frame, "", text, flags=re.M)
    text = re.sub(r"[╰╯│─]+|Got errors:|(Argument helptext:|For full helptext,? (see|run)).*", " ", text, flags=re.S)
    line = " ".join(text.split())
    for pattern, words in TOLD:
        line = re.sub(pattern, words, line)
    return line.removesuffix(";")


def name_missing(described: str) -> str:
    """The options of a list of required ones, each with its help; of a word without a name what it is."""
    each = [one.strip() for one in described.split("(required)")[:-1]]
    named = [one.split()[0] if one.startswith("-") else re.split(r"[,:.] ", one.partition(" ")[2])[0] for one in each]
    return ", ".join(name if name.startswith("-") else name[:1].lower() + name[1:].rstrip(".") for name in named)


def check_workers(workers: int | None) -> None:
    """`BadInput` unless it is a number of workers that a cluster may have, or left to us."""
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise BadInput(f"--workers {workers}: give a number from 1 to {MOST_WORKERS}")


def program() -> str:
    """What was called: `generate.py`, or `cxr generate`."""
    file, *words = sys.argv
    return " ".join(["cxr", *words[:1]]) if Path(file).stem in ENTRY else Path(file).name


def again(*extra: str) -> str:
    """The command line as typed, ready to paste, with more options behind it."""
    file, *words = sys.argv
    return shlex.join([*ENTRY.get(Path(file).stem, ("python", file)), *words, *extra])
