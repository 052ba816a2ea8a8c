"""What a person does with the transfer page, in a real Chromium."""

import os
import re
import signal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import wait_for


def total(page):
    return page.locator("#total-all").inner_text()


def expect_nothing_under_way(page, seconds):
    expect(page.locator("#active > li")).to_have_count(0, timeout=seconds * 1000)
    expect(page.locator("#total-transit")).to_have_text("0.00", timeout=10_000)


def transfer(page, source, target, amount):
    page.get_by_label("From", exact=True).select_option(source)
    page.get_by_label("To", exact=True).select_option(target)
    page.get_by_label("Amount").fill(amount)
    page.get_by_role("button", name="Transfer", exact=True).click()


def test_money_survives_everything(open_page, services, screenshot):
    """Move money, turn Real World Mode on, run the daily batch, kill a worker: all finishes, no cent is lost."""
    page = open_page()
    page.get_by_role("button", name="Reset…").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(page.locator("#controls-outcome")).to_contain_text("back to opening")
    expect_nothing_under_way(page, 60)
    before = total(page)
    finished = page.locator("#finished > li")

    transfer(page, "account_A", "account_F", "12.34")
    expect(page.locator("#outcome")).to_contain_text("Started: 12.34 from Account A to Account F")
    first = finished.filter(has_text="12.34").first
    expect(first).to_contain_text("Completed", timeout=30_000)
    expect(page.locator("[data-account=account_A] .balance")).to_have_text("987.66", timeout=10_000)
    expect(page.locator("[data-account=account_F] .balance")).to_have_text("912.34")

    # Too much is a business failure, said in words.
    transfer(page, "account_E", "account_F", "300.01")
    failed = finished.filter(has_text="300.01").first
    expect(failed).to_contain_text("Failed", timeout=30_000)
    expect(failed).to_contain_text("Insufficient funds")

    mode = page.get_by_role("switch", name="Real World Mode")
    mode.click()
    expect(mode).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Run batch").click()
    expect(page.locator("#active > li").first).to_be_visible(timeout=10_000)
    victim = services.workers()[0]
    os.kill(victim, signal.SIGKILL)
    screenshot(page, "transfer-page-under-way", full_page=True)

    expect_nothing_under_way(page, 300)
    for source, target in zip("ABCDE", "FGHIJ"):
        row = finished.filter(has_text=f"Account {source}").filter(has_text=f"Account {target}").filter(has_text="100.00")
        expect(row.first).to_contain_text("Completed")
    assert total(page) == before == "7,950.00"
    expect(page.locator("#verdict")).to_have_attribute("data-ok", "true")
    expect(page.locator("[data-account=account_A] .balance")).to_have_text("887.66")
    mode.click()
    expect(mode).to_have_attribute("aria-checked", "false")
    screenshot(page, "transfer-page-finished", full_page=True)

    # The history page of the first transfer.
    with page.expect_navigation(url=re.compile(r"/namespaces/default/workflows/transfer-[0-9a-f-]+/[0-9a-f-]+")):
        first.get_by_role("link", name=re.compile("History of Account A to Account F")).click()
    expect(page.get_by_text("ActivityTaskScheduled").first).to_be_visible()


def test_the_page_says_what_is_wrong(open_page):
    page = open_page()
    page.get_by_role("button", name="Transfer", exact=True).click()
    expect(page.get_by_label("From", exact=True)).to_be_focused()
    expect(page.locator("#from-note")).to_have_text("Choose the account to take the money from.")
    expect(page.get_by_label("Amount")).to_have_attribute("aria-invalid", "true")
    for typed, problem in {
        "abc": "Enter a number", "0": "more than zero", "-5": "Enter a number", "1.234": "at most two decimals", "1e3": "Enter a number",
    }.items():
        page.get_by_label("Amount").fill(typed)
        expect(page.locator("#amount-note")).to_contain_text(problem)
    page.get_by_label("Amount").fill("5")
    expect(page.locator("#amount-note")).to_have_text("")
    page.get_by_label("From", exact=True).select_option("account_A")
    page.get_by_label("To", exact=True).select_option("account_A")
    page.get_by_role("button", name="Transfer", exact=True).click()
    expect(page.locator("#to-note")).to_contain_text("another account")


def test_the_server_has_the_last_word(open_page):
    """What passes the form and is refused by the server is shown too."""
    page = open_page()
    page.route("**/api/transfer", lambda route: route.fulfill(status=400, json={"error": "there is no account account_B"}))
    transfer(page, "account_A", "account_B", "1")
    expect(page.locator("#outcome")).to_have_text("There is no account account_B.")
    page.unroute("**/api/transfer")
    page.route("**/api/transfer", lambda route: route.abort())
    transfer(page, "account_A", "account_B", "1")
    expect(page.locator("#outcome")).to_contain_text("cannot be reached")


def test_an_account_tells_its_history(open_page):
    page = open_page()
    account = page.locator("[data-account=account_A]")
    account.locator("summary").press("Enter")
    expect(account.locator(".summary")).to_contain_text("Sent")
    account.locator("summary").press("Enter")
    expect(account.locator(".summary")).not_to_be_visible()


def test_reset_can_be_declined_by_keyboard(open_page):
    page = open_page()
    page.get_by_role("button", name="Reset…").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(page.locator("#controls-outcome")).to_have_text("")
    expect(page.get_by_role("button", name="Reset…")).to_be_focused()


def test_an_idle_page_asks_for_nothing(open_page):
    page = open_page()
    page.wait_for_timeout(500)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(4000)
    assert requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1024, 1600])
def test_the_page_fits_and_everybody_can_use_it(open_page, screenshot, width, scheme):
    # axe is put into the page by the test, which the page's own policy forbids.
    page = open_page(width=width, height=900, scheme=scheme, bypass_csp=True)
    page.locator("[data-account=account_B] summary").click()
    expect(page.locator("[data-account=account_B] .summary")).to_be_visible()
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    screenshot(page, f"transfer-page-{width}-{scheme}", full_page=True)
