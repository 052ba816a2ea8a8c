// The list of runs: what is chosen, order of the columns; and batches, slice after slice.
export function equipList() {
  const selection = document.getElementById('selection')
  if (selection) {
    equipSelection(selection)
    equipColumns()
  }
  document.addEventListener('submit', (submit) => {
    if (!submit.target.matches('form[data-batch]')) return
    submit.preventDefault()
    runBatch(submit.target)
  })
  // Menus close when one looks elsewhere.
  document.addEventListener('click', ({ target }) => {
    for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(target)) menu.open = false
  })
  document.addEventListener('keydown', ({ key }) => {
    const menu = key === 'Escape' && document.activeElement?.closest('details.menu[open]')
    if (menu) { menu.open = false; menu.querySelector('summary').focus() }
  })
}

// What is chosen stays chosen on other pages of the same list, and when one comes back to it.
const chosenKey = () => {
  const search = new URLSearchParams(location.search)
  search.delete('after')
  return `perdure-chosen ${location.pathname}?${search}`
}

function equipSelection(form) {
  const key = chosenKey()
  let chosen = new Set()
  let all = false
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? '{}')
    chosen = new Set(kept.runs ?? [])
    all = kept.all === true
  } catch { /* Storage that may not be used, or another program's. */ }
  const boxes = () => [...form.querySelectorAll('tbody input[name=run]')]
  const everything = () => document.getElementById('choose-all')
  const restore = () => {
    for (const box of boxes()) box.checked = chosen.has(box.value)
    if (everything()) everything().checked = all
    tell()
  }
  const tell = () => {
    const here = boxes()
    const count = here.filter(({ checked }) => checked).length
    const elsewhere = [...chosen].filter((id) => !here.some(({ value }) => value === id)).length
    const text = document.getElementById('selected')
    text.textContent = all ? 'All that match are chosen' : count + elsewhere === 0 ? 'Nothing is chosen'
      : `${count + elsewhere} chosen${elsewhere > 0 ? `, ${elsewhere} of them on other pages` : ''}`
    form.classList.toggle('has-chosen', all || count + elsewhere > 0)
    const page = document.getElementById('select-all')
    if (page) {
      page.checked = count > 0 && count === here.length
      page.indeterminate = count > 0 && count < here.length
    }
  }
  const keep = () => {
    for (const box of boxes()) if (box.checked) chosen.add(box.value); else chosen.delete(box.value)
    all = everything()?.checked ?? false
    try {
      if (all || chosen.size > 0) sessionStorage.setItem(key, JSON.stringify({ runs: [...chosen], all }))
      else sessionStorage.removeItem(key)
    } catch { /* Then it is kept as long as the page is. */ }
    tell()
  }
  form.addEventListener('change', ({ target }) => {
    if (target.id === 'select-all') for (const box of boxes()) box.checked = target.checked
    if (target.id === 'choose-all' || target.id === 'select-all' || target.name === 'run') keep()
  })
  form.addEventListener('formdata', ({ formData }) => {
    if (formData.has('all')) return formData.delete('run')
    for (const id of chosen) if (!formData.getAll('run').includes(id)) formData.append('run', id)
  })
  document.addEventListener('perdure:changed', restore)
  // The browser may bring back a page as it was.
  addEventListener('pageshow', restore)
  restore()
}

function equipColumns() {
  for (const item of document.querySelectorAll('#columns li')) {
    const name = item.textContent.trim()
    for (const [sign, label, move] of [
      ['↑', 'up', (item) => item.previousElementSibling?.before(item)],
      ['↓', 'down', (item) => item.nextElementSibling?.after(item)],
    ]) {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = sign
      button.setAttribute('aria-label', `Move ${name} ${label}`)
      button.addEventListener('click', () => { move(item); button.focus() })
      item.append(button)
    }
  }
  const fixed = document.querySelector('#columns input[data-fixed]')
  fixed?.addEventListener('change', () => { fixed.checked = true })
}

// The address is always that of what comes next, so a reload goes on where this was.
async function runBatch(form) {
  while (form) {
    form.querySelector('button[type=submit]').disabled = true
    const response = await fetch(form.getAttribute('action'),
      { method: 'post', body: new URLSearchParams(new FormData(form)), headers: { accept: 'text/html' } })
    const page = new DOMParser().parseFromString(await response.text(), 'text/html')
    document.getElementById('main').replaceChildren(...page.getElementById('main').childNodes)
    if (!response.ok) return
    history.replaceState(null, '', response.url)
    // What was chosen has been dealt with.
    if (new URL(response.url).searchParams.has('finished')) forgetChosen()
    form = document.querySelector('form[data-batch]')
  }
}

function forgetChosen() {
  try {
    for (const name of Object.keys(sessionStorage))
      if (name.startsWith('perdure-chosen ')) sessionStorage.removeItem(name)
  } catch { /* Nothing was kept. */ }
}
