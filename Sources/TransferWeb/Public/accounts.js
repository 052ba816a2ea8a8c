// Balances, the sum that proves them, and each account's own history.

import { get } from "./api.js";
import { element, fromTemplate, reconcile, setText } from "./dom.js";
import { accountName, clock, historyURL, money, shortName, signedMoney } from "./format.js";
import { onChange, state } from "./state.js";

const row = (id) => element("accounts").querySelector(`[data-account="${CSS.escape(id)}"]`);

function updateBalance(id, isFirst) {
  const node = row(id) ?? addRow(id);
  const balance = node.querySelector(".balance");
  const text = money(state.accounts.get(id).balance);
  if (balance.textContent === text) return;
  balance.textContent = text;
  if (isFirst) return;
  node.classList.remove("changed");
  void node.offsetWidth;
  node.classList.add("changed");
}

/** An account that was opened after the page was made. */
function addRow(id) {
  const node = element("accounts").firstElementChild.cloneNode(true);
  node.dataset.account = id;
  node.querySelector("details").open = false;
  node.querySelector(".statement").replaceChildren();
  setText(node.querySelector(".letter"), shortName(id).slice(0, 2));
  setText(node.querySelector(".name"), accountName(id));
  element("accounts").append(node);
  watch(node);
  return node;
}

function updateTotals() {
  const { customers, in_transit: transit, missing, surplus, all } = state.totals;
  setText(element("total-accounts"), money(customers));
  setText(element("total-transit"), money(transit));
  setText(element("total-missing"), money(missing));
  setText(element("total-surplus"), money(surplus));
  element("total-missing").parentElement.hidden = missing === 0;
  element("total-surplus").parentElement.hidden = surplus === 0;
  setText(element("total-all"), money(all));
  const verdict = element("verdict");
  verdict.dataset.ok = state.totals.conserved && missing === 0 && surplus === 0;
  setText(verdict.querySelector(".text"), judge(state.totals));
  element("share-transit").style.flexBasis = share(transit, all);
  element("share-missing").style.flexBasis = share(missing, all);
}

const share = (part, all) => `${Math.max(0, Math.min(100, (100 * part) / (all || 1)))}%`;

function judge({ conserved, expected, missing, surplus }) {
  if (!conserved) return `Wrong: ${money(expected)} was put in`;
  const wrong = [];
  if (missing > 0) wrong.push(`${money(missing)} is missing`);
  if (surplus > 0) wrong.push(`${money(surplus)} came from nowhere`);
  return wrong.length ? wrong.join(", ") : `Unchanged: exactly the ${money(expected)} that was put in`;
}

const loading = new Map();

/** Reads an open account's history again; what comes while it is being read makes it read once more, not many times. */
async function updateStatement(node) {
  const id = node.dataset.account;
  if (loading.has(id)) {
    loading.set(id, true);
    return;
  }
  loading.set(id, false);
  const target = node.querySelector(".statement");
  try {
    const { summary, workflows } = await get(`/api/accounts/${encodeURIComponent(id)}/workflows?limit=50`);
    if (!target.querySelector(".summary")) target.replaceChildren(fromTemplate("statement-template"));
    setText(target.querySelector(".sent"), money(summary.total_sent));
    setText(target.querySelector(".received"), money(summary.total_received));
    setText(target.querySelector(".net"), signedMoney(summary.net_change));
    target.querySelector(".empty").hidden = workflows.length > 0;
    const make = () => fromTemplate("line-template").firstElementChild;
    reconcile(target.querySelector(".lines"), workflows, (each) => each.run_id, make, updateLine);
  } catch (error) {
    target.textContent = error.message;
  }
  const again = loading.get(id);
  loading.delete(id);
  if (again && node.querySelector("details").open) updateStatement(node);
}

function updateLine(node, transfer) {
  const isSent = transfer.direction === "sent";
  setText(node.querySelector(".sign"), isSent ? "→" : "←");
  const link = node.querySelector(".history");
  setText(link, `${isSent ? "to" : "from"} ${accountName(transfer.counterparty)}`);
  link.href = historyURL(transfer);
  const states = { COMPLETED: clock(transfer.close_time ?? 0), RUNNING: "under way" };
  setText(node.querySelector(".state"), states[transfer.status] ?? transfer.status.toLowerCase().replace("_", " "));
  const moved = transfer.status === "COMPLETED" || transfer.status === "RUNNING";
  const { amount } = transfer.input;
  setText(node.querySelector(".amount"), moved ? signedMoney(isSent && amount !== null ? -amount : amount) : "0.00");
}

function watch(node) {
  node.querySelector("details").addEventListener("toggle", (event) => {
    if (event.target.open) updateStatement(node);
  });
}

export function showAccounts() {
  for (const node of element("accounts").children) watch(node);
  onChange((changed) => {
    for (const id of changed.accounts) updateBalance(id, changed.snapshot);
    if (changed.totals) updateTotals();
    const touched = new Set(changed.accounts);
    for (const id of changed.transfers) {
      const { input } = state.transfers.get(id) ?? {};
      if (input) touched.add(input.from_account).add(input.to_account);
    }
    for (const id of touched) {
      const node = row(id);
      if (node?.querySelector("details").open) updateStatement(node);
    }
  });
}
