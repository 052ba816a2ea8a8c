// The keyboard: j and k go through a list, x chooses, Enter opens, / is the filter, ? tells all of it.
const keys = [
  ['j', 'the next row'], ['k', 'the row before'], ['Enter', 'open the row'], ['x', 'choose the row, or not'],
  ['/', 'to the filter'], ['g then a', 'what needs attention'], ['g then w', 'the workflows'],
  ['g then q', 'the task queues'], ['Ctrl K', 'go to anything'], ['?', 'these keys'],
]
const places = { a: 'attention', w: 'workflows', q: 'queues' }

export function equipKeys() {
  let wantsPlace = false
  document.addEventListener('keydown', (down) => {
    if (down.ctrlKey || down.metaKey || down.altKey || down.defaultPrevented) return
    // Where one writes, keys are letters.
    if (down.target.closest('input:not([type=checkbox]), textarea, select, [contenteditable], dialog, [role=listbox]'))
      return
    const place = wantsPlace && places[down.key]
    wantsPlace = down.key === 'g'
    if (place) goTo(place)
    else if (down.key === 'j') step(1)
    else if (down.key === 'k') step(-1)
    else if (down.key === 'x') choose()
    else if (down.key === '/') focusFilter()
    else if (down.key === '?') showKeys()
    else return
    down.preventDefault()
  })
}

const links = () => [...document.querySelectorAll(
  '#runs tbody th a, #events > ol > li > details > summary, .troubles .actions a:first-child')]

function step(by) {
  const all = links()
  const row = document.activeElement?.closest('tr, li')
  const at = all.findIndex((link) => link === document.activeElement || (row && row.contains(link)))
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))]
  next?.focus()
  next?.scrollIntoView({ block: 'nearest' })
}

function choose() { document.activeElement?.closest('#runs tbody tr')?.querySelector('input[name=run]')?.click() }

function focusFilter() {
  const field = document.querySelector('#query, form[role=search] input[type=search]')
  field?.focus()
  field?.select()
}

function goTo(place) {
  const link = document.querySelector(`header.site nav a[href$="/${place}"]`)
  if (link) location.href = link.href
}

function showKeys() {
  let dialog = document.getElementById('keys')
  if (!dialog) {
    dialog = document.createElement('dialog')
    dialog.id = 'keys'
    dialog.setAttribute('aria-labelledby', 'keys-title')
    const title = document.createElement('h2')
    title.id = 'keys-title'
    title.textContent = 'Keys'
    const list = document.createElement('dl')
    for (const [key, what] of keys) {
      const term = document.createElement('dt')
      const name = document.createElement('kbd')
      name.textContent = key
      term.append(name)
      const text = document.createElement('dd')
      text.textContent = what
      list.append(term, text)
    }
    const form = document.createElement('form')
    form.method = 'dialog'
    const close = document.createElement('button')
    close.textContent = 'Close'
    form.append(close)
    dialog.append(title, list, form)
    document.body.append(dialog)
  }
  dialog.showModal()
}
