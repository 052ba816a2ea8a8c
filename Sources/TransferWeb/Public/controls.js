// Real World Mode, the daily batch and the reset.

import { post } from "./api.js";
import { element, setText } from "./dom.js";
import { modeInWords } from "./format.js";
import { onChange, state } from "./state.js";

const mode = element("mode");

function say(text, isWrong = false) {
  const outcome = element("controls-outcome");
  outcome.classList.toggle("wrong", isWrong);
  setText(outcome, text);
}

async function attempt(button, action, done) {
  button.disabled = true;
  try {
    say(done(await action()));
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

function updateMode() {
  mode.setAttribute("aria-checked", String(state.mode.enabled));
  setText(element("mode-note"), modeInWords(state.mode));
}

export function enableControls() {
  mode.addEventListener("click", () => {
    const enabled = mode.getAttribute("aria-checked") !== "true";
    attempt(mode, () => post("/api/real-world-mode", { enabled }),
      () => `Real World Mode is ${enabled ? "on" : "off"}.`);
  });
  element("batch").addEventListener("click", (event) =>
    attempt(event.currentTarget, () => post("/api/batch"), ({ started }) => `Started ${started.length} transfers.`));

  const dialog = element("reset-dialog");
  element("reset").addEventListener("click", () => {
    dialog.returnValue = "";
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "reset") return;
    attempt(element("reset"), () => post("/api/reset"), () => "The balances are back to opening.");
  });
  onChange((changed) => {
    if (changed.mode) updateMode();
  });
}
