"""What needs attention, conditions in the list, and the verdict of a run, in a real Chromium."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import wait_for
from test_history_pages import HOSTILE, pages, visit  # noqa: F401  fixtures

# An activity that fails eleven times of one thing and twice of another, a second apart.
REPEATED = """do $$
declare
    v_worker uuid := gen_random_uuid();
    v_task record;
    v_begun timestamptz := clock_timestamp() - interval '100 s';
begin
    perform perdure.register_worker(v_worker, 'default', '97@repeated', 'build-repeated', array['repeated'], '1 hour');
    perform perdure.start_workflow(workflow_type => 'Repeated', workflow_id => 'repeated', task_queue => 'repeated');
    select * into strict v_task from perdure.claim_workflow_tasks(0::smallint, v_worker, 'repeated', 1);
    perform perdure.complete_workflow_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
        'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt,
        'commands', jsonb_build_array(
            jsonb_build_object('commandType', 'ScheduleActivityTask', 'attributes', jsonb_build_object(
                'activityId', '1',
                'activityType', '{"name": "deposit"}'::jsonb, 'startToCloseTimeout', '600s', 'retryPolicy',
                '{"initialInterval": "1s", "backoffCoefficient": 1}'::jsonb))))));
    for n in 1..13 loop
        perform set_config('perdure.now', (v_begun + n * interval '5 s')::text, true);
        perform perdure.upkeep(0::smallint);
        select * into strict v_task from perdure.claim_activity_tasks(0::smallint, v_worker, 'repeated', 1);
        perform perdure.finish_activity_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
            'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt,
            'outcome', 'failed', 'failure',
            case when n in (5, 6)
                then '{"message": "late", "timeoutFailureInfo": {"timeoutType": "StartToClose"}}'::jsonb
                else '{"message": "HTTP 500", "applicationFailureInfo": {"type": "DownstreamError"}}' end)));
    end loop;
end $$"""


def accessible(page):
    found = Axe().run(page).response["violations"]
    assert not found, [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_first_page_tells_what_is_stuck_and_follows(visit, pages, screenshot):
    page = visit("/")
    expect(page).to_have_url(pages.url + "/namespaces/default/attention")
    stuck = page.locator("#attention .troubles > li")
    expect(page.get_by_role("heading", name="withdraw fails: IOError at AccountClient.swift:88")).to_be_visible()
    expect(page.locator("#live-text")).to_have_text("Live")
    before = stuck.count()
    pages.sql(
        "select perdure.start_workflow(workflow_type => 'Alone', workflow_id => 'alone', task_queue => 'nobody polls')")
    alone = stuck.filter(has_text="Nobody polls the queue nobody polls")
    expect(alone).to_have_count(1)
    expect(alone).to_contain_text("Start a worker for it")
    expect(stuck).to_have_count(before + 1)
    accessible(page)
    alone.get_by_role("link", name="Show 1 task").click()
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    expect(page.locator("#runs tbody tr")).to_contain_text("No worker")
    expect(page.locator("#runs tbody tr")).to_contain_text("no worker polls the queue nobody polls")
    page.go_back()
    pages.sql("select perdure.terminate_workflow(workflow_id => 'alone')")
    expect(alone).to_have_count(0)


@pytest.mark.parametrize("width, scheme", [(390, "light"), (1024, "dark"), (1600, "light")])
def test_last_hours_are_drawn_without_scripts(browser, pages, screenshot, width, scheme):
    pages.sql("""insert into perdure.queue_samples (namespace, minute, task_queue, kind, waiting, oldest_seconds,
            failing, finished)
        select 'default', date_bin('1 minute', clock_timestamp(), '2000-01-01Z') - n * interval '1 minute', q,
            'activity', n % 9, greatest(0, 90 - n), n % 40, 300 + 200 * sin(n / 20.0) from generate_series(0, 350) n
            cross join unnest(array['bank', 'night']) q on conflict do nothing""")
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme,
                                  java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(pages.url + "/namespaces/default/attention")
        charts = page.locator(".charts").get_by_role("img")
        expect(charts).to_have_count(3)
        for place, name in enumerate(
            ["Tasks finished a minute", "Tasks that failed and are tried again", "Age of the oldest task"]):
            assert name in charts.nth(place).get_attribute("aria-label")
            assert charts.nth(place).bounding_box()["height"] > 30
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        screenshot(page, f"attention-{width}-{scheme}", full_page=True)
        page.get_by_role("link", name="24 hours").click()
        expect(charts).to_have_count(3)
    finally:
        context.close()


def test_what_failed_of_one_cause_is_retried_together(visit, pages):
    page = visit("/namespaces/default/attention")
    page.get_by_role("link", name=re.compile("Retry now.*withdraw fails")).click()
    expect(page.get_by_role("heading", name="Retry now: 1 run")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_text("1 done. All is done.")).to_be_visible()
    assert pages.sql(
        "select state from perdure.pending_activities where workflow_id = 'transfer-waiting'") == "Scheduled"
    # It fails again, for the tests that come.
    pages.sql("""do $$ declare v_worker uuid := (
            select worker_id from perdure.live_workers where identity = '4711@worker-1'); v_task record; begin
        select * into strict v_task from perdure.claim_activity_tasks(0::smallint, v_worker, 'bank', 1);
        perform perdure.finish_activity_tasks(0::smallint, v_worker, jsonb_build_array(jsonb_build_object(
            'runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt', v_task.attempt,
            'outcome', 'failed', 'failure',
            '{"message": "HTTP 500", "stackTrace": "withdraw at AccountClient.swift:88",
                "applicationFailureInfo": {"type": "DownstreamError"},
                "cause": {"message": "connection reset by peer",
                    "applicationFailureInfo": {"type": "IOError"}}}'::jsonb)));
    end $$""")


def test_conditions_are_told_and_chosen(visit, pages):
    page = visit("/namespaces/default/workflows")
    chips = page.locator("#chips")
    rows = page.locator("#runs tbody tr")
    chips.get_by_role("link", name="Code fails").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Code fails")
    expect(rows).to_contain_text("Index out of range")
    expect(chips.get_by_role("link", name="Code fails")).to_have_attribute("aria-current", "true")
    chips.get_by_role("link", name="Retrying").click()
    expect(rows).to_contain_text("withdraw: connection reset by peer")
    accessible(page)


def test_a_run_is_one_line_and_the_head_stays(visit, pages):
    pages.sql("""select count(perdure.start_workflow(workflow_type => 'Tall', workflow_id => 'tall-' || n,
        task_queue => 'nobody'))
        from generate_series(1, 49) n""")
    pages.sql("select perdure.start_workflow(workflow_type => 'Tall', workflow_id => 'tall-' || "
              "repeat('0123456789', 9), task_queue => 'nobody')")
    page = visit("/namespaces/default/workflows?query=WorkflowType%3D'Tall'")
    rows = page.locator("#runs tbody tr")
    expect(rows).to_have_count(50)
    heights = rows.evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert max(heights) <= 36 and min(heights) >= 32, heights
    long = rows.first.get_by_role("link")
    assert "…" in long.inner_text() and len(long.get_attribute("title")) == 95
    head = page.get_by_role("columnheader", name="Workflow id")
    page.mouse.move(600, 600)
    page.mouse.wheel(0, 900)
    wait_for(lambda: page.evaluate("scrollY") > 500, 10, "scrolling")
    expect(head).to_be_in_viewport()
    box = page.locator("header.site").bounding_box()
    assert abs(head.bounding_box()["y"] - box["height"]) < 6
    # By the index of closing, too.
    page.get_by_role("columnheader", name="Start").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Start")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("#runs tbody tr").first).to_contain_text("tall-1")

    page = visit("/namespaces/default/workflows?query=WorkflowType%3D'Tall'", width=390)
    heights = page.locator("#runs tbody tr").evaluate_all(
        "rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert max(heights) <= 64, heights
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    pages.sql("select count(perdure.terminate_workflow(workflow_id => w.workflow_id)) from perdure.workflows w "
              "where w.workflow_type = 'Tall'")


def test_what_is_long_is_whole_on_demand(visit, pages):
    page = visit("/namespaces/default/workflows?condition=NoWorker")
    pages.sql("select perdure.start_workflow(workflow_type => 'Cut', workflow_id => 'cut', "
              "task_queue => repeat('a long name ', 14))")
    cell = page.locator("#runs td.column-now")
    expect(cell).to_have_count(1)
    before = cell.bounding_box()["height"]
    cell.locator("summary").click()
    wait_for(lambda: cell.bounding_box()["height"] > before + 10, 10, "showing all of it")
    accessible(page)
    pages.sql("select perdure.terminate_workflow(workflow_id => 'cut')")


def test_list_works_by_keyboard(visit, pages):
    page = visit("/namespaces/default/workflows?query=transfer-")
    rows = page.locator("#runs tbody tr")
    expect(page.locator("#live-text")).to_have_text("Live")
    page.keyboard.press("j")
    expect(rows.nth(0).get_by_role("link")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(rows.nth(1).get_by_role("checkbox")).to_be_checked()
    expect(page.locator("#selected")).to_have_text("1 chosen")
    page.keyboard.press("k")
    expect(rows.nth(0).get_by_role("link")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("jx")
    expect(page.locator("#query")).to_have_value("jx")
    page.keyboard.press("Escape")
    rows.nth(0).get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="transfer-waiting")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Attention")).to_be_visible()


def test_run_begins_with_its_verdict_and_can_be_retried(visit, pages):
    pages.sql(REPEATED)
    page = visit(pages.run("repeated"))
    verdict = page.locator("#verdict .verdict")
    pending = page.locator("#pending")
    expect(pending.locator(".repeats").first).to_contain_text("HTTP 500 × 11, time-out × 2")
    # The activity's next attempt is long due: its queue has no upkeep here.
    expect(verdict).to_contain_text("attempt 14 of deposit")
    top = page.locator("#verdict").bounding_box()["y"]
    assert top < page.locator("#timeline").bounding_box()["y"]
    page.get_by_role("option", name="deposit").click()
    detail = page.locator("#timeline-detail")
    expect(detail.locator(".repeats")).to_contain_text("HTTP 500 × 11, time-out × 2")
    expect(detail.locator(".attempts")).to_be_hidden()
    detail.get_by_text("All 13 attempts").click()
    expect(detail.locator(".attempts > li")).to_have_count(13)
    accessible(page)

    page = visit(pages.run("transfer-waiting"))
    expect(page.locator("#verdict")).to_contain_text("of withdraw in")
    page.locator("#verdict").get_by_role("link", name="All runs with this cause").click()
    expect(page.locator("#runs tbody tr")).to_contain_text("transfer-waiting")
    page.go_back()
    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_role("status").filter(has_text="is tried now")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("waits for a worker for")


def test_workflow_tasks_are_folded(visit, pages):
    page = visit(pages.run("transfer-done"))
    expect(page.locator("#event-8")).to_have_count(0)
    expect(page.locator(".folded")).to_contain_text("5 workflow tasks that succeeded are folded")
    page.get_by_role("link", name="Show them").click()
    expect(page.locator("#event-8")).to_be_visible()
    page.get_by_role("link", name="Fold workflow tasks").click()
    expect(page.locator("#event-8")).to_have_count(0)
    # A failed one is none of these.
    page = visit(pages.run(HOSTILE))
    expect(page.locator("#events > ol > li.workflowTask").first).to_be_visible()


def test_statement_and_command_are_copied(visit, pages):
    page = visit(pages.run("transfer-done"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("As psql, as command").click()
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_role("button", name="Copy the command")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith(
        "perdure workflow describe --workflow-id=transfer-done --run-id=")
    accessible(page)
