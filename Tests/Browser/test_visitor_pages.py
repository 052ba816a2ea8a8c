"""Who looks at the history pages and how: names, read-only pages, time zones, namespaces, going to anything, building a
filter, in a real Chromium."""

import os
import re
import urllib.request

import pytest
from playwright.sync_api import expect

from conftest import free_port, running, wait_for
from test_attention_pages import accessible
from test_history_pages import binary, pages, visit  # noqa: F401  fixtures

LIST = "/namespaces/default/workflows"


def serving(pages, log=None, **settings):
    """Another server of the same pages, with settings of its own."""
    port = free_port()
    environment = {"DATABASE_URL": pages.database, "HISTORY_WEB_PORT": str(port), "LOG_LEVEL": "error"}
    return running(
        [binary()], f"http://127.0.0.1:{port}", stdout=log, stderr=log, env=os.environ | environment | settings)


@pytest.fixture
def place(browser, pages):
    """Opens a page in a browser of some place, with headers, with or without scripts."""
    contexts = []

    def place(path, base=pages.url, width=1600, **options):
        context = browser.new_context(viewport={"width": width, "height": 1000}, **options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.goto(base + path)
        return page

    yield place
    for context in contexts:
        context.close()


def test_person_of_the_proxy_stands_in_the_history(pages, place):
    with serving(pages, PERDURE_WEB_USER_HEADER="X-Forwarded-User") as url:
        page = place("/namespaces/default/start", url, extra_http_headers={"X-Forwarded-User": "Ada Lovelace"})
        page.get_by_label("Workflow id").fill("by-ada")
        page.get_by_label("Type").fill("Named")
        page.get_by_label("Task queue").fill("nobody")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name="by-ada")).to_be_visible()
        page.locator("#run-title").get_by_role("link", name="Terminate").click()
        page.get_by_role("button", name="Terminate").click()
        expect(page.get_by_role("status").filter(has_text="was terminated")).to_be_visible()
    who = ("select string_agg(attributes ->> 'identity', ', ' order by event_id) from perdure.history_events "
           "where workflow_id = 'by-ada'")
    assert pages.sql(who) == "Ada Lovelace, Ada Lovelace"


def test_read_only_pages_offer_nothing_and_refuse(pages, place, screenshot):
    with serving(pages, PERDURE_WEB_READ_ONLY="1") as url:
        page = place(LIST, url)
        expect(page.locator("#runs tbody tr").first).to_be_visible()
        for name in ["Retry now", "Terminate", "Save for all", "Signal"]:
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        expect(page.get_by_role("link", name="Start a workflow")).to_have_count(0)
        accessible(page)
        page.goto(url + pages.run("transfer-waiting"))
        expect(page.locator("#verdict .verdict")).to_be_visible()
        for name in ["Signal", "Terminate", "Queries", "Start one like this"]:
            expect(page.get_by_role("link", name=name)).to_have_count(0)
        expect(page.get_by_role("button", name="Retry now")).to_have_count(0)
        accessible(page)
        page.goto(url + "/namespaces/default/start")
        expect(page.get_by_role("heading", name="This server only shows")).to_be_visible()
        expect(page.get_by_text("PERDURE_WEB_READ_ONLY")).to_be_visible()
        accessible(page)
        screenshot(page, "read-only")
        # The zone is the visitor's own.
        page.get_by_role("button", name="Show local times").click()
        expect(page.get_by_role("button", name="Show UTC")).to_be_visible()


def test_times_are_of_the_visitors_place_on_demand(pages, place, screenshot):
    page = place(pages.run("transfer-done"), timezone_id="Asia/Tokyo")
    start = page.locator("#run-facts time").first
    expect(page.get_by_text("All times are UTC.")).to_be_visible()
    utc = start.inner_text()
    exact = start.get_attribute("title")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} UTC", exact) and exact.startswith(utc)
    page.get_by_role("button", name="Show local times").click()
    expect(page.locator("#zone-text")).to_contain_text("Asia/Tokyo")
    shown = page.evaluate(
        "text => new Date(Date.parse(text.replace(' ', 'T') + 'Z') + 9 * 3600000)"
        ".toISOString().replace('T', ' ').replace('Z', '')", utc)
    expect(start).to_have_text(shown)
    assert start.get_attribute("title") == exact
    # What is fetched later, too.
    page.locator("#events > ol > li > details > summary").last.click()
    later = page.locator("#events article.event time").first
    expect(later).to_be_visible()
    assert later.inner_text()[:13] != later.get_attribute("title")[:13]
    accessible(page)
    page.goto(pages.url + LIST)
    ago = page.locator("#runs time").first
    expect(ago).to_have_attribute("title", re.compile(r"GMT\+9, .* UTC$"))
    expect(ago).to_contain_text("ago")
    page.get_by_role("button", name="Show UTC").click()
    expect(page).to_have_url(pages.url + LIST)
    expect(page.get_by_text("All times are UTC.")).to_be_visible()
    expect(ago).to_have_attribute("title", re.compile(r"^[^G]* UTC$"))


def test_times_without_scripts_are_utc_and_say_so(pages, place):
    page = place(pages.run("transfer-done"), timezone_id="Asia/Tokyo", java_script_enabled=False)
    utc = page.locator("#run-facts time").first.inner_text()
    page.get_by_role("button", name="Show local times").click()
    expect(page.locator("#run-facts time").first).to_have_text(utc)
    expect(page.get_by_text("All times are UTC.")).to_be_visible()


def test_namespace_is_switched_on_the_same_kind_of_page(visit, pages):
    page = visit("/namespaces/default/queues")
    expect(page.locator("#namespaces")).to_have_count(0)
    pages.sql("select perdure.create_namespace('sales')")

    def is_listed():
        page.reload()
        return page.locator("#namespaces").count() == 1

    wait_for(is_listed, 20, "the new namespace in the head")
    page.locator("#namespaces summary").click()
    accessible(page)
    page.locator("#namespaces").get_by_role("link", name="sales").click()
    expect(page).to_have_url(pages.url + "/namespaces/sales/queues")
    expect(page.locator("#namespaces summary")).to_contain_text("sales")


@pytest.mark.parametrize("width, scheme", [(390, "dark"), (1024, "light"), (1600, "dark")])
def test_anything_is_gone_to_by_keyboard(visit, pages, screenshot, width, scheme):
    page = visit(LIST, width, scheme)
    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog", name="Go to")
    field = dialog.get_by_role("combobox")
    expect(field).to_be_focused()
    options = dialog.get_by_role("option")
    expect(options.filter(has_text="Health")).to_have_count(1)
    field.fill("transfer-d")
    expect(options).to_have_count(1)
    expect(options).to_contain_text("transfer-done")
    expect(options).to_have_attribute("aria-selected", "true")
    accessible(page)
    screenshot(page, f"go-{width}-{scheme}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="transfer-done")).to_be_visible()
    if width < 1000:
        return
    # A queue, and an action of the page.
    page.goto(pages.url + pages.run("transfer-waiting"))
    page.keyboard.press("Control+k")
    field.fill("bank")
    expect(options.filter(has_text="Task queue")).to_have_count(1)
    field.fill("termin")
    expect(options).to_have_count(1)
    expect(options).to_contain_text("On this page")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Terminate", exact=True)).to_be_visible()
    # By the run's id, and away with Escape.
    page.wait_for_load_state()
    page.keyboard.press("Meta+k")
    run = pages.sql("select run_id from perdure.workflows where workflow_id = 'transfer-failed'")
    field.fill(run)
    expect(options).to_have_count(1)
    expect(options).to_contain_text("transfer-failed")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_anything_is_found_without_scripts(pages, place):
    page = place(LIST, java_script_enabled=False)
    page.get_by_role("link", name="Go to").click()
    page.get_by_label("What").fill("transfer-w")
    page.get_by_role("button", name="Find").click()
    places = page.get_by_role("list", name="Places")
    expect(places.get_by_role("link")).to_have_text(["transfer-waiting"])
    places.get_by_role("link").click()
    expect(page.get_by_role("heading", name="transfer-waiting")).to_be_visible()


def test_go_page_is_accessible(visit, pages):
    page = visit("/namespaces/default/go?q=bank")
    expect(page.get_by_role("list", name="Places")).to_contain_text("Task queue")
    accessible(page)
    page.goto(pages.url + "/namespaces/default/go?q=nothing+is+called+so")
    expect(page.get_by_text("Nothing has this name")).to_be_visible()
    accessible(page)


def test_filter_is_built_from_lists(visit, pages, screenshot):
    page = visit(LIST)
    menu = page.locator("#builder")
    menu.locator("summary").click()
    menu.get_by_label("Field").select_option("WorkflowType")
    expect(menu.locator("datalist option[value=Transfer]")).to_have_count(1)
    menu.get_by_label("Value").fill("Transfer")
    accessible(page)
    screenshot(page, "builder")
    menu.get_by_role("button", name="Add to the filter").click()
    expect(page.locator("#query")).to_have_value("WorkflowType = 'Transfer'")
    rows = page.locator("#runs tbody tr")
    expect(rows).to_have_count(4)
    # Another one, of the search attributes, and one that takes no value.
    menu.locator("summary").click()
    menu.get_by_label("Field").select_option("ExecutionStatus")
    menu.get_by_label("Comparison").select_option("IN")
    menu.get_by_label("Value").fill("Failed, Running")
    menu.get_by_role("button", name="Add to the filter").click()
    expect(page.locator("#query")).to_have_value(
        "WorkflowType = 'Transfer' AND ExecutionStatus IN ('Failed', 'Running')")
    expect(rows).to_have_count(2)
    menu.locator("summary").click()
    menu.get_by_label("Field").select_option("CloseTime")
    expect(menu.get_by_label("Comparison").locator("option[value=STARTS_WITH]")).to_have_count(0)
    menu.get_by_label("Comparison").select_option("IS NULL")
    expect(menu.get_by_label("Value")).to_be_disabled()
    menu.get_by_role("button", name="Add to the filter").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("transfer-waiting")


def test_filter_is_built_without_scripts(pages, place):
    page = place(LIST + "?query=WorkflowId+%3D+'a'+OR+WorkflowType+%3D+'Transfer'+ORDER+BY+StartTime&status=Failed",
                 java_script_enabled=False)
    menu = page.locator("#builder")
    menu.locator("summary").click()
    menu.get_by_label("Field").select_option("HistoryLength")
    menu.get_by_label("Comparison").select_option(">")
    menu.get_by_label("Value").fill("2")
    menu.get_by_role("button", name="Add to the filter").click()
    expect(page.locator("#query")).to_have_value(
        "(WorkflowId = 'a' OR WorkflowType = 'Transfer') AND HistoryLength > 2 ORDER BY StartTime")
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    expect(page.locator("#chips [aria-current]")).to_contain_text("Failed")
    # What does not fit is kept and pointed at.
    menu.locator("summary").click()
    menu.get_by_label("Field").select_option("HistoryLength")
    menu.get_by_label("Value").fill("many")
    menu.get_by_role("button", name="Add to the filter").click()
    expect(page.get_by_role("alert")).to_contain_text("many")
    expect(page.locator("#query")).to_have_value(re.compile("HistoryLength = 'many'"))


def test_row_that_is_pointed_at_is_fetched_once(visit, pages, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as file, serving(pages, log=file, LOG_LEVEL="debug") as url:
        page = visit(LIST, base=url)
        link = page.locator("#runs tbody").get_by_role("link", name="transfer-done", exact=True)
        path = link.get_attribute("href")
        fetched = lambda: len(re.findall(rf"GET {re.escape(path)} 200", log.read_text()))
        # Who only passes over the rows fetches nothing.
        for row in page.locator("#runs tbody tr").all():
            row.hover()
        assert fetched() == 0
        link.hover()
        wait_for(lambda: fetched() == 1, 10, "the page of the row")
        page.locator("h1").hover()
        link.hover()
        link.click()
        expect(page.get_by_role("heading", name="transfer-done")).to_be_visible()
        assert page.evaluate("performance.getEntriesByType('navigation')[0].deliveryType") == "navigational-prefetch"
        assert fetched() == 1


def test_view_that_is_refused_keeps_its_name(pages, place):
    page = place(LIST + "?status=Failed", java_script_enabled=False)
    pages.sql("select count(perdure.save_view('default', 'full ' || n, '', null)) from generate_series(0, 99) n")
    try:
        page.locator("#views summary").click()
        page.get_by_label("Name of this view").fill("One too many")
        page.get_by_role("button", name="Save for all").click()
        expect(page.get_by_role("alert")).to_contain_text("100 views")
        expect(page.get_by_label("Name of this view")).to_have_value("One too many")
        expect(page.locator("#chips [aria-current]")).to_contain_text("Failed")
        page = place(LIST + "?status=Failed", width=1024)
        page.locator("#views summary").click()
        page.get_by_label("Name of this view").fill("One too many")
        page.get_by_role("button", name="Save for all").click()
        expect(page.get_by_role("alert")).to_contain_text("100 views")
        accessible(page)
    finally:
        pages.sql("select count(perdure.delete_view('default', 'full ' || n)) from generate_series(0, 99) n")


def test_forms_that_are_refused_keep_what_was_typed(pages, place, screenshot):
    page = place("/namespaces/default/start", width=390)
    page.get_by_label("Workflow id").fill("typed \"id\"")
    page.get_by_label("Type").fill("Typed")
    page.get_by_label("Task queue").fill("nobody")
    page.get_by_label("Input").fill("{no json")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("not JSON")
    expect(page.get_by_label("Input")).to_have_value("{no json")
    accessible(page)

    # The database cannot take it: it is sent again as it was, when the database can.
    page.get_by_label("Input").fill('["<b>"]')
    pages.sql("alter table perdure.history rename to history_of_another_time")
    try:
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name="The database is not available")).to_be_visible()
        accessible(page)
        screenshot(page, "history-refused-390-light", full_page=True)
    finally:
        pages.sql("alter table perdure.history_of_another_time rename to history")
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_role("heading", name='typed "id"')).to_be_visible()
    assert pages.sql("select attributes #>> '{input,0,data,0}' from perdure.history_events "
                     "where workflow_id = 'typed \"id\"' and event_id = 1") == "<b>"
    page.goto(pages.url + pages.part('typed "id"', "actions/signal"))
    page.get_by_label("Name", exact=True).fill("go")
    page.get_by_label("Input, as JSON").fill("[1,")
    page.get_by_role("button", name="Send a signal").click()
    expect(page.get_by_role("alert")).to_contain_text("not JSON")
    expect(page.get_by_label("Input, as JSON")).to_have_value("[1,")
    accessible(page)
    pages.sql("select perdure.terminate_workflow('typed \"id\"')")


ENCODED = """do $$
declare v_worker uuid := gen_random_uuid(); v_task record;
    v_failure jsonb := '{"message": "Encoded failure",
        "encodedAttributes": {"encoding": "binary/encrypted", "data": "AAAA"},
        "applicationFailureInfo": {"type": "CardDeclined"}}';
begin
    perform perdure.register_worker(v_worker, 'default', '55@encoded', 'b', array['encoded'], '1 hour');
    perform perdure.start_workflow(workflow_type => 'Encoded', workflow_id => 'encoded-retrying',
        task_queue => 'encoded');
    perform perdure.start_workflow(workflow_type => 'Encoded', workflow_id => 'encoded-failed',
        task_queue => 'encoded');
    for v_task in select * from perdure.claim_workflow_tasks(0::smallint, v_worker, 'encoded', 2) loop
        perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
            'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt,
            'commands', jsonb_build_array(
                case when v_task.workflow_id = 'encoded-failed'
                    then jsonb_build_object('commandType', 'FailWorkflowExecution',
                        'attributes', jsonb_build_object('failure', v_failure))
                    else '{"commandType": "ScheduleActivityTask", "attributes": {
                        "activityId": "1", "activityType": {"name": "charge"},
                        "startToCloseTimeout": "60s", "retryPolicy": {"initialInterval": "600s"}}}' end))));
    end loop;
    select * into strict v_task from perdure.claim_activity_tasks(0::smallint, v_worker, 'encoded', 1);
    perform perdure.finish_activity_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
        'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt,
        'outcome', 'failed', 'failure', v_failure)));
end $$"""


def test_encoded_failures_say_what_they_are(visit, pages):
    pages.sql(ENCODED)
    page = visit(LIST + "?query=WorkflowType%3D'Encoded'", 1024)
    rows = page.locator("#runs tbody tr")
    expect(rows.filter(has_text="encoded-failed")).to_contain_text("CardDeclined, its message is encoded")
    expect(rows.filter(has_text="encoded-retrying")).to_contain_text("charge: CardDeclined, its message is encoded")
    # There is room for what runs do.
    assert page.locator("#runs thead .column-now").bounding_box()["width"] > 250
    accessible(page)
    page.goto(pages.url + pages.run("encoded-retrying"))
    expect(page.locator("#verdict .verdict")).to_contain_text("its message is encoded")
    page.goto(pages.url + "/namespaces/default/attention")
    expect(page.locator("#attention")).not_to_contain_text("Encoded failure")
    pages.sql("select perdure.terminate_workflow(workflow_id => 'encoded-retrying')")


def test_run_that_ends_before_it_begins_makes_sense(visit, pages):
    pages.sql("""select perdure.start_workflow(workflow_type => 'Delayed', workflow_id => 'delayed',
        task_queue => 'nobody', options => '{"workflowStartDelay": "3600s"}')""")
    pages.sql("select perdure.terminate_workflow(workflow_id => 'delayed', reason => 'not needed')")
    page = visit(LIST + "?query=ExecutionDuration+<+'0s'")
    row = page.locator("#runs tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator(".column-duration")).to_have_text(re.compile(r"^[\d.]+ m?s$"))
    row.get_by_role("link").click()
    expect(page.locator("#verdict .verdict")).to_have_text(re.compile(r"^Terminated after [\d.]+ m?s: not needed$"))
    expect(page.locator("#timeline-view [role=option]").first).to_be_visible()
