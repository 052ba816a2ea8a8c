// The server tells what mark a view has; where the page's own is another one, the page is fetched again and what is
// marked `data-live` becomes what it is there. What a reader has opened stays open, and where the reader is nothing
// moves.
import { follow, freshness } from './follow.js'
import { clockText } from './words.js'

export function followChanges() {
  const root = document.querySelector('[data-changes]')
  if (!root) return
  const label = document.getElementById('live')
  const text = document.getElementById('live-text')
  const fresh = freshness((isLive, since) => {
    label.hidden = false
    label.classList.toggle('off', !isLive)
    text.textContent = isLive ? 'Live' : `Not live: as of ${clockText(since).slice(11, 19)}, trying again`
  })
  const view = root.dataset.changes
  let mark = root.dataset.mark
  let pinned = null
  let busy = false

  // A look that is missed here comes again within a second.
  const look = async (name, data) => {
    if (name !== 'look' || busy) return
    const isMain = data.view === view
    if (data.mark === (isMain ? mark : pinned?.mark)) {
      // With rows that are kept in place it is these that have to be current.
      if (isMain !== Boolean(pinned)) fresh.at(Date.now() - data.age)
      return
    }
    busy = true
    try {
      if (isMain) await update(data.mark)
      else if (pinned?.view === data.view) await updatePinned(data.mark)
    } catch { /* The next look tries again; until then the page says that it is not live. */ }
    busy = false
  }
  const followViews = follow({ source: '/changes', events: ['look'], views: [view], tell: look })

  async function update(look) {
    const { next, asOf } = await fetched(location.href.split('#')[0], look)
    mark = next.querySelector('[data-changes]')?.dataset.mark
    const news = document.getElementById('news')
    if (news && wouldJump(next)) {
      news.hidden = false
      news.onclick = () => { news.hidden = true; scrollTo(0, 0); pin(null); apply(next); mark = undefined }
      apply(next, '[data-live]:not(#runs)')
      pin(keepRows())
    } else {
      if (news) news.hidden = true
      pin(null)
      apply(next)
    }
    document.dispatchEvent(new CustomEvent('perdure:changed'))
    if (!document.querySelector('[data-changes]')) {
      followViews([])
      label.hidden = true
      label.id = 'was-live'
      return
    }
    if (!pinned) fresh.at(asOf)
  }

  // A reader who has scrolled keeps the rows that are on the screen, and these stay current: they are followed by their
  // ids, whatever the list shows now.
  function keepRows() {
    const ids = [...document.querySelectorAll('#runs tbody tr')].map(({ id }) => id.slice(4))
    const [path, query] = view.split('?')
    const fields = new URLSearchParams({ query: `RunId IN (${ids.map((id) => `'${id}'`).join(', ')})` })
    const lengths = new URLSearchParams(query ?? '').has('lengths')
    const address = new URL(location.href)
    address.search = fields
    address.hash = ''
    // As the server writes it.
    const escaped = `query=${encodeURIComponent(fields.get('query'))
      .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)}`
    return {
      view: `${path}?${escaped}${lengths ? '&lengths=1' : ''}`, page: address.href,
      mark: pinned?.ids === ids.join() ? pinned.mark : undefined, ids: ids.join(),
    }
  }

  function pin(rows) {
    pinned = rows
    followViews(rows ? [view, rows.view] : [view])
  }

  async function updatePinned(look) {
    const { next, asOf } = await fetched(pinned.page, look)
    for (const row of document.querySelectorAll('#runs tbody tr')) {
      const other = next.getElementById(row.id)
      if (other) morph(row, other)
      row.classList.toggle('gone', !other)
    }
    pinned.mark = next.querySelector('[data-changes]')?.dataset.mark
    fresh.at(asOf)
    document.dispatchEvent(new CustomEvent('perdure:changed'))
  }
}

async function fetched(address, look) {
  const began = Date.now()
  const response = await fetch(address, { headers: { accept: 'text/html', 'perdure-look': look } })
  if (!response.ok) throw new Error(response.statusText)
  const next = new DOMParser().parseFromString(await response.text(), 'text/html')
  return { next, asOf: began - Number(response.headers.get('perdure-age') ?? 0) }
}

// A reader who has scrolled down, or is in the list with the keyboard, would lose the place if rows came in above.
function wouldJump(next) {
  const first = document.querySelector('#runs tbody tr')?.id
  const isThere = first && next.querySelector('#runs tbody tr')?.id === first
  return !isThere && (scrollY > 80 || document.getElementById('runs')?.contains(document.activeElement))
}

function apply(next, what = '[data-live]') {
  for (const element of document.querySelectorAll(what)) {
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
    if (!next.hasAttribute(name) && !(old.tagName === 'DETAILS' && name === 'open') && name !== 'class')
      old.removeAttribute(name)
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
