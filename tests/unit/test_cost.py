"""A price gives forecast, last line and record a cost; a budget ends a run as Ctrl-C does, with a code of its own."""

import importlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from cxr import cli
from cxr.artifact import Made
from cxr.artifact.lifecycle import Artifact
from cxr.artifact.record import record_json
from cxr.browse.words import tell_work
from cxr.cost import PRICE, Cost, HourPrice, hour_price, parse_price, within_budget
from cxr.errors import BadInput
from cxr.jobs import describe_jobs
from cxr.report.forecast import Forecast
from cxr.store import open_store


@dataclass(frozen=True)
class Args:
    dry_run: bool = False
    """Only say."""
    cost: cli.CostOptions = cli.NO_PRICE


def run(monkeypatch: pytest.MonkeyPatch, job, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["jobs/some_job.py", *words])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return cli.guard(lambda: cli.work(job, cli.parse(Args, words, "A job.")))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PRICE, raising=False)


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [("2.50 EUR", 2.5, "EUR"), (" 2 ", 2.0, ""), ("0.35USD", 0.35, "USD"), ("450 ₦", 450.0, "₦")],
)
def test_a_price_is_a_number_and_a_currency(text: str, amount: float, currency: str) -> None:
    assert parse_price(text) == HourPrice(amount, currency)


@pytest.mark.parametrize("text", ["cheap", "-1 EUR", "2,50 EUR", "EUR 2", "1e9", "nan", "2 EUR an hour"])
def test_what_is_no_price_is_one_line(monkeypatch, capsys, text: str) -> None:
    assert run(monkeypatch, lambda args: 0, f"--price={text}") == cli.BAD_INPUT
    told = capsys.readouterr().err
    assert f"--price '{text}'" in told and told.count("\n") == 1
    monkeypatch.setenv(PRICE, text)
    with pytest.raises(BadInput, match=PRICE):
        hour_price()


def test_the_cost_is_the_time_at_the_price_of_an_hour() -> None:
    assert HourPrice(2.5, "EUR").cost(7200) == "5.00 EUR at 2.50 EUR an hour"
    assert HourPrice(2.5, "").cost(300) == "0.21 at 2.50 an hour"
    assert HourPrice(2.5, "EUR").cost(3) == "less than 0.01 EUR at 2.50 EUR an hour"
    assert HourPrice(0.0, "EUR").cost(3) == "0.00 EUR at 0.00 EUR an hour"


def test_the_last_line_is_the_cost_but_of_a_dry_run(monkeypatch, capsys) -> None:
    def job(args: Args) -> int:
        print("made")
        return cli.SOME_FAILED

    assert run(monkeypatch, job, "--price", "2 EUR") == cli.SOME_FAILED
    assert capsys.readouterr().out == "made\ncost: less than 0.01 EUR at 2.00 EUR an hour\n"
    run(monkeypatch, job, "--price", "2 EUR", "--dry-run")
    run(monkeypatch, job)
    assert capsys.readouterr().out == "made\nmade\n"
    monkeypatch.setenv(PRICE, "3 USD")
    run(monkeypatch, job)
    assert capsys.readouterr().out.endswith("at 3.00 USD an hour\n")


def test_a_forecast_tells_the_cost_of_its_time(monkeypatch) -> None:
    known = Forecast("a", "b", "c", "about 2 hours", 7200)
    assert "cost" not in known.text("there")
    with within_budget(Cost(price="2.50 EUR")):
        assert "time: about 2 hours\ncost: about 5.00 EUR at 2.50 EUR an hour\nnothing" in known.text("there")
        assert "cost: as the time\n" in Forecast("a", "b", "c").text("there")
    assert "cost" not in known.text("there")


def test_a_record_keeps_the_price_where_there_is_one(tmp_path) -> None:
    job = Artifact(open_store(str(tmp_path)), {})
    job.__class__.kind = "a test's"
    made = Made(count=0, bytes=0, digest="")
    assert "hour_price" not in json.loads(record_json(job.new_record(made, [], {}, inputs={})))
    with within_budget(Cost(price="2.50 EUR")):
        assert job.new_record(made, [], {}, inputs={}).hour_price == "2.50 EUR"


def test_a_page_over_a_record_tells_what_it_cost() -> None:
    record = SimpleNamespace(timings={"total": 300.0}, device="CPU, x86_64", hour_price="2.50 EUR")
    assert tell_work(SimpleNamespace(record=record)) == [
        "It took 5 min on CPU, x86_64, which cost 0.21 EUR at 2.50 EUR an hour."
    ]
    record.hour_price = ""
    assert tell_work(SimpleNamespace(record=record)) == ["It took 5 min on CPU, x86_64."]


def test_a_budget_is_a_time_at_the_price() -> None:
    before = signal.getitimer(signal.ITIMER_REAL)
    with within_budget(Cost(price="2.50 EUR", budget=5)):
        assert 7100 < signal.getitimer(signal.ITIMER_REAL)[0] <= 7200
    assert signal.getitimer(signal.ITIMER_REAL)[0] <= before[0]


def test_a_spent_budget_ends_the_job_with_4_and_says_how_to_go_on(monkeypatch, capsys) -> None:
    def job(args: Args) -> int:
        time.sleep(60)
        raise AssertionError("the budget was not kept")

    words = ("--price", "3600 EUR", "--budget", "0.05")
    assert run(monkeypatch, job, *words) == cli.BUDGET_SPENT == 4
    said = capsys.readouterr()
    assert "the budget of 0.05 EUR is spent at 3600.00 EUR an hour; what is stored stays" in said.err
    assert said.err.endswith(f"  {cli.again()}\n") and "Traceback" not in said.err and not said.out
    assert not os.environ[PRICE]


def test_an_end_that_a_library_takes_for_ctrl_c_is_the_budgets(monkeypatch, capsys) -> None:
    def job(args: Args) -> int:
        try:
            time.sleep(60)
        except KeyboardInterrupt:  # as Ray does
            raise KeyboardInterrupt from None
        return 0

    assert run(monkeypatch, job, "--price", "3600", "--budget", "0.05") == cli.BUDGET_SPENT


def test_ctrl_c_within_the_budget_is_ctrl_c(monkeypatch, capsys) -> None:
    def job(args: Args) -> int:
        raise KeyboardInterrupt

    assert run(monkeypatch, job, "--price", "1 EUR", "--budget", "5") == cli.INTERRUPTED


@pytest.mark.parametrize("words", [("--budget", "5"), ("--budget", "5", "--price", "0 EUR"), ("--budget=-1",),
                                   ("--budget", "nan")])  # fmt: skip
def test_a_budget_needs_a_price_and_money(monkeypatch, capsys, words) -> None:
    assert run(monkeypatch, lambda args: 0, *words) == cli.BAD_INPUT
    assert "--budget" in capsys.readouterr().err


def test_every_job_with_a_dry_run_takes_a_price_and_a_budget() -> None:
    jobs = [importlib.import_module(f"cxr.jobs.{name}") for name in describe_jobs()]
    options = [{*job.Args.__dataclass_fields__} for job in jobs if hasattr(job, "Args")]
    assert sum("dry_run" in fields for fields in options) >= 11
    assert [fields for fields in options if ("dry_run" in fields) != ("cost" in fields)] == []
