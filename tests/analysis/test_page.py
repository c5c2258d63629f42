"""The HTML page: every number leads to its trials, nothing comes from a network, and a browser sorts and shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.report import write_reports
from analysis.resample import BootstrapConfig
from tests.analysis.factory import KEY, MadeCell, World, make_ablation

SMALL = World(patients=30, labels=("Edema", "Pneumothorax"))
CELLS = [
    MadeCell("mvmae pairing=a", values={"pairing": "a"}, strength=1.6),
    MadeCell("mvmae pairing=<b>", values={"pairing": "<b>"}),
    MadeCell("floor & co", "mae", role="baseline", strength=0.4),
]
BROWSER = next(
    (p for name in ("chromium-headless-shell", "chromium", "google-chrome") if (p := shutil.which(name))), ""
)
VOID = {"meta", "link", "img", "br", "input", "hr"}
# What a user does: sort by a column, open a number. What is then on the page goes into the title for the test to read.
DRIVE = """
<script>
{
const heads = document.querySelectorAll("#made-table thead th"), told = {};
const names = () => [...document.querySelectorAll("#made-table tbody th")].map((cell) => cell.textContent);
const at = [...heads].findIndex((head) => head.textContent === "AUROC 100 %");
heads[at].querySelector("button").click(); told.first = names();
heads[at].querySelector("button").click(); told.second = names();
told.marked = heads[at].getAttribute("aria-sort");
document.querySelector("#made-table tbody tr:first-child td[data-g]").click();
const dialog = document.getElementById("source");
told.open = dialog.open;
told.trials = [...dialog.querySelectorAll("tr[data-trial]")].map((row) => row.dataset.trial);
told.links = [...dialog.querySelectorAll("a")].map((link) => link.getAttribute("href"));
told.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.title = JSON.stringify(told);
}
</script></body>"""


class Page(HTMLParser):
    """Every tag with its attributes, and whether tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A root with a report of one ablation with a hole; row name -> trial ids."""
    root = tmp_path_factory.mktemp("page") / "outputs"
    ids = make_ablation(root, "made", CELLS, SMALL, (0, 1), {"pairing": ["a", "<b>"]}, ("strip",))
    (root / "trials" / ids["floor & co"][1] / "evaluations" / KEY / "result.json").unlink()
    write_reports(root, None, BootstrapConfig(resamples=100))
    return root, ids


@pytest.fixture(scope="module", params=["made/report.html", "index.html"])
def path(request: pytest.FixtureRequest, made: tuple[Path, dict[str, list[str]]]) -> Path:
    """Either page."""
    return made[0] / "reports" / str(request.param)


def test_the_page_is_whole_and_needs_no_network(path: Path) -> None:
    text = path.read_text()
    page = Page(text)
    assert page.stack == []
    assert {a["src"].partition(",")[0] for a in page.all("img") if a["src"]} <= {
        "data:image/svg+xml;base64",
        "data:image/png;base64",
    }
    assert all(a.get("alt") for a in page.all("img"))
    assert not re.search(r"https?://|@import|url\(", re.sub(r'src="data:[^"]*"', "", text))
    assert not [a for tag in ("script", "link") for a in page.all(tag) if a.get("src")]
    assert page.all("meta")[1]["name"] == "viewport"
    assert "pairing=&lt;b&gt;" in text
    assert "pairing=<b>" not in text


def test_every_number_names_its_trials_and_every_link_leads_somewhere(
    path: Path, made: tuple[Path, dict[str, list[str]]]
) -> None:
    root, ids = made
    text = path.read_text()
    page = Page(text)
    groups = json.loads(re.search(r'class="groups">(.*?)</script>', text)[1])  # type: ignore[index]
    declared = {trial for trials in ids.values() for trial in trials}
    assert {a["data-trial"] for a in page.all("tr") if "data-trial" in a} == declared
    numbers = [a for a in page.all("td") if "data-g" in a]
    assert len(numbers) > 40
    assert {trial for a in numbers for trial in groups[int(a["data-g"] or -1)]} == declared
    line = re.search(r'<th scope="row">mvmae pairing=a</th><td[^>]*data-g="(\d+)"', text)
    assert line
    assert groups[int(line[1])] == ids["mvmae pairing=a"]
    files = [a["data-file"] or "" for a in page.all("a") if "data-file" in a]
    assert len(files) > 10
    assert [f for f in files if not (root / ("" if f.startswith("trials/") else "reports") / f).exists()] == []
    assert "▲ hole: done, but not evaluated with these settings" in text


@pytest.mark.skipif(not BROWSER, reason="no chromium-headless-shell, chromium or google-chrome")
def test_a_browser_sorts_and_shows_where_a_number_came_from(
    made: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    root, ids = made
    page = root / "reports" / "made" / "driven.html"
    page.write_text((root / "reports" / "made" / "report.html").read_text().replace("</body>", DRIVE))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,800", f"--user-data-dir={tmp_path}"]
    command = [BROWSER, *flags, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    page.unlink()
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    told = json.loads(unescape(title[1]))
    # The best first, then the other way round.
    assert told["first"] == ["mvmae pairing=a", "mvmae pairing=<b>", "floor & co"]
    assert told["second"] == told["first"][::-1]
    assert told["marked"] == "ascending"
    assert told["open"]
    assert told["trials"] == ids["floor & co"]
    assert f"../../trials/{ids['floor & co'][0]}/telemetry.jsonl" in told["links"]
    # On a phone tables scroll in their own box, not the page.
    assert told["wide"] <= 0
