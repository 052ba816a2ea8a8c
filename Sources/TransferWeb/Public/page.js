// Puts the page together. Everything that it shows comes over one event stream; it never polls.

import { showAccounts } from "./accounts.js";
import { enableControls } from "./controls.js";
import { element, setText } from "./dom.js";
import { enableForm } from "./form.js";
import { follow } from "./state.js";
import { showTransfers } from "./transfers.js";

showAccounts();
showTransfers();
enableForm();
enableControls();

const live = element("live");
follow((connection, problem) => {
  live.dataset.state = connection;
  setText(live.querySelector(".text"), problem ?? "Live");
});
