"""Claims in plain words: `mvmae[pairing=same_study] > mae on macro_auroc at label_fraction=0.01 by 0.01`.

    claim    = row ( ">" | "<" | "=" | "equals" ) row "on" metric clause*
    clause   = "at" "label_fraction=" number | "by" number | "within" number
    row      = name of a row or a method, then perhaps "[axis=value, ...]"
    metric   = macro_auroc | knn_macro_auroc | auroc[label]

A plan is not made with a claim that does not parse, or whose rows it does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from core.errors import ConfigError, did_you_mean

RELATIONS = {">": ">", "<": "<", "=": "=", "equals": "="}
METRICS = ("macro_auroc", "knn_macro_auroc", "auroc")
CLAUSES = ("at", "by", "within")
EXAMPLE = "such as: mvmae[pairing=same_study] > mae on macro_auroc at label_fraction=0.01 by 0.01"
# A word ends at a space, but not inside of brackets.
WORD = re.compile(r"(?:\[[^\]]*\]?|[^\s\[])+")


class ClaimError(ConfigError):
    """A claim does not parse, or names no row or several."""


@dataclass(frozen=True)
class Selector:
    """Which row is meant. name: of a row or a method. values: axis (its last part will do) -> value as text."""

    name: str
    values: Mapping[str, str]
    text: str
    start: int


@dataclass(frozen=True)
class Claim:
    """A claim, parsed. relation: ">", "<" or "=". metric: one of METRICS; label: of the metric auroc, else "".

    fraction: label fraction, or None for the greatest there is. margin: by how much (> and <) or within how much (=),
    None where the claim does not say.
    """

    text: str
    left: Selector
    relation: str
    right: Selector
    metric: str
    label: str
    fraction: float | None
    margin: float | None


class Named(Protocol):
    """A row as far as a selector looks at it."""

    @property
    def name(self) -> str:
        """The row's name."""

    @property
    def method(self) -> str:
        """Its method."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Its value on each axis, by dotted key."""


Row = TypeVar("Row", bound=Named)


@dataclass(frozen=True)
class Word:
    """A word of a claim and where it begins."""

    text: str
    start: int


def fail(text: str, start: int, length: int, what: str, hint: str) -> NoReturn:
    """Raise ClaimError that points at a place in the claim."""
    raise ClaimError(f"{what}\n     {text}\n     {' ' * start}{'^' * max(1, length)}", hint)


def parse_claim(text: Any) -> Claim:
    """A claim from its words. Raises ClaimError that points at the word at fault."""
    if not isinstance(text, str) or not text.strip():
        raise ClaimError(f"a claim is a line of text, not {text!r}", EXAMPLE)
    words = [Word(found.group(), found.start()) for found in WORD.finditer(text)]
    relation = _find(text, words, RELATIONS, "a relation: >, <, = or equals")
    on = _find(text, words, ("on",), "the word `on` and a metric", relation + 1)
    left, right = words[:relation], words[relation + 1 : on]
    for side, place in ((left, words[relation]), (right, words[on])):
        if not side:
            fail(text, place.start, len(place.text), f"there is no row before {place.text!r}", EXAMPLE)
    if on + 1 == len(words):
        fail(text, len(text), 1, "there is no metric after `on`", f"possible: {', '.join(METRICS)}")
    metric, label = _metric(text, words[on + 1])
    sign = RELATIONS[words[relation].text]
    fraction, margin = _clauses(text, words[on + 2 :], sign)
    return Claim(text, _selector(text, left), sign, _selector(text, right), metric, label, fraction, margin)


def _find(text: str, words: Sequence[Word], wanted: Any, what: str, start: int = 0) -> int:
    for place in range(start, len(words)):
        if words[place].text in wanted:
            return place
    last = words[-1]
    return fail(text, last.start, len(last.text), f"the claim lacks {what}; it ends at {last.text!r}", EXAMPLE)


def _selector(text: str, words: Sequence[Word]) -> Selector:
    start, last = words[0].start, words[-1]
    whole = text[start : last.start + len(last.text)]
    name, bracket, rest = whole.partition("[")
    if not bracket:
        return Selector(whole, {}, whole, start)
    if not rest.endswith("]"):
        fail(text, start + len(name), len(rest) + 1, "the bracket is not closed", "write [axis=value, axis=value]")
    values = {}
    for part in rest[:-1].split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            place = start + whole.index(part, len(name))
            fail(text, place, len(part), f"{part.strip()!r} is not axis=value", "write [axis=value, axis=value]")
        values[key] = value
    return Selector(name.strip(), values, whole, start)


def _metric(text: str, word: Word) -> tuple[str, str]:
    name, bracket, rest = word.text.partition("[")
    if name not in METRICS:
        fail(text, word.start, len(name), f"there is no metric {name!r} to claim", did_you_mean(name, METRICS))
    label = rest.removesuffix("]").strip()
    if (name == "auroc") != bool(label) or (bracket and not rest.endswith("]")):
        hint = "write auroc[Edema] for a label, macro_auroc for the mean of all"
        fail(text, word.start, len(word.text), "only auroc takes a label, and needs one", hint)
    return name, label


def _clauses(text: str, words: Sequence[Word], relation: str) -> tuple[float | None, float | None]:
    found: dict[str, float] = {}
    for place in range(0, len(words), 2):
        word = words[place]
        if word.text not in CLAUSES:
            fail(
                text,
                word.start,
                len(word.text),
                f"{word.text!r} is not expected here",
                did_you_mean(word.text, CLAUSES),
            )
        if place + 1 == len(words):
            fail(text, len(text), 1, f"nothing follows {word.text!r}", EXAMPLE)
        kind = "at" if word.text == "at" else "margin"
        if kind in found:
            fail(text, word.start, len(word.text), f"{word.text!r} stands there twice", "give it once")
        found[kind] = _fraction(text, words[place + 1]) if kind == "at" else _number(text, words[place + 1])
        if word.text == ("by" if relation == "=" else "within"):
            hint = "write > or < with `by`, and = with `within`"
            fail(text, word.start, len(word.text), f"{word.text!r} does not go with {relation!r}", hint)
        if word.text == "within" and not found[kind]:
            fail(text, words[place + 1].start, 1, "nothing is equal to within 0", "give a margin, such as 0.01")
    return found.get("at"), found.get("margin")


def _fraction(text: str, word: Word) -> float:
    key, _, value = word.text.partition("=")
    if key != "label_fraction":
        fail(text, word.start, len(key), f"{key!r} cannot be chosen with `at`", "write at label_fraction=0.01")
    number = _number(text, Word(value, word.start + len(key) + 1))
    if not 0 < number <= 1:
        fail(text, word.start, len(word.text), f"{value} is no share of the labels", "give one above 0 and up to 1")
    return number


def _number(text: str, word: Word) -> float:
    try:
        number = float(word.text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        fail(text, word.start, len(word.text), f"{word.text!r} is no number from 0 to 1", "such as 0.01")
    return number


def matches(selector: Selector, row: Named) -> bool:
    """Whether a row is one that the selector means."""
    named = selector.name in (row.name, row.method)
    return named and all(_holds(row.values, key, value) for key, value in selector.values.items())


def _holds(values: Mapping[str, Any], key: str, wanted: str) -> bool:
    return any(_same(value, wanted) for k, value in values.items() if key in (k, k.rpartition(".")[2]))


def _same(value: Any, wanted: str) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(wanted) == float(value)
        except ValueError:
            return False
    return str(value).lower() == wanted.lower()


def selector_of(row: Named) -> str:
    """How a claim names a row."""
    values = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in row.values.items())
    return f"{row.method}[{values}]" if values else row.name


def find_row(claim: Claim, selector: Selector, rows: Sequence[Row]) -> Row:
    """The one row that a selector means. Raises ClaimError that names the nearest, or all that it could mean."""
    own = [row for row in rows if row.name == selector.text]
    found = own or [row for row in rows if matches(selector, row)]
    if len(found) == 1:
        return found[0]
    names = [selector_of(row) for row in found or rows]
    if found:
        what, hint = f"{selector.text!r} could be {len(found)} rows", f"say which: {', '.join(names)}"
    else:
        what, hint = f"there is no row {selector.text!r}", did_you_mean(selector.text, names)
    fail(claim.text, selector.start, len(selector.text), what, hint)


def check_claim(text: Any, rows: Sequence[Named]) -> Claim:
    """A claim about rows that are there. Raises ClaimError."""
    claim = parse_claim(text)
    left, right = (find_row(claim, selector, rows) for selector in (claim.left, claim.right))
    if left is right:
        fail(claim.text, claim.right.start, len(claim.right.text), "both rows are the same", "compare two rows")
    return claim
