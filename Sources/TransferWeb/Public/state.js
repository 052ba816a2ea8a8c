// What the page knows, kept current by the server's event stream: a snapshot first, then what changed.

import { follow as followStream, freshness } from "./follow.js";
import { exact, staleSince } from "./format.js";

const keep = 200;

export const state = {
  accounts: new Map(),
  totals: null,
  mode: null,
  transfers: new Map(),
  /** How far the server's clock is ahead of this one, in seconds. */
  clockOffset: 0,
};

const listeners = [];

/** Calls `listener` with what changed: `{snapshot, accounts, totals, mode, transfers}`, the last two lists of ids. */
export function onChange(listener) {
  listeners.push(listener);
}

export const now = () => Date.now() / 1000 + state.clockOffset;

function apply(message, snapshot) {
  state.clockOffset = message.now - Date.now() / 1000;
  if (snapshot) state.transfers.clear();
  const changed = { snapshot, accounts: [], totals: Boolean(message.totals), mode: Boolean(message.real_world_mode),
    transfers: [] };
  for (const account of message.accounts ?? []) {
    const before = state.accounts.get(account.account_id);
    if (before && before.balance === account.balance) continue;
    state.accounts.set(account.account_id, account);
    changed.accounts.push(account.account_id);
  }
  if (message.totals) state.totals = message.totals;
  if (message.real_world_mode) state.mode = message.real_world_mode;
  for (const transfer of message.transfers ?? []) {
    state.transfers.set(transfer.run_id, transfer);
    changed.transfers.push(transfer.run_id);
  }
  forgetOldest();
  for (const listener of listeners) listener(changed);
}

function forgetOldest() {
  if (state.transfers.size <= keep) return;
  const closed = [...state.transfers.values()].filter((each) => each.status !== "RUNNING");
  closed.sort((a, b) => a.start_time - b.start_time);
  for (const transfer of closed.slice(0, state.transfers.size - keep)) state.transfers.delete(transfer.run_id);
}

/**
 * Follows the server's stream, which begins with everything.
 * @param onConnection called with `live`, or with what is wrong
 */
export function follow(onConnection) {
  let problem;
  const fresh = freshness((isLive, since) =>
    onConnection(isLive ? "live" : "connecting", isLive ? undefined : problem ?? staleSince(since)));
  followStream({
    source: "/api/events",
    events: ["snapshot", "change", "live", "trouble"],
    isWhole: true,
    read: exact,
    tell(name, message) {
      if (name === "lost") return;
      if (name === "trouble") {
        problem = message.error;
        onConnection("trouble", problem);
        return;
      }
      problem = undefined;
      if (name !== "live") apply(message, name === "snapshot");
      fresh.at(Date.now() - message.age);
    },
  });
}
