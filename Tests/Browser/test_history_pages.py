"""What a person does with the history pages, in a real Chromium, over runs that were walked by hand."""

import os
import pathlib
import subprocess
import urllib.parse
import uuid

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import ROOT, answers, free_port, wait_for

SERVER = os.environ.get("DATABASE_URL", "postgresql://postgres@127.0.0.1:55432/postgres")
HOSTILE = "stuck <script>alert(1)</script> \"'&%2F/..ü"


def psql(url, *arguments):
    done = subprocess.run(
        ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments], capture_output=True, text=True,
        env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning"})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def binary():
    if path := os.environ.get("HISTORY_WEB"):
        return path
    built = [path for mode in ("release", "debug") if (path := ROOT / ".build" / mode / "history-web").exists()]
    assert built, "build it first: swift build --product history-web"
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Pages:
    def __init__(self, url, database):
        self.url = url
        self.database = database

    def sql(self, text):
        return psql(self.database, "-c", text)

    def run(self, workflow_id):
        return f"/namespaces/default/workflows/{urllib.parse.quote(workflow_id, safe='')}"


@pytest.fixture(scope="module")
def pages():
    name = f"history_pages_{uuid.uuid4().hex}"
    psql(SERVER, "-c", f"create database {name}")
    database = urllib.parse.urlsplit(SERVER)._replace(path=f"/{name}").geturl()
    port = free_port()
    process = None
    try:
        files = [path for folder in ("migrations", "sql/engine", "sql/views") for path in sorted((ROOT / folder).glob("*.sql"))]
        files = [path for path in files if "bank" not in path.name] + [ROOT / "Tests/HistoryWebTests/runs.sql"]
        psql(database, *[argument for path in files for argument in ("-f", str(path))])
        # From another directory, as an operator would.
        process = subprocess.Popen(
            [binary()], cwd="/", stdin=subprocess.DEVNULL,
            env=os.environ | {"DATABASE_URL": database, "HISTORY_WEB_PORT": str(port), "LOG_LEVEL": "error"})
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: process.poll() is not None or answers(f"{url}/health"), 20, "the start of the history pages")
        assert process.poll() is None
        yield Pages(url, database)
    finally:
        if process:
            process.terminate()
            assert process.wait(20) == 0
        psql(SERVER, "-c", f"drop database {name} with (force)")


@pytest.fixture
def visit(browser, pages):
    """Opens a page and fails the test if the browser reports an error, a broken security policy among them."""
    contexts, problems = [], []

    def visit(path, width=1600, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.goto(pages.url + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not problems, problems


def is_drawn(page):
    expect(page.locator("#timeline-view [role=option]").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1024, 1600])
def test_every_page_fits_and_is_accessible(visit, pages, screenshot, width, scheme):
    for name, path in {
        "list": "/namespaces/default/workflows", "done": pages.run("transfer-done"), "waiting": pages.run("transfer-waiting"),
        "stuck": pages.run(HOSTILE), "failed": pages.run("transfer-failed"), "queues": "/namespaces/default/queues",
        "workers": "/namespaces/default/workers",
    }.items():
        page = visit(path, width, scheme)
        if page.locator("#timeline-view").count():
            is_drawn(page)
            page.locator("#events summary").last.click()
            page.locator("#timeline-view [role=option]").last.click()
            expect(page.locator("#timeline-detail h2")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        found = Axe().run(page).response["violations"]
        assert not found, [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]
        screenshot(page, f"history-{name}-{width}-{scheme}", full_page=True)


def test_list_is_narrowed_down_and_follows_what_happens(visit, pages):
    page = visit("/namespaces/default/workflows")
    rows = page.locator("#runs tbody tr")
    expect(page.locator("#live")).to_contain_text("Live")
    page.get_by_role("link", name="Failed").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("transfer-failed")
    page.get_by_role("link", name="All").click()
    page.get_by_label("Workflow id begins with").fill("live-")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    expect(page.locator("#live")).to_contain_text("Live")

    pages.sql("select perdure.start_workflow(workflow_type => 'Live', workflow_id => 'live-1', task_queue => 'nobody')")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Running")
    pages.sql("select perdure.terminate_workflow(workflow_id => 'live-1', reason => 'enough')")
    expect(rows).to_contain_text("Terminated")
    rows.get_by_role("link").click()
    expect(page.get_by_role("heading", name="live-1")).to_be_visible()


def test_run_page_follows_what_happens_and_keeps_what_is_open(visit, pages):
    pages.sql("select perdure.start_workflow(workflow_type => 'Live', workflow_id => 'watched', task_queue => 'nobody')")
    page = visit(pages.run("watched"))
    expect(page.locator("#live")).to_contain_text("Live")
    page.locator("#event-1 summary").first.click()
    expect(page.locator("#event-1 article")).to_be_visible()
    pages.sql("select perdure.signal_workflow(workflow_id => 'watched', signal_name => 'approve', input => '{\"by\": \"me\"}')")
    expect(page.locator("#event-3")).to_contain_text("approve")
    expect(page.locator("#event-1 article")).to_be_visible()
    expect(page.get_by_role("option", name="Signal approve")).to_be_visible()
    pages.sql("select perdure.terminate_workflow(workflow_id => 'watched')")
    expect(page.locator("#run-title")).to_contain_text("Terminated")
    expect(page.get_by_role("link", name="Terminate")).to_have_count(0)


def test_timeline_tells_a_late_success_from_a_clean_one(visit, pages):
    page = visit(pages.run("transfer-done"))
    is_drawn(page)
    clean = page.get_by_role("option", name="check_balance_from")
    late = page.get_by_role("option", name="withdraw")
    expect(clean.locator("rect.retried")).to_have_count(0)
    expect(late.locator("rect.retried")).to_have_count(1)
    expect(late).to_have_attribute("aria-label", "Activity withdraw: Completed after 2 failed attempts, 5.2 s")
    late.click()
    detail = page.locator("#timeline-detail")
    expect(detail).to_contain_text("Last failure before it succeeded")
    expect(detail).to_contain_text("connection reset by peer")
    detail.get_by_role("link", name="Show in the event history").click()
    expect(page.locator("#event-11 article").first).to_be_visible()
    assert page.url.endswith("#event-11")


def test_timeline_works_by_keyboard(visit, pages):
    page = visit(pages.run("transfer-done"))
    is_drawn(page)
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("option", selected=True)).to_have_attribute("aria-label", "Activity withdraw: Completed after 2 failed attempts, 5.2 s")
    expect(page.locator("#timeline-detail")).to_contain_text("Activity: withdraw")
    width = lambda: page.get_by_role("option", name="settle").locator("rect.timer").bounding_box()["width"]
    before = width()
    page.keyboard.press("+")
    page.wait_for_function("before => document.querySelector('rect.timer')?.getBoundingClientRect().width > before * 1.5", arg=before)
    page.keyboard.press("0")
    page.wait_for_function("before => Math.abs(document.querySelector('rect.timer').getBoundingClientRect().width - before) < 2", arg=before)


def test_bug_in_workflow_code_is_shown_with_its_stack(visit, pages):
    page = visit(pages.run(HOSTILE))
    expect(page.get_by_role("heading", name="The workflow's code fails")).to_be_visible()
    expect(page.locator("#banner pre")).to_contain_text("Transfer.swift:42")
    expect(page.locator("h1")).to_have_text(HOSTILE)


def test_actions_ask_before_they_act(visit, pages):
    pages.sql("select perdure.start_workflow(workflow_type => 'Live', workflow_id => 'acted-on', task_queue => 'nobody')")
    page = visit(pages.run("acted-on"))
    page.get_by_role("link", name="Signal").click()
    page.get_by_label("Name").fill("approve")
    page.get_by_label("Input, as JSON").fill('{"by": "me"}')
    page.get_by_role("button", name="Send a signal").click()
    expect(page.get_by_role("status").filter(has_text="The signal was sent.")).to_be_visible()
    expect(page.locator("#events")).to_contain_text("approve")
    page.get_by_role("link", name="Terminate").click()
    expect(page.get_by_text("This cannot be taken back.")).to_be_visible()
    assert pages.sql("select status from perdure.workflows where workflow_id = 'acted-on'") == "Running"
    page.get_by_role("button", name="Terminate").click()
    expect(page.locator("#run-title")).to_contain_text("Terminated")


def test_long_history_opens_fast_and_keeps_few_rows_in_the_page(visit, pages):
    pages.sql("select perdure.start_workflow(workflow_type => 'Live', workflow_id => 'long', task_queue => 'nobody')")
    pages.sql(
        "select count(perdure.signal_workflow(workflow_id => 'long', signal_name => 'tick', input => to_jsonb(n))) "
        "from generate_series(1, 10000) n")
    page = visit(pages.run("long"))
    is_drawn(page)
    assert page.evaluate("performance.now()") < 3000
    assert page.get_by_role("option").count() < 60
    page.locator("#timeline-view").evaluate("view => { view.scrollTop = view.scrollHeight }")
    expect(page.locator("[role=option][aria-posinset='10001']")).to_be_visible()
    expect(page.get_by_text("Page 1 of")).to_be_visible()
    page.goto(page.url + "?event=9000#event-9000")
    expect(page.locator("#event-9000 article").first).to_be_visible()
