// How amounts, times and names are written. Amounts come as decimals from the server, which does the sums.

const amount = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const signed = new Intl.NumberFormat("en",
  { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
const time = new Intl.DateTimeFormat(undefined,
  { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** An amount; a transfer that was started with odd input has none. */
export const money = (value) => (value === null || value === undefined ? "no sum" : amount.format(value));
export const signedMoney = (value) => (value === null || value === undefined ? "no sum" : signed.format(value));
export const clock = (seconds) => time.format(new Date(seconds * 1000));
export const staleSince = (milliseconds) => `Not live: as of ${clock(milliseconds / 1000)}`;

/** JSON, in which numbers of more digits than a number here has stay text. `Intl` writes them as they are. */
export const exact = (text) =>
  JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.]*(?:[eE][+-]?\d+)?/g,
    (part) => (part[0] !== '"' && part.length > 15 && part.replace(/\D/g, "").length > 15 ? `"${part}"` : part)));

export const accountName = (id) => (id ? id.replace("account_", "Account ") : "no account");
export const shortName = (id) => id.replace("account_", "");

export function duration(seconds) {
  const whole = Math.max(0, seconds);
  if (whole < 10) return `${whole.toFixed(1)} s`;
  if (whole < 60) return `${Math.round(whole)} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${Math.round(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const steps = {
  check_balance_from: "Check payer",
  check_balance_to: "Check payee",
  withdraw: "Withdraw",
  deposit: "Deposit",
  refund: "Refund",
};
export const stepName = (step) => steps[step] ?? step;

/** An id as a segment of an address. A browser takes `.` and `..` for steps, so the history pages know them with a
    tilde. */
const segment = (id) => (/^~*\.\.?$/.test(id) ? "~" : "") + encodeURIComponent(id);

/** Where the history pages show a transfer. */
export const historyURL = (transfer) =>
  `${document.body.dataset.history}/namespaces/default/workflows/${segment(transfer.workflow_id)}/${transfer.run_id}`;

export const modes = { plain: "Plain", retrying: "Retries in memory", durable: "Durable" };

/** What the books say of a transfer that is not as its caller was told; see bank.verdict. */
export const verdicts = {
  missing: "Money is missing: it was withdrawn and not deposited.",
  doubled: "Money came from nowhere: it was deposited and not withdrawn.",
  repeated: "The money moved more than once.",
  unreported: "The money moved, and the caller was told that it had not.",
};

/** Where the journal entries of a transfer are. */
export const entriesURL = (transfer) => `/books?transfer=${encodeURIComponent(transfer.run_id)}`;

/** Real World Mode's rates in words. */
export function modeInWords(mode) {
  const percent = (share) => `${Math.round(share * 1000) / 10} %`;
  return `${percent(mode.hang_rate)} of calls to the accounts hang for ${mode.hang_seconds} s, `
    + `${percent(mode.error_rate)} fail, ${percent(mode.lost_answer_share)} of those after the money has moved.`;
}
