// The transfer form: says what is wrong beside the field, before and after the server does.

import { post } from "./api.js";
import { element, setText } from "./dom.js";
import { accountName, money } from "./format.js";
import { onChange, state } from "./state.js";

const fields = { from: element("from"), to: element("to"), amount: element("amount") };

/** What is wrong with the form, by field. The server checks everything again. */
function problems() {
  const found = {};
  const amount = fields.amount.value.trim().replace(",", ".");
  if (!fields.from.value) found.from = "Choose the account to take the money from.";
  if (!fields.to.value) found.to = "Choose the account to send the money to.";
  else if (fields.to.value === fields.from.value) found.to = "Choose another account than the source.";
  if (!amount) found.amount = "Enter an amount.";
  else if (!/^\d+(\.\d*)?$/.test(amount)) found.amount = "Enter a number, for example 12.50.";
  else if (/\.\d{3,}$/.test(amount)) found.amount = "Use at most two decimals.";
  else if (!/[1-9]/.test(amount)) found.amount = "Enter more than zero.";
  return found;
}

function show(found) {
  for (const [name, field] of Object.entries(fields)) {
    const note = element(`${name}-note`);
    note.classList.toggle("wrong", Boolean(found[name]));
    if (found[name]) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    setText(note, found[name] ?? hint(name));
  }
}

function hint(name) {
  const account = state.accounts.get(fields[name].value);
  return name === "from" && account ? `${money(account.balance)} available` : "";
}

function say(text, isWrong = false) {
  const outcome = element("outcome");
  outcome.classList.toggle("wrong", isWrong);
  setText(outcome, text);
}

async function submit(event) {
  event.preventDefault();
  const found = problems();
  show(found);
  const first = Object.keys(fields).find((name) => found[name]);
  if (first) {
    say("");
    fields[first].focus();
    return;
  }
  const button = event.target.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const from = fields.from.value;
    const to = fields.to.value;
    // The digits go out as they were typed: a number of JavaScript's would round them.
    const typed = fields.amount.value.trim().replace(",", ".").replace(/\.$/, "");
    const amount = typed.replace(/^0+(?=\d)/, "");
    const mode = new FormData(event.target).get("mode");
    const body = `"from_account":${JSON.stringify(from)},"to_account":${JSON.stringify(to)},`
      + `"amount":${amount},"mode":${JSON.stringify(mode)}`;
    await post("/api/transfer", `{${body}}`);
    say(`Started: ${money(amount)} from ${accountName(from)} to ${accountName(to)}.`);
    fields.amount.value = "";
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

export function enableForm() {
  const form = element("transfer");
  form.addEventListener("submit", submit);
  // Once something was called wrong it is checked while it is being put right, and not before.
  form.addEventListener("input", (event) => {
    const name = event.target.id;
    const isMarked = event.target.getAttribute("aria-invalid") === "true";
    if (isMarked) {
      const found = problems();
      show(Object.fromEntries(Object.entries(found).filter(([key]) => key === name)));
    } else if (name === "from") setText(element("from-note"), hint("from"));
  });
  element("swap").addEventListener("click", () => {
    [fields.from.value, fields.to.value] = [fields.to.value, fields.from.value];
    setText(element("from-note"), hint("from"));
  });
  onChange((changed) => {
    for (const id of changed.accounts) addOption(id);
    const note = element("from-note");
    if (!note.classList.contains("wrong")) setText(note, hint("from"));
  });
}

function addOption(id) {
  for (const select of [fields.from, fields.to]) {
    if ([...select.options].some((option) => option.value === id)) continue;
    select.add(new Option(accountName(id), id));
  }
}
