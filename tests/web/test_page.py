"""The page as a visitor meets it, in a real browser (Debian's chromium; `make browser` installs it)."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from serving import ROOT, Process

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium to drive the page with: run `make browser`"),
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
VALID = "Valid"


def puzzle(source: str) -> dict[str, str]:
    with (ROOT / "examples/sudoku/puzzles.csv").open() as file:
        return next(row for row in csv.DictReader(file) if row["source"].startswith(source))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process = Process()
    yield process.address
    process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)


def expected(message: str) -> bool:
    """Whether the browser says of itself that a request got no answer, which tests bring about."""
    return "422" in message or "ERR_CONNECTION_REFUSED" in message


@pytest.fixture
def opened(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page under a context's options; nothing may be said on the console or asked of others."""
    context = browser.new_context(**getattr(request, "param", {}))
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text) if not expected(message.text) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(address) else complaints.append(asked.url))
    page.goto(address)
    expect(page.get_by_role("button", name="Easy")).to_be_visible()
    yield page
    assert complaints == []
    context.close()


def paste(page: Page, text: str) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.locator("body").press("Control+v")


def solve(page: Page, depth: int = 64, breadth: int = 2) -> None:
    page.get_by_text("Your own", exact=True).click()
    page.get_by_label("Depth").fill(str(depth))
    page.get_by_label("Breadth").fill(str(breadth))
    page.get_by_role("button", name="Solve").click()


def verdict(page: Page, text: str) -> None:
    expect(page.locator("#verdict")).to_have_text(text, timeout=60_000)


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_best_settings_answer_a_puzzle_on_which_no_start_settles(opened: Page) -> None:
    expect(opened.get_by_label("Best settings")).to_be_checked()
    expect(opened.locator("#best")).to_have_text(
        "The model’s own: up to 32 starts, as many as it takes. Each stops when the network is sure of its answer, "
        "after 64 segments at the latest. An unsure start treats one of its own guesses as a clue for 3 segments at a "
        "time."
    )
    expect(opened.get_by_label("Breadth")).to_be_hidden()
    opened.get_by_role("button", name="Needs guesses").click()
    opened.get_by_role("button", name="Solve").click()
    verdict(opened, VALID)
    expect(opened.locator("#facts")).to_contain_text("ms · sure of its answer, residual")
    run = re.search(r"start \d+ of (\d+)", opened.locator("#facts").inner_text())
    expect(opened.locator(".board")).to_have_count(int(run[1]) if run else 1)
    expect(opened.locator(".board.chosen")).to_have_count(1)
    solve(opened, breadth=4)
    verdict(opened, "Not valid")


def test_suppositions_are_among_ones_own_settings(opened: Page) -> None:
    opened.get_by_text("Your own", exact=True).click()
    opened.get_by_label("Suppose").check()
    with opened.expect_request("**/v1/solve/stream**") as asked:
        solve(opened, depth=20, breadth=1)
    query = parse_qs(urlsplit(asked.value.url).query)
    assert (query["suppose"], query["halt"], query["breadth"], query["depth"]) == (["3"], ["learned"], ["1"], ["20"])
    verdict(opened, VALID)
    opened.get_by_text("Best settings", exact=True).click()
    with opened.expect_request("**/v1/solve/stream**") as asked:
        opened.get_by_role("button", name="Solve").click()
    assert set(parse_qs(urlsplit(asked.value.url).query)) == {"task", "puzzle", "model"}
    verdict(opened, VALID)


def test_a_pasted_sudoku_is_solved_and_replayed_by_keyboard(opened: Page) -> None:
    row = puzzle("norvig easy50 #7")
    paste(opened, f" {row['question'][:40]}\n{row['question'][40:]} ")
    expect(opened.get_by_label("row 1, column 2", exact=True)).to_have_value("4")
    solve(opened, breadth=4)
    verdict(opened, VALID)
    expect(opened.locator("#facts")).to_have_text(
        re.compile(r"^\d+ segments · \d+ ms · at rest, residual .*settled best")
    )
    expect(opened.locator("#answer-text")).to_have_text(row["answer"])
    expect(opened.locator(".board")).to_have_count(4)
    expect(opened.locator(".board.chosen")).to_have_count(1)
    expect(opened.locator("#said")).to_contain_text("Valid")
    board = opened.locator(".board.chosen .face")
    expect(board).to_have_attribute("aria-label", re.compile(row["answer"]))
    segments = int(opened.locator("#at").inner_text().split(" / ")[1])
    slider = opened.get_by_label("Segment", exact=True)
    slider.focus()
    slider.press("Home")
    expect(opened.locator("#at")).to_have_text(f"1 / {segments}")
    expect(board).not_to_have_attribute("aria-label", re.compile(row["answer"]))
    expect(opened.locator(".board.chosen .caption")).to_contain_text("1 segment")
    slider.press("ArrowRight")
    expect(opened.locator("#at")).to_have_text(f"2 / {segments}")
    slider.press("End")
    expect(board).to_have_attribute("aria-label", re.compile(row["answer"]))
    opened.get_by_role("button", name="Play again").click()
    expect(opened.locator("#at")).to_have_text(f"{segments} / {segments}", timeout=20_000)


def test_digits_are_typed_and_arrow_keys_move(opened: Page) -> None:
    opened.get_by_role("button", name="Clear").click()
    first = opened.get_by_label("row 1, column 1", exact=True)
    first.focus()
    opened.keyboard.type("5x7")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.type("9")
    opened.keyboard.press("Home")
    opened.keyboard.press("ArrowUp")
    expect(first).to_be_focused()
    opened.locator("summary").click()
    expect(opened.locator("#text")).to_have_value(re.compile(r"^57\.{9}9\.{69}$"))
    first.focus()
    opened.keyboard.type("..3 4066")
    expect(opened.locator("#text")).to_have_value(re.compile(r"^\.\.3\.4\.66\.\.\.9\.{69}$"))


def test_what_the_service_refuses_is_shown(opened: Page) -> None:
    paste(opened, "55" + "." * 79)
    solve(opened)
    verdict(opened, "No answer")
    expect(opened.locator("#facts")).to_have_text(re.compile(r"^digit 5 is given 2 times in row 1.*\.$"))
    solve(opened, depth=0)
    expect(opened.locator("#facts")).to_have_text("Depth must be a whole number from 1 to 1024.")


def test_a_text_that_is_no_puzzle_is_shown_to_be_none(opened: Page) -> None:
    said = "This text is neither a Sudoku of 81 cells (it has 80) nor a square maze of # . S and G."
    paste(opened, "." * 80)
    expect(opened.locator("#misread")).to_have_text(said)
    expect(opened.locator("#said")).to_have_text(said)
    paste(opened, "." * 81)
    expect(opened.locator("#misread")).to_be_hidden()
    opened.locator("summary").click()
    opened.locator("#text").fill("53")
    expect(opened.locator("#misread")).to_contain_text("(it has 2)")
    opened.get_by_role("button", name="Easy").click()
    expect(opened.locator("#misread")).to_be_hidden()


@pytest.mark.parametrize(
    "blank_and_rows",
    [("0", "{}"), ("*", "{}\n"), ("_", "{},"), ("-", "{}\n"), ("x", "{};"), (".", "|{}|\n")],
    ids=["zeros", "stars", "underlines", "dashes", "crosses", "frame"],
)
def test_a_sudoku_is_pasted_as_people_write_it(opened: Page, blank_and_rows: tuple[str, str]) -> None:
    blank, row = blank_and_rows
    cells = puzzle("norvig easy50 #7")["question"]
    rows = [cells[at : at + 9].replace(".", blank) for at in range(0, 81, 9)]
    paste(opened, "".join(row.format(one) for one in rows))
    opened.locator("summary").click()
    expect(opened.locator("#text")).to_have_value(cells)


def test_when_the_service_is_gone_the_page_says_so(opened: Page) -> None:
    opened.route("**/v1/solve/stream**", lambda route: route.abort("connectionrefused"))
    solve(opened)
    verdict(opened, "No answer")
    expect(opened.locator("#facts")).to_have_text("The service does not answer: start it, then press Solve again.")
    opened.unroute("**/v1/solve/stream**")


def test_when_time_is_up_the_last_segments_stay(opened: Page) -> None:
    segment = {"restart": 0, "depth": 1, "answer": "1" * 81, "confidence": [0.5] * 81, "residual": 0.5, "halt_logit": 0}
    error = {"status": 503, "error": "time is up after 60 s: ask for less depth or breadth"}
    events = "".join(
        f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in (("segment", segment), ("error", error))
    )
    opened.route("**/v1/solve/stream**", lambda route: route.fulfill(body=events, content_type="text/event-stream"))
    opened.get_by_role("button", name="Solve").click()
    verdict(opened, "No answer")
    expect(opened.locator("#facts")).to_have_text(f"{error['error']}. The boards show the last segments.")
    expect(opened.locator(".board .face")).to_have_attribute("aria-label", re.compile("1" * 81))


def test_the_model_that_is_chosen_stays_when_the_puzzle_changes(opened: Page) -> None:
    def twice(route: Route) -> None:
        offered = route.fetch().json()
        (sudoku,) = (model for model in offered["models"] if model["task"] == "sudoku")
        other = {"name": "other", "settings": {"depth": 64, "breadth": 2, "halt": "residual", "suppose": 0}}
        route.fulfill(json={**offered, "models": [*offered["models"], {**sudoku, **other}]})

    opened.route("**/v1/models", twice)
    opened.reload()
    opened.get_by_label("Model").select_option("other")
    expect(opened.locator("#best")).to_have_text(
        "The model’s own: 2 starts. Each stops when it is at rest, after 64 segments at the latest."
    )
    expect(opened.locator(".board")).to_have_count(2)
    opened.get_by_role("button", name="Hard").click()
    expect(opened.get_by_label("Model")).to_have_value("other")


def test_the_answer_can_be_copied(opened: Page) -> None:
    solve(opened, breadth=1)
    verdict(opened, VALID)
    opened.get_by_role("button", name="Copy").click()
    expect(opened.get_by_role("button", name="Copied")).to_be_visible()
    assert opened.evaluate("navigator.clipboard.readText()") == opened.locator("#answer-text").inner_text()
    opened.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    opened.get_by_role("button", name="Copied").click()
    expect(opened.locator("#said")).to_have_text("The answer is selected: copy it with your keyboard.")
    assert opened.evaluate("getSelection().toString()") == opened.locator("#answer-text").inner_text()


def test_an_answer_that_is_wrong_is_said_to_be(opened: Page) -> None:
    opened.get_by_role("button", name="Needs guesses").click()
    solve(opened, depth=8, breadth=1)
    verdict(opened, "Not valid")
    expect(opened.locator("#facts")).to_contain_text("not at rest")


def test_a_maze_of_the_examples_is_solved_and_another_is_drawn(opened: Page) -> None:
    opened.get_by_text("Maze", exact=True).click()
    opened.get_by_role("button", name="9 × 9").click()
    solve(opened)
    verdict(opened, VALID)
    expect(opened.locator("#answer-text")).to_contain_text("o")
    opened.get_by_label("Size").select_option("7")
    drawing = opened.get_by_role("application")
    expect(drawing).to_have_attribute("aria-label", re.compile("Maze of 7 by 7"))
    box = drawing.bounding_box()
    assert box
    cell = box["width"] / 7
    drawing.click(position={"x": 3.5 * cell, "y": 1.5 * cell})
    opened.locator("summary").click()
    expect(opened.locator("#text")).to_have_value(re.compile(r"^#{7}\n#S\.#\.\.#\n"))
    drawing.focus()
    for key in ("ArrowDown", "Space", "ArrowDown", "g"):
        opened.keyboard.press(key)
    expect(opened.locator("#said")).to_have_text("row 4, column 4: goal")
    expect(opened.locator("#text")).to_have_value("#######\n#S.#..#\n#..#..#\n#..G..#\n#.....#\n#.....#\n#######")


def test_the_examples_are_those_of_the_repository(opened: Page) -> None:
    known = {row for row in (ROOT / "examples/sudoku/puzzles.csv").read_text().split(",") if len(row) == 81}
    mazes = (ROOT / "examples/maze/mazes.txt").read_text()
    opened.locator("summary").click()
    for number in range(opened.locator("#examples button").count()):
        opened.locator("#examples button").nth(number).click()
        assert opened.locator("#text").input_value() in known
    opened.get_by_text("Maze", exact=True).click()
    for number in range(opened.locator("#examples button").count()):
        opened.locator("#examples button").nth(number).click()
        assert opened.locator("#text").input_value() in mazes


@pytest.mark.parametrize(
    "opened",
    [
        {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 3, "has_touch": True, "is_mobile": True},
        {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark", "reduced_motion": "reduce"},
    ],
    indirect=True,
    ids=["phone", "dark, no motion"],
)
def test_on_any_screen_nothing_scrolls_sideways(opened: Page) -> None:
    assert not scrolls_sideways(opened)
    solve(opened, breadth=4)
    verdict(opened, VALID)
    assert not scrolls_sideways(opened)
    opened.get_by_text("Maze", exact=True).click()
    opened.get_by_role("button", name="31 × 31").click()
    solve(opened, breadth=1)
    verdict(opened, VALID)
    assert not scrolls_sideways(opened)


def test_the_description_of_the_service_shows_and_sends_a_request(opened: Page) -> None:
    opened.get_by_role("link", name="all endpoints").click()
    expect(opened.get_by_text("/v1/solve/stream", exact=True)).to_be_visible()
    opened.get_by_role("button", name="Answer puzzles").click()
    opened.get_by_role("button", name="Try it out").click()
    opened.get_by_role("button", name="Execute").click()
    expect(opened.locator(".live-responses-table .response-col_status").last).to_contain_text("200", timeout=20_000)
    expect(opened.locator(".live-responses-table .microlight").first).to_contain_text('"valid": true')
    opened.get_by_role("link", name="Back to the page").click()
    expect(opened.get_by_role("button", name="Solve")).to_be_visible()
