// Calls of the page's own API. What goes wrong comes back as an error with a message for people.

import { exact } from "./format.js";

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server cannot be reached. Nothing was changed; try again.");
  }
  const body = await response.text().then(exact).catch(() => ({}));
  if (!response.ok) throw new Error(body.error ? sentence(body.error) : `The server answered ${response.status}.`);
  return body;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

export const get = (path) => call(path);

/** @param body JSON text, or a value to write as JSON. */
export const post = (path, body = {}) =>
  call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
