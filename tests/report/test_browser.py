"""The page in a browser: it sorts and filters, fits the screen, fetches nothing and complains of nothing."""

import shutil

import pytest

from recbole_sheaf.report import write_report
from recbole_sheaf.store.store import Store
from tests.report.stores import MARKUP, add, full

playwright = pytest.importorskip("playwright.sync_api", reason="wants pip install playwright, and Chromium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

WIDTHS = (1280, 390)
OUTSIDE = """() => [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('svg, [hidden]') && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.tagName + ' ' + e.textContent.slice(0, 60))"""
SIDEWAYS = """() => [document.documentElement, ...document.querySelectorAll('.table, pre, figure, details')]
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.tagName + ' ' + e.textContent.slice(0, 60))"""
OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('h1, h2, h3, p, figure, td, th, pre, summary')]
        .filter(e => e.getClientRects().length && !e.closest('figure')).map(e => [e, e.getBoundingClientRect()]);
    const figures = [...document.querySelectorAll('figure')].map(e => [e, e.getBoundingClientRect()]);
    const all = [...boxes.filter(b => !b[0].parentElement.closest('td, th')), ...figures];
    all.sort((a, b) => a[1].top - b[1].top);
    const found = [];
    for (let i = 0; i < all.length; i++)
        for (let j = i + 1; j < all.length && all[j][1].top < all[i][1].bottom - 1; j++) {
            const [a, b] = [all[i], all[j]];
            if (a[0].contains(b[0]) || b[0].contains(a[0])) continue;
            if (a[1].left < b[1].right - 1 && b[1].left < a[1].right - 1)
                found.push(a[0].textContent.slice(0, 40) + ' / ' + b[0].textContent.slice(0, 40));
        }
    return found;
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("browser")
    store = full(where / "store.duckdb")
    add(store, MARKUP * 2, 1, 0.25)
    write_report(store, where / "out")
    return where / "out"


def opened(browser, path, width):
    """The page, and what it asked for and complained of."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    noted = []
    page.on("console", lambda message: noted.append(message.text))
    page.on("pageerror", lambda error: noted.append(str(error)))
    page.on("request", lambda request: noted.append(request.url) if not request.url.startswith("file:") else None)
    page.on("dialog", lambda dialog: noted.append(dialog.message))
    page.goto(path.as_uri())
    return page, noted


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_page_fits_the_screen_and_stays_by_itself(browser, folder, language, width):
    page, noted = opened(browser, folder / f"report.{language}.html", width)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert page.evaluate(OUTSIDE) == [] and page.evaluate(SIDEWAYS) == [] and page.evaluate(OVERLAPS) == []
    assert noted == []
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_sorts_by_a_click_and_is_filtered(browser, folder, width):
    page, noted = opened(browser, folder / "report.ru.html", width)
    table = page.locator("section", has=page.locator("#hyperparameters-1")).locator(".table")

    def names():
        return table.locator("tbody tr:visible td:first-child").all_inner_texts()

    first = names()
    heading = table.locator("th", has_text="learning_rate")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending" and names()[0] == "BPR"
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending" and names()[-1] == "BPR"
    table.locator("th button").first.click()
    assert names() != first and sorted(names()[1:], key=str.lower) == names()[1:]
    assert noted == []
    page.close()


def test_rows_are_filtered(browser, folder):
    page, _ = opened(browser, folder / "report.en.html", 1280)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    box = page.locator(".table", has=page.locator("input")).first
    rows = box.locator("tbody tr")
    before = rows.count()
    word = rows.first.locator("td").first.inner_text()
    box.locator("input").fill(word.upper())
    shown = box.locator("tbody tr:visible").count()
    assert 0 < shown < before and box.locator("output").inner_text() == str(shown)
    box.locator("input").fill("")
    assert box.locator("tbody tr:visible").count() == before
    page.close()


@pytest.mark.parametrize("width, is_open", [(1280, True), (390, False)])
def test_contents_fold_on_a_phone_and_open_by_a_touch(browser, folder, width, is_open):
    page, _ = opened(browser, folder / "report.en.html", width)
    contents = page.locator("details.contents")
    assert contents.evaluate("e => e.open") == is_open == page.locator("nav a").first.is_visible()
    contents.locator("summary").click()
    assert contents.evaluate("e => e.open") != is_open
    page.close()


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_first_page_is_no_longer_than_two_screens(browser, folder, language):
    page, _ = opened(browser, folder / f"report.{language}.html", 1280)
    assert page.evaluate("document.querySelector('.contents').getBoundingClientRect().top") < 2 * 800
    page.close()


def test_nothing_of_a_page_needs_its_script(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "report.en.html").as_uri())
    assert page.locator("h2").count() > 4 and page.locator("input:visible").count() == 0
    context.close()


def test_a_page_of_one_run_fits_too(browser, tmp_path):
    store = Store(tmp_path / "store.duckdb")
    add(store, "BPR", 1, 0.3)
    write_report(store, tmp_path / "out", ["en"])
    page, noted = opened(browser, tmp_path / "out" / "report.en.html", 390)
    assert page.evaluate(SIDEWAYS) == [] and page.evaluate(OUTSIDE) == [] and noted == []
    page.close()
