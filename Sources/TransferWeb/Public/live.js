// Keeps a page that the server made current: when the event stream tells of a change, the page is fetched again and
// what is marked `data-live` becomes what it is there. What has the focus, and what a reader has opened, stays.

import { element, setText } from "./dom.js";
import { follow, freshness } from "./follow.js";
import { staleSince } from "./format.js";

const live = element("live");

function show(state, text) {
  live.dataset.state = state;
  setText(live.querySelector(".text"), text);
}

/** Makes `old` equal to `next` by changing as little as it can. */
function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  const kept = (name) => name === "open" && old.tagName === "DETAILS";
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !kept(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes)
    if (old.getAttribute(name) !== value && !kept(name)) old.setAttribute(name, value);
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const child of [...next.childNodes]) {
    const here = place && place.nodeName === child.nodeName && !place.id && !child.id ? place : null;
    const same = child.id ? known.get(child.id) : here;
    if (!same) {
      old.insertBefore(document.importNode(child, true), place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else old.insertBefore(same, place);
    morph(same, child);
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}

let busy = false;
let again = false;
/** The change that the page shows, and the one that the server told of last. */
let shown;
let told = "";
let problem;

const fresh = freshness((isLive, since) =>
  show(isLive ? "live" : "connecting", isLive ? "Live" : problem ?? staleSince(since)));

async function refresh() {
  again = busy;
  if (busy) return;
  busy = true;
  const change = told;
  try {
    const began = Date.now();
    const response = await fetch(location.href.split("#")[0],
      { headers: { accept: "text/html", "perdure-look": change } });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const age = Number(response.headers.get("perdure-age") ?? 0);
    const next = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const node of document.querySelectorAll("[data-live]")) {
      const other = next.getElementById(node.id);
      if (other) morph(node, other);
    }
    shown = change;
    fresh.at(began - age);
  } catch {
    // The next message tries again; until then the page says that it is not live.
    shown = undefined;
  }
  // A page a second is as fast as anybody reads.
  setTimeout(() => {
    busy = false;
    if (again) refresh();
  }, 700);
}

follow({
  source: "/api/events",
  events: ["snapshot", "change", "live", "trouble"],
  isWhole: true,
  tell(name, message) {
    if (name === "lost") return;
    if (name === "trouble") {
      problem = message.error;
      show("trouble", problem);
      return;
    }
    problem = undefined;
    told = String(message.look);
    if (told === shown) fresh.at(Date.now() - message.age);
    else refresh();
  },
});

// A page with a time axis moves on while nothing else does.
if (document.querySelector("[data-ticks]")) {
  setInterval(() => {
    if (document.visibilityState === "visible") refresh();
  }, 2000);
}

// Forms that break things do so without leaving the page; without this script they are ordinary forms.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest('form[action^="/workers/"]');
  if (!form) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  event.submitter.disabled = true;
  const outcome = element("outcome");
  try {
    const response = await fetch(form.action, { method: "POST", body: fields });
    const text = await response.text();
    outcome.classList.toggle("wrong", !response.ok);
    const said = response.ok
      ? new DOMParser().parseFromString(text, "text/html").getElementById("outcome").textContent
      : JSON.parse(text).error;
    setText(outcome, said);
  } catch {
    outcome.classList.add("wrong");
    setText(outcome, "The server cannot be reached. Nothing was changed; try again.");
  } finally {
    event.submitter.disabled = false;
    refresh();
  }
});

// On a phone the code of the three modes would be most of the page: there it is folded until somebody wants it.
if (matchMedia("(min-width: 54rem)").matches) {
  for (const details of document.querySelectorAll("[data-open-when-wide]")) details.open = true;
}
