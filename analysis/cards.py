"""The data card of a report: what the data set holds, and which pairs training really formed of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from html import escape
from pathlib import Path

from analysis.collect import Collected
from analysis.subgroups import data_folder
from analysis.tables import escape_markdown, markdown
from core.data.checks import data_card

CARD = "data.md"


def card(collected: Collected, root: Path) -> str | None:
    """The card as Markdown; None when there is neither a data set below `root` nor a count of pairs."""
    origin = collected.provenance
    folder = data_folder(root, origin.fingerprint) if origin else None
    parts = [_built(folder)] if folder else []
    formed = list(pairs_formed(collected))
    if formed:
        head = ["Row", "Pairs", "Number"]
        lines = [[escape_markdown(row), escape_markdown(kind), f"{count:,.0f}"] for row, kind, count in formed]
        parts.append(f"## Pairs formed in training, mean over trials\n\n{markdown([head, *lines])}")
    return "\n".join(parts) or None


@lru_cache(maxsize=4)
def _built(folder: Path) -> str:
    # Every strategy draws an epoch of pairs for it: once for all ablations of a data set.
    return data_card(folder)


def pairs_formed(collected: Collected) -> Iterator[tuple[str, str, float]]:
    """(row, kind of pair, how many a trial of it formed on average), where trials tell."""
    for cell in collected.plan.cells:
        loaded = [collected.results[trial.id] for trial in cell.trials if trial.id in collected.results]
        counts = [one.result.cost["pairs"] for one in loaded if one.result.cost.get("pairs")]
        for kind in sorted({kind for of_trial in counts for kind in of_trial}):
            yield cell.name, kind, sum(of_trial.get(kind, 0) for of_trial in counts) / len(counts)


def card_html(text: str) -> str:
    """A card's headings, pipe tables and lists as HTML."""
    return "".join(_block(block.splitlines()) for block in text.split("\n\n") if block.strip())


def _block(lines: list[str]) -> str:
    if lines[0].startswith("#"):
        heading = f"<h4>{escape(lines[0].lstrip('# '))}</h4>\n"
        return heading + (_block(lines[1:]) if lines[1:] else "")
    if lines[0].startswith("|"):
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if "---" not in line]
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows[1:])
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
    if lines[0].startswith("- "):
        return f"<ul>{''.join(f'<li>{escape(line[2:])}</li>' for line in lines)}</ul>\n"
    return f"<p>{escape(' '.join(lines))}</p>\n"
