// Transfers under way and finished.

import { element, fromTemplate, reconcile, setText, announce } from "./dom.js";
import { accountName, clock, duration, entriesURL, historyURL, modes, money, stepName, verdicts } from "./format.js";
import { now, onChange, state } from "./state.js";

const tick = "m3.5 8.5 3 3 6-7";
const cross = "m4.5 4.5 7 7m0-7-7 7";
const dash = "M4 8h8";

let shown = 10;
let shownActive = 12;

const isRunning = (transfer) => transfer.status === "RUNNING";
const byStart = (a, b) => b.start_time - a.start_time || (a.run_id < b.run_id ? 1 : -1);

function describe(node, transfer) {
  setText(node.querySelector(".from"), accountName(transfer.input.from_account));
  setText(node.querySelector(".to"), accountName(transfer.input.to_account));
  setText(node.querySelector(".amount"), money(transfer.input.amount));
  const isDurable = transfer.mode === "durable";
  const tag = node.querySelector(".tag");
  tag.hidden = isDurable;
  tag.className = `tag ${transfer.mode}`;
  setText(tag, modes[transfer.mode]);
  const label = `${accountName(transfer.input.from_account)} to ${accountName(transfer.input.to_account)}, `
    + money(transfer.input.amount);
  const history = node.querySelector(".history");
  history.hidden = !isDurable;
  if (isDurable) link(history, historyURL(transfer), `History of ${label}`);
  const entries = node.querySelector(".entries");
  entries.hidden = transfer.entries.length === 0;
  setText(entries, transfer.entries.length === 1 ? "1 entry" : `${transfer.entries.length} entries`);
  link(entries, entriesURL(transfer), `${entries.textContent} in the journal of ${label}`);
}

function link(node, address, label) {
  if (node.getAttribute("href") !== address) node.href = address;
  if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
}

function updateSteps(list, transfer) {
  reconcile(
    list,
    transfer.steps.map((step) => ({
      step,
      status: transfer.completed_steps.includes(step) ? "done" : step === transfer.current_step ? "now" : "next",
      tries: transfer.attempts?.[step] ?? 1,
    })),
    (item) => item.step,
    () => document.createElement("li"),
    (node, { step, status, tries }) => {
      const look = `${status} ${tries}`;
      if (node.dataset.look === look) return;
      node.dataset.look = look;
      node.className = `is-${status}`;
      if (status === "now") node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
      node.replaceChildren();
      if (status === "done") node.append(icon(tick, "tick"));
      const state = document.createElement("span");
      state.className = "unseen";
      state.textContent = { done: " done", now: " in progress", next: " to do" }[status];
      node.append(stepName(step), state);
      if (tries > 1) {
        const count = document.createElement("span");
        count.className = "tries";
        count.textContent = status === "now" ? `attempt ${tries}` : `${tries} attempts`;
        node.append(count);
      }
    },
  );
}

function icon(path, className) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", className);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

function updateActive(node, transfer) {
  describe(node, transfer);
  updateSteps(node.querySelector(".steps"), transfer);
  const hasBug = Boolean(transfer.task_failure);
  node.classList.toggle("has-bug", hasBug);
  node.querySelector(".bug").hidden = !hasBug;
  if (hasBug)
    setText(node.querySelector(".bug .failure"), `Attempt ${transfer.task_attempt}: ${transfer.task_failure}`);
  const isRetrying = Boolean(transfer.last_failure) && !hasBug;
  node.classList.toggle("is-retrying", isRetrying);
  node.querySelector(".trouble").hidden = !isRetrying;
  if (isRetrying) {
    const wait = transfer.next_attempt_time ? transfer.next_attempt_time - now() : 0;
    setText(node.querySelector(".attempt"),
      wait > 0.5 ? `Attempt ${transfer.attempt} in ${Math.ceil(wait)} s.` : `Attempt ${transfer.attempt}.`);
    setText(node.querySelector(".trouble .failure"), `Before: ${transfer.last_failure}`);
  }
  setText(node.querySelector(".age"),
    `Started ${clock(transfer.start_time)}, ${duration(now() - transfer.start_time)} ago`);
}

const outcomes = {
  COMPLETED: ["Completed", tick, "is-completed"],
  FAILED: ["Failed", cross, "is-failed"],
  TERMINATED: ["Terminated", cross, "is-failed"],
  TIMED_OUT: ["Timed out", cross, "is-failed"],
  CANCELED: ["Canceled", dash, "is-other"],
  LOST: ["Lost", cross, "is-failed"],
};

function updateFinished(node, transfer) {
  describe(node, transfer);
  const [text, path, className] = outcomes[transfer.status] ?? [transfer.status, dash, "is-other"];
  node.className = `done ${className}`;
  setText(node.querySelector(".badge .text"), text);
  node.querySelector(".badge path").setAttribute("d", path);
  const refunded = transfer.completed_steps.includes("refund") ? "The money went back. " : "";
  setText(node.querySelector(".message .text"), refunded + (transfer.result?.error_message ?? ""));
  setText(node.querySelector(".message .judged"), verdicts[transfer.verdict] ?? "");
  const seconds = transfer.close_time - transfer.start_time;
  setText(node.querySelector("time"), `${clock(transfer.close_time)}, took ${duration(seconds)}`);
  node.querySelector("time").dateTime = new Date(transfer.close_time * 1000).toISOString();
}

/** A row that cannot be shown says so, and keeps no other from being shown. */
const guarded = (update) => (node, transfer) => {
  try {
    update(node, transfer);
  } catch (error) {
    node.textContent = `Transfer ${transfer.workflow_id ?? transfer.run_id} cannot be shown: ${error.message}`;
  }
};

function render() {
  const all = [...state.transfers.values()].sort(byStart);
  const active = all.filter(isRunning);
  const finished = all.filter((transfer) => !isRunning(transfer)).sort((a, b) => b.close_time - a.close_time);
  const make = (id) => () => fromTemplate(id).firstElementChild;
  reconcile(element("active"), active.slice(0, shownActive), (each) => each.run_id, make("active-template"),
    guarded(updateActive));
  reconcile(element("finished"), finished.slice(0, shown), (each) => each.run_id, make("finished-template"),
    guarded(updateFinished));
  setText(element("active-count"), active.length ? String(active.length) : "");
  setText(element("finished-count"), finished.length ? String(finished.length) : "");
  element("active-empty").hidden = active.length > 0;
  element("finished-empty").hidden = finished.length > 0;
  element("more").hidden = finished.length <= shown;
  element("more-active").hidden = active.length <= shownActive;
}

const seenRunning = new Set();

function announceEnds(changed) {
  for (const id of changed.transfers) {
    const transfer = state.transfers.get(id);
    if (!transfer) continue;
    if (isRunning(transfer)) seenRunning.add(id);
    else if (seenRunning.delete(id) || !changed.snapshot) {
      const { from_account: from, to_account: to, amount } = transfer.input;
      const outcome = (outcomes[transfer.status]?.[0] ?? transfer.status).toLowerCase();
      announce(`${money(amount)} from ${accountName(from)} to ${accountName(to)}: ${outcome}`);
    }
  }
}

export function showTransfers() {
  onChange((changed) => {
    if (!changed.transfers.length && !changed.snapshot) return;
    render();
    announceEnds(changed);
  });
  element("more").addEventListener("click", () => {
    shown += 20;
    render();
  });
  element("more-active").addEventListener("click", () => {
    shownActive += 50;
    render();
  });
  // Only the words that tell time: "in 4 s", "12 s ago".
  setInterval(() => {
    for (const node of element("active").children) {
      const transfer = state.transfers.get(node.dataset.key);
      if (transfer) guarded(updateActive)(node, transfer);
    }
  }, 1000);
}
