// What a step or an event holds is fetched when it is opened, so that a page of a hundred of them stays small.
export function fillBodies() {
  // A toggle does not bubble.
  document.addEventListener('toggle', ({ target }) => { if (target.open) fill(target) }, true)
  document.addEventListener('perdure:changed', () => document.querySelectorAll('#events details[open]').forEach(fill))
}

async function fill(details) {
  const body = details.querySelector(':scope > .body')
  if (!body || body.dataset.filled === body.dataset.version) return
  const version = body.dataset.version
  body.setAttribute('aria-busy', 'true')
  try {
    const response = await fetch(body.dataset.body, { headers: { accept: 'text/html' } })
    if (!response.ok) throw new Error(response.statusText)
    const part = new DOMParser().parseFromString(await response.text(), 'text/html')
    body.replaceChildren(...part.body.childNodes)
    body.dataset.filled = version
  } catch {
    // The link to the page of the step stays, and opening again tries again.
  }
  body.removeAttribute('aria-busy')
}
