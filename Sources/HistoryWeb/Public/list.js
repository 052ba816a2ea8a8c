// The list of runs: selection, views that are kept in this browser, order of the columns; and batches, slice after slice.
export function equipList() {
  const selection = document.getElementById('selection')
  if (selection) {
    equipSelection(selection)
    equipViews()
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

function equipSelection(form) {
  const tell = () => {
    const boxes = [...form.querySelectorAll('tbody input[name=run]')]
    const count = boxes.filter(({ checked }) => checked).length
    const text = document.getElementById('selected')
    text.textContent = count > 0 ? `${count} selected` : 'Select runs, or act on all that the filter chooses'
    const all = document.getElementById('select-all')
    if (all) {
      all.checked = count > 0 && count === boxes.length
      all.indeterminate = count > 0 && count < boxes.length
    }
  }
  form.addEventListener('change', ({ target }) => {
    if (target.id === 'select-all') for (const box of form.querySelectorAll('tbody input[name=run]')) box.checked = target.checked
    tell()
  })
  document.addEventListener('perdure:changed', tell)
  tell()
}

const key = 'perdure-views'

function equipViews() {
  const menu = document.getElementById('views')
  const list = document.getElementById('view-list')
  let views
  try { views = JSON.parse(localStorage.getItem(key) ?? '[]') } catch { return }
  menu.hidden = false
  const keep = () => {
    localStorage.setItem(key, JSON.stringify(views))
    show()
  }
  const show = () => {
    list.replaceChildren(...views.map((view, place) => {
      const item = document.createElement('li')
      const link = document.createElement('a')
      link.href = `${location.pathname}${view.search}`
      link.textContent = view.name
      const remove = document.createElement('button')
      remove.type = 'button'
      remove.textContent = '✕'
      remove.setAttribute('aria-label', `Remove the view ${view.name}`)
      remove.addEventListener('click', (click) => { click.stopPropagation(); views.splice(place, 1); keep() })
      item.append(link, remove)
      return item
    }))
  }
  show()
  document.getElementById('view-save').addEventListener('submit', (submit) => {
    submit.preventDefault()
    const name = new FormData(submit.target).get('name').trim()
    const search = new URLSearchParams(location.search)
    search.delete('after')
    // A view brings its columns with it.
    if (!search.has('column')) for (const box of document.querySelectorAll('#columns input[name=column]:checked')) search.append('column', box.value)
    views = [...views.filter((view) => view.name !== name), { name, search: `?${search}` }]
    submit.target.reset()
    keep()
  })
}

function equipColumns() {
  for (const item of document.querySelectorAll('#columns li')) {
    const name = item.textContent.trim()
    for (const [sign, label, move] of [['↑', 'up', (item) => item.previousElementSibling?.before(item)], ['↓', 'down', (item) => item.nextElementSibling?.after(item)]]) {
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
    const response = await fetch(form.getAttribute('action'), { method: 'post', body: new URLSearchParams(new FormData(form)), headers: { accept: 'text/html' } })
    const page = new DOMParser().parseFromString(await response.text(), 'text/html')
    document.getElementById('main').replaceChildren(...page.getElementById('main').childNodes)
    if (!response.ok) return
    history.replaceState(null, '', response.url)
    form = document.querySelector('form[data-batch]')
  }
}
