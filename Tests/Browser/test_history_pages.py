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

SERVER = os.environ.get("PERDURE_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:55432/postgres")
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
        # Not the bank's, whose migrations begin at 0010: the pages know of none.
        files = [path for path in files if path.parent.name != "migrations" or path.name.startswith("000")] + [ROOT / "Tests/HistoryWebTests/runs.sql"]
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
        context.set_default_timeout(15_000)
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


def width(locator):
    """0 while the timeline draws it anew."""
    return (locator.bounding_box() or {"width": 0})["width"]


def left(locator):
    return (locator.bounding_box() or {"x": float("inf")})["x"]


def is_drawn(page):
    expect(page.locator("#timeline-view [role=option]").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1024, 1600])
def test_every_page_fits_and_is_accessible(visit, pages, screenshot, width, scheme):
    for name, path in {
        "list": "/namespaces/default/workflows", "done": pages.run("transfer-done"), "crashed": pages.run("transfer-crashed"), "waiting": pages.run("transfer-waiting"),
        "stuck": pages.run(HOSTILE), "failed": pages.run("transfer-failed"), "queues": "/namespaces/default/queues",
        "workers": "/namespaces/default/workers", "start": "/namespaces/default/start?workflow=transfer-done",
        "health": "/namespaces/default/health", "open": "/namespaces/default/open",
        "compare": "/namespaces/default/compare?run=transfer-done&run=transfer-crashed",
    }.items():
        page = visit(path, width, scheme)
        if page.locator("#timeline-view[data-source]").count():
            is_drawn(page)
            page.locator("#events > ol > li > details > summary").last.click()
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
    page.locator("#chips").get_by_role("link", name="Failed").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("transfer-failed")
    page.locator("#chips").get_by_role("link", name="All").click()
    page.get_by_label("Filter", exact=True).fill("live-")
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


def test_filter_is_completed_and_its_mistakes_are_pointed_at(visit, pages):
    page = visit("/namespaces/default/workflows")
    field = page.get_by_role("combobox", name="Filter")
    options = page.get_by_role("listbox", name="Completions").get_by_role("option")
    field.press_sequentially("Workf")
    expect(options).to_have_text([r"WorkflowId Keyword · The workflow's id", r"WorkflowType Keyword · The workflow's type"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-activedescendant", "query-option-1")
    page.keyboard.press("Enter")
    expect(field).to_have_value("WorkflowType ")
    expect(options.first).to_contain_text("=")
    page.keyboard.type("= 'Tr")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(field).to_have_value("WorkflowType = 'Transfer' ")
    page.keyboard.type("AND ExecutionStatus = ")
    expect(options.first).to_contain_text("'Running'")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    page.keyboard.type("'Failed'")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    assert "query=WorkflowType" in page.url


def test_wrong_filter_is_explained_where_it_is_wrong(browser, pages):
    # A browser reports every answer of 400 as an error.
    context = browser.new_context()
    page = context.new_page()
    page.goto(pages.url + "/namespaces/default/workflows?query=" + urllib.parse.quote("WorkflowType = 'T' and foo = 3"))
    expect(page.get_by_role("alert")).to_contain_text("there is no field or search attribute foo")
    expect(page.locator("mark")).to_have_text("foo")
    expect(page.locator("#query")).to_be_focused()
    assert page.evaluate("(q => q.value.slice(q.selectionStart, q.selectionEnd))(document.getElementById('query'))") == "foo"
    assert not Axe().run(page).response["violations"]
    context.close()


def test_views_and_columns_are_kept(visit, pages):
    page = visit("/namespaces/default/workflows?status=Failed")
    page.locator("#columns summary").click()
    page.get_by_role("checkbox", name="Run id").uncheck()
    page.get_by_role("checkbox", name="from_account").check()
    page.get_by_role("button", name="Move from_account up").click()
    page.get_by_role("button", name="Show these").click()
    expect(page.locator("#runs thead")).to_contain_text("from_account")
    expect(page.locator("#runs thead")).not_to_contain_text("Run id")
    page.locator("#views summary").click()
    page.get_by_label("Name of this view").fill("Failures <b>")
    page.get_by_role("button", name="Save").click()
    page.goto(pages.url + "/namespaces/default/workflows")
    expect(page.locator("#runs thead")).to_contain_text("from_account")
    page.locator("#views summary").click()
    page.get_by_role("link", name="Failures <b>").click()
    expect(page.locator("#runs tbody tr")).to_have_count(1)


def test_many_runs_are_terminated_after_a_confirmation(visit, pages):
    pages.sql("select count(perdure.start_workflow(workflow_type => 'Many', workflow_id => 'many-' || n, task_queue => 'nobody')) from generate_series(1, 130) n")
    page = visit("/namespaces/default/workflows?query=many-")
    page.get_by_label("Select many-130").check()
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.get_by_role("button", name="Terminate").click()
    expect(page.get_by_role("heading", name="Terminate: 1 run")).to_be_visible()
    page.go_back()
    page.get_by_label("Select many-130").uncheck()
    page.get_by_role("button", name="Terminate").click()
    expect(page.get_by_role("heading", name="Terminate: 130 runs")).to_be_visible()
    assert not Axe().run(page).response["violations"]
    page.get_by_label("Reason").fill("tidy up")
    page.get_by_role("button", name="Terminate").click()
    expect(page.get_by_text("130 done. All is done.")).to_be_visible()
    assert pages.sql("select count(*) from perdure.workflows where workflow_type = 'Many' and status = 'Terminated'") == "130"


def test_a_workflow_is_started_like_another(visit, pages):
    page = visit(pages.run("transfer-done"))
    page.get_by_role("link", name="Start one like this").click()
    page.get_by_label("Workflow id").fill("again")
    page.get_by_label("Task queue").fill("nobody")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="again")).to_be_visible()
    expect(page.locator("#ends")).to_contain_text("account_A")
    pages.sql("select perdure.terminate_workflow(workflow_id => 'again')")


def test_two_runs_are_compared(visit, pages):
    page = visit("/namespaces/default/workflows?query=transfer-")
    for workflow_id in ["transfer-done", "transfer-crashed"]:
        page.get_by_label(f"Select {workflow_id}", exact=True).check()
    page.get_by_role("button", name="Compare two").click()
    expect(page.get_by_role("status").filter(has_text="They part at")).to_contain_text("event 17")
    expect(page.locator("tr.parts")).to_contain_text("TimerStarted")


def test_a_downloaded_history_is_shown_without_the_server(visit, pages):
    page = visit(pages.run("transfer-done"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    page.get_by_role("link", name="Open a file").click()
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.get_by_label("History file").set_input_files(download.value.path())
    expect(page.locator("#file-facts")).to_contain_text("26 events")
    expect(page.get_by_role("option", name="withdraw")).to_have_attribute("aria-label", "Activity withdraw: Completed after 2 failed attempts, 5.2 s")
    expect(page.locator("#file-events > li")).to_have_count(26)
    page.get_by_label("Find in events").fill("approve")
    expect(page.locator("#file-events > li")).to_have_count(1)
    page.locator("#file-events summary").click()
    expect(page.locator("#file-events pre")).to_contain_text('"signalName": "approve"')
    page.get_by_label("History file").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b'{"a": 1}'})
    expect(page.get_by_role("alert")).to_contain_text("x.json is no history that can be shown")


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
    expect(clean.locator("rect.failed")).to_have_count(0)
    expect(late.locator("rect.failed")).to_have_count(2)
    expect(late.locator("rect.backoff")).to_have_count(2)
    expect(late.locator("rect.work.completed")).to_have_count(1)
    expect(late).to_have_attribute("aria-label", "Activity withdraw: Completed after 2 failed attempts, 5.2 s")
    late.locator("rect.failed").first.hover()
    tip = page.locator(".tip")
    expect(tip).to_contain_text("Attempt 1: failed")
    expect(tip).to_contain_text("+700 ms to +1.10 s, 400 ms")
    expect(tip).to_contain_text("connection reset by peer")
    expect(tip).to_contain_text("4711@worker-1")
    page.keyboard.press("Escape")
    late.click()
    detail = page.locator("#timeline-detail")
    expect(detail).to_contain_text("Last failure before it succeeded")
    expect(detail).to_contain_text("connection reset by peer")
    expect(detail.locator(".attempts > li")).to_have_count(2)
    detail.get_by_role("link", name="Show in the event history").click()
    expect(page.locator("#event-11 article").first).to_be_visible()
    assert page.url.endswith("#event-11")


def test_timeline_shows_a_lost_worker_and_the_gap(visit, pages):
    page = visit(pages.run("transfer-crashed"))
    is_drawn(page)
    expect(page.locator("#timeline-gaps")).to_have_text("For 4.4 s from +1.05 s no worker of the task queue was alive.")
    expect(page.locator("#timeline-axis")).to_contain_text("no worker")
    lost = page.locator("rect.lost")
    expect(lost).to_have_count(1)
    lost.click()
    expect(page.locator("#attempt-1.target")).to_contain_text("Worker lost")
    expect(page.locator("#attempt-1")).to_contain_text("4712@worker-2")


def test_timeline_of_a_running_activity_grows(visit, pages):
    page = visit(pages.run("audit-running"))
    is_drawn(page)
    bar = page.get_by_role("option", name="audit").locator("rect.work.running")
    expect(bar).to_have_count(1)
    # The axis grows with what runs, so its beginning moves to the left.
    start = left(bar)
    wait_for(lambda: left(bar) < start - 0.5, 30, "the growth of the timeline")


def test_timeline_zooms_and_pans_by_mouse_and_touch(visit, pages):
    page = visit(pages.run("transfer-done"))
    is_drawn(page)
    bar = page.get_by_role("option", name="withdraw").locator("rect.work.completed")
    box = bar.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    wait_for(lambda: width(bar) > box["width"] * 1.1, 10, "zooming by the wheel")
    before = left(bar)
    page.mouse.down()
    page.mouse.move(before - 120, box["y"] + 5, steps=5)
    page.mouse.up()
    wait_for(lambda: left(bar) < before - 60, 10, "panning")
    expect(page.locator("#timeline-detail")).to_be_hidden()
    page.get_by_role("button", name="Fit").click()
    wait_for(lambda: abs(width(bar) - box["width"]) < 2, 10, "showing all")
    # Two fingers, as the browser would report them.
    page.locator("#timeline-view > svg").nth(1).evaluate("""svg => {
        const { left, top } = svg.getBoundingClientRect()
        const send = (type, id, x) => svg.dispatchEvent(new PointerEvent(type, { pointerId: id, pointerType: 'touch', clientX: left + x, clientY: top + 20, bubbles: true }))
        send('pointerdown', 1, 1000); send('pointerdown', 2, 1100)
        for (let by = 10; by <= 50; by += 10) { send('pointermove', 1, 1000 - by); send('pointermove', 2, 1100 + by) }
        send('pointerup', 1, 950); send('pointerup', 2, 1150)
    }""")
    wait_for(lambda: width(bar) > box["width"] * 1.3, 10, "pinching")


def test_timeline_works_by_keyboard(visit, pages):
    page = visit(pages.run("transfer-done"))
    is_drawn(page)
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("option", selected=True)).to_have_attribute("aria-label", "Activity withdraw: Completed after 2 failed attempts, 5.2 s")
    expect(page.locator("#timeline-detail")).to_contain_text("Activity: withdraw")
    bar = page.get_by_role("option", name="withdraw").locator("rect.work.completed")
    before = width(bar)
    page.keyboard.press("+")
    wait_for(lambda: width(bar) > before * 1.5, 10, "zooming in")
    page.keyboard.press("0")
    wait_for(lambda: abs(width(bar) - before) < 2, 10, "showing all")


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


def test_long_history_opens_within_a_second_and_scrolls_smoothly(visit, pages):
    pages.sql("select perdure.start_workflow(workflow_type => 'Live', workflow_id => 'long', task_queue => 'nobody')")
    pages.sql(
        "select count(perdure.signal_workflow(workflow_id => 'long', signal_name => 'tick', input => to_jsonb(n))) "
        "from generate_series(1, 10000) n")
    # Measured beside a short history, because what else the machine does is not the page's doing.
    def opened(workflow_id):
        page = visit(pages.run(workflow_id))
        page.locator("#timeline-view [role=option]").first.wait_for()
        ms = page.evaluate("performance.getEntriesByName('timeline')[0].startTime")
        return ms, page

    def opens_fast():
        short, page = opened("transfer-done")
        page.close()
        long, page = opened("long")
        print(f"a history of 26 events opened after {short:.0f} ms, one of 10,000 after {long:.0f} ms")
        if long < 1000 or long - short < 750:
            return page
        page.close()
    page = wait_for(opens_fast, 60, "the long history opening within a second")
    assert page.get_by_role("option").count() < 60

    # What a frame has to do while the timeline scrolls must fit into a sixtieth of a second.
    def scroll():
        work = page.evaluate("""async () => {
            const view = document.getElementById('timeline-view')
            const work = []
            for (let step = 0; step < 120; step++) {
                await new Promise(requestAnimationFrame)
                const start = performance.now()
                view.scrollTop += 97
                await new Promise((done) => requestAnimationFrame(() => {
                    const { port1, port2 } = new MessageChannel()
                    port1.onmessage = done
                    port2.postMessage(0)
                }))
                work.push(performance.now() - start)
            }
            return work.sort((a, b) => a - b)
        }""")
        print(f"from a scroll to the frame that shows it: median {work[60]:.1f} ms, 95th percentile {work[114]:.1f} ms")
        return work[60] < 2 * 1000 / 60
    wait_for(scroll, 60, "scrolling at 60 frames a second")
    page.locator("#timeline-view").evaluate("view => { view.scrollTop = view.scrollHeight }")
    expect(page.locator("[role=option][aria-posinset='10001']")).to_be_visible()
    expect(page.get_by_text("Page 1 of")).to_be_visible()
    page.goto(page.url + "?event=9000#event-9000")
    expect(page.locator("#event-9000 article").first).to_be_visible()
