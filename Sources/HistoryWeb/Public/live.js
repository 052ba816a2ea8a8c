// The server tells when a page would look different; the page is fetched again and what is marked `data-live` becomes
// what it is there. What a reader has opened stays open, and where the reader is nothing moves.
export function followChanges() {
  const source = document.querySelector('[data-changes]')?.dataset.changes
  if (!source) return
  const label = document.getElementById('live')
  const text = document.getElementById('live-text')
  const show = (isLive) => {
    label.hidden = false
    label.classList.toggle('off', !isLive)
    text.textContent = isLive ? 'Live' : 'Not live: trying again'
  }
  const stream = new EventSource(source)
  stream.addEventListener('open', () => show(true))
  stream.addEventListener('error', () => show(false))
  let busy = false
  let again = false
  const refresh = async () => {
    if (busy) { again = true; return }
    busy = true
    do {
      again = false
      try { await update(stream) } catch { show(false) }
      await new Promise((done) => setTimeout(done, 150))
    } while (again)
    busy = false
  }
  stream.addEventListener('change', refresh)
}

async function update(stream) {
  const response = await fetch(location.href.split('#')[0], { headers: { accept: 'text/html' } })
  if (!response.ok) throw new Error(response.statusText)
  const next = new DOMParser().parseFromString(await response.text(), 'text/html')
  const news = document.getElementById('news')
  if (news && wouldJump(next)) {
    news.hidden = false
    news.onclick = () => { news.hidden = true; scrollTo(0, 0); apply(next) }
    return
  }
  if (news) news.hidden = true
  apply(next)
  document.dispatchEvent(new CustomEvent('perdure:changed'))
  if (!document.querySelector('[data-changes]')) {
    stream.close()
    document.getElementById('live').hidden = true
  }
}

// A reader who has scrolled down, or is in the list with the keyboard, would lose the place if rows came in above.
function wouldJump(next) {
  const first = document.querySelector('#runs tbody tr')?.id
  const isThere = first && next.querySelector('#runs tbody tr')?.id === first
  return !isThere && (scrollY > 80 || document.getElementById('runs')?.contains(document.activeElement))
}

function apply(next) {
  for (const element of document.querySelectorAll('[data-live]')) {
    const other = next.getElementById(element.id)
    if (other) morph(element, other)
  }
}

// Makes `old` equal to `next` by changing as little as it can. Children with an id are known by it.
function morph(old, next) {
  // What was fetched for it stays; it is fetched again if it is of another version.
  if (old.dataset?.filled && next.dataset.body) {
    old.dataset.version = next.dataset.version
    return
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(old.tagName === 'DETAILS' && name === 'open') && name !== 'class') old.removeAttribute(name)
  }
  for (const { name, value } of next.attributes) {
    if (old.tagName === 'DETAILS' && name === 'open') continue
    if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  }
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]))
  let place = old.firstChild
  for (const child of [...next.childNodes]) {
    const same = child.id ? known.get(child.id) : place && !place.id && place.nodeName === child.nodeName ? place : null
    if (!same) {
      old.insertBefore(document.importNode(child, true), place)
      continue
    }
    if (same !== place) old.insertBefore(same, place)
    else place = place.nextSibling
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, child)
    else if (same.nodeValue !== child.nodeValue) same.nodeValue = child.nodeValue
  }
  while (place) {
    const after = place.nextSibling
    place.remove()
    place = after
  }
}
