"""What a run costs, by the price of an hour of what it runs on, and the budget that ends it as Ctrl-C would."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cxr.errors import BadInput

PRICE = "CXR_HOUR_PRICE"  # in the environment, so that what a job starts knows it too
FORM = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?([^\s\d.,]{0,9})")
SECONDS_UNTIL_AGAIN = 60.0  # where what stops the run was lost in a library's callback


class BudgetSpent(KeyboardInterrupt):
    """The run ends as one that the user interrupts."""


@dataclass(frozen=True)
class HourPrice:
    amount: float
    currency: str

    def words(self, amount: float) -> str:
        return f"{amount:.2f} {self.currency}".rstrip()

    def cost(self, seconds: float) -> str:
        """`0.21 EUR at 2.50 EUR an hour`."""
        spent = self.amount * seconds / 3600
        shown = f"less than {self.words(0.01)}" if self.amount and spent < 0.01 else self.words(spent)
        return f"{shown} at {self.words(self.amount)} an hour"


class Cost(BaseModel):
    """Options of every job that takes long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: str | None = None
    """Of an hour of the machine or the cluster that the job has, as "2.50 EUR": forecast, last line and record then
    tell what it costs. By default CXR_HOUR_PRICE."""
    budget: float | None = Field(None, gt=0, allow_inf_nan=False)
    """What this run may cost at --price. It then ends as by Ctrl-C, with exit code 4, and the same command goes on."""

    @field_validator("price")
    @classmethod
    def _is_price(cls, price: str | None) -> str | None:
        if price is not None:
            parse_price(price)
        return price


def parse_price(text: str) -> HourPrice:
    """Raises `ValueError` where it is none."""
    if not (found := FORM.fullmatch(text.strip())):
        raise ValueError('no price of an hour; give one as "2.50 EUR"')
    return HourPrice(float(found[1]), found[2])


def hour_price() -> HourPrice | None:
    """That of this process, where one is known.

    Raises:
        BadInput: the environment names what is no price.
    """
    text = os.environ.get(PRICE, "")
    try:
        return parse_price(text) if text.strip() else None
    except ValueError as error:
        raise BadInput(f"{PRICE} {text[:60]!r}: {error}") from None


@contextmanager
def within_budget(cost: Cost) -> Iterator[HourPrice | None]:
    """Yields the price of an hour, which is this process's meanwhile, and ends what is done inside when the budget is
    spent, which is so after a time that follows from both. In the main thread.

    Raises:
        BudgetSpent: wherever the main thread is then.
        BadInput: a budget without a price.
    """
    before = os.environ.get(PRICE, "")
    os.environ[PRICE] = before if cost.price is None else cost.price
    try:
        price = hour_price()
        if cost.budget is None:
            yield price
            return
        if price is None or not price.amount:
            raise BadInput(f'--budget {cost.budget:g}: needs --price, of an hour, as "2.50 EUR"')
        spent = f"the budget of {price.words(cost.budget)} is spent at {price.words(price.amount)} an hour"
        with stop_after(3600 * cost.budget / price.amount, spent):
            yield price
    finally:
        os.environ[PRICE] = before


@contextmanager
def stop_after(seconds: float, why: str) -> Iterator[None]:
    """Raises `BudgetSpent` where the main thread is after so many seconds."""
    over = False

    def stop(signum: int, frame: object) -> NoReturn:
        nonlocal over
        over = True
        raise BudgetSpent(why)

    handler = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), SECONDS_UNTIL_AGAIN)  # 0 would be never
    try:
        yield
    except KeyboardInterrupt:  # into which Ray turns ours
        if over:
            raise BudgetSpent(why) from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
