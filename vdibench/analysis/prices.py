"""What a plan costs, by prices that somebody wrote into a file: there are none here. Pure.

Amounts are in the currency that the file names, as a text. The interval of the plan is carried through: the
conservative number of nodes gives the cost that is planned, the optimistic one the least that it may turn out to be.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vdibench.analysis.capacity import Plan, TemplatePlan
from vdibench.errors import ParameterError

__all__ = ["HOURS_A_MONTH", "PRICES_SCHEMA", "Amount", "Cost", "Prices", "Rates", "cost", "parse_prices"]

# History of the schema of price files:
# 1  first
PRICES_SCHEMA = 1
HOURS_A_MONTH = 730.0  # a year of 8,760 hours in twelve parts
_DAYS_A_MONTH = 365.0 / 12
_RATES = ("node_per_month", "node_per_hour", "gpu_per_month", "gpu_per_hour", "user_per_month")
_KEYS = ("schema", "currency", "source", "as_of", "hours_per_month", *_RATES, "templates")
_REMEDY = "docs/reference/plan.md shows a price file"


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of one template, in the file's currency."""

    node_per_month: float = 0.0
    node_per_hour: float = 0.0
    gpu_per_month: float = 0.0
    gpu_per_hour: float = 0.0
    user_per_month: float = 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """A price file.

    :param source: where the prices come from, and ``as_of`` when; as written, empty when the file does not say it.
    :param hours_per_month: that a node is paid for.
    :param templates: those that have prices of their own.
    """

    name: str
    currency: str
    rates: Rates
    hours_per_month: float = HOURS_A_MONTH
    source: str = ""
    as_of: str = ""
    templates: Mapping[str, Rates] = field(default_factory=dict)

    def of(self, template: str) -> Rates:
        """The prices of one template."""
        return self.templates.get(template, self.rates)


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount that is planned, and the least that it may turn out to be; None: nothing is known of the latter."""

    conservative: float
    optimistic: float | None

    def over(self, number: float) -> Amount:
        """Both, for each of ``number``."""
        return Amount(self.conservative / number, None if self.optimistic is None else self.optimistic / number)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan costs.

    :param per_month: all of it.
    :param per_user_month: of each user, whether present or not.
    :param per_user_hour: of each user, for each hour that nodes are paid for.
    :param per_session_hour: of each hour that somebody is there; None without a profile of the day.
    :param templates: what each costs in a month.
    """

    prices: Prices
    per_month: Amount
    per_user_month: Amount
    per_user_hour: Amount
    per_session_hour: Amount | None
    templates: Mapping[str, Amount]


def cost(plan: Plan, prices: Prices) -> Cost:
    """What a plan costs.

    :raises ParameterError: the file has prices of a template that the plan does not have.
    """
    names = [one.template.name for one in plan.templates]
    for name in prices.templates:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"the templates are: {', '.join(names)}"
            raise ParameterError(f"{prices.name} has prices of {name!r}, which is no template", remedy)
    each = {one.template.name: _monthly(one, prices) for one in plan.templates}
    lows = [amount.optimistic for amount in each.values()]
    low = sum(known for known in lows if known is not None) if None not in lows else None
    whole = Amount(sum(amount.conservative for amount in each.values()), low)
    users = plan.terms.users
    hours = plan.session_hours * _DAYS_A_MONTH if len(plan.day.minutes) > 1 else 0.0
    return Cost(
        prices,
        whole,
        whole.over(users),
        whole.over(users * prices.hours_per_month),
        whole.over(hours) if hours else None,
        each,
    )


def _monthly(one: TemplatePlan, prices: Prices) -> Amount:
    rates, hours = prices.of(one.template.name), prices.hours_per_month

    def amount(nodes: int, gpus: int) -> float:
        by_node = nodes * (rates.node_per_month + rates.node_per_hour * hours)
        by_gpu = gpus * (rates.gpu_per_month + rates.gpu_per_hour * hours)
        return by_node + by_gpu + one.users * rates.user_per_month

    low = None
    if one.nodes.optimistic is not None and one.gpus.optimistic is not None:
        low = amount(one.nodes.optimistic, one.gpus.optimistic)
    return Amount(amount(one.nodes.conservative, one.gpus.conservative), low)


def parse_prices(text: str, name: str) -> Prices:
    """Prices from the text of a YAML file.

    :param name: of the file, for messages and the record.
    :raises ParameterError: what cannot be understood.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{name} is no YAML: {error}", _REMEDY) from error
    if not isinstance(document, dict) or document.get("schema") != PRICES_SCHEMA:
        raise ParameterError(f"{name} is no price file", f"start it with 'schema: {PRICES_SCHEMA}'")
    _refuse_unknown(document, _KEYS, name)
    currency = document.get("currency")
    if not isinstance(currency, str) or not currency.strip():
        raise ParameterError(f"{name} does not say the currency", "add 'currency: EUR'")
    hours = _number(document, "hours_per_month", name, HOURS_A_MONTH)
    if not 0 < hours <= 744:
        raise ParameterError(f"{name}: a month of {hours:g} hours", "give hours_per_month above 0 and up to 744")
    rates = _rates(document, name, Rates())
    own = document.get("templates") or {}
    if not isinstance(own, dict) or not all(isinstance(values, dict) for values in own.values()):
        raise ParameterError(f"{name}: 'templates' is no table", "write a template's name, then its prices below it")
    templates = {}
    for template, values in own.items():
        _refuse_unknown(values, _RATES, f"{name}, {template}")
        templates[str(template)] = _rates(values, f"{name}, {template}", rates)
    if not any(getattr(one, rate) for one in (rates, *templates.values()) for rate in _RATES):
        raise ParameterError(f"{name} has no price", f"give one of {', '.join(_RATES)}")
    return Prices(name, currency.strip(), rates, hours, _text(document, "source"), _text(document, "as_of"), templates)


def _rates(values: Mapping[str, Any], where: str, otherwise: Rates) -> Rates:
    return Rates(**{name: _number(values, name, where, getattr(otherwise, name)) for name in _RATES})


def _number(values: Mapping[str, Any], name: str, where: str, otherwise: float) -> float:
    value = values.get(name, otherwise)
    # bool is an int to Python, and no price.
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise ParameterError(f"{where}: {name} is {value!r}", "give a number from 0 on, without the currency")
    return float(value)


def _text(document: Mapping[str, Any], name: str) -> str:
    """A text or a date, as it was written."""
    value = document.get(name)
    return "" if value is None else str(value).strip()


def _refuse_unknown(found: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ParameterError(f"{where}: unknown price {str(name)!r}", remedy)
