// Ctrl-K or Command-K: a dialog that leads to anything that has a name, and to what can be done on this page. A
// combobox with a list (WAI-ARIA). Without scripts the same is a page.
export function equipGo() {
  const link = document.getElementById('go')
  if (!link) return
  link.querySelector('kbd').textContent = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘ K' : 'Ctrl K'
  link.querySelector('kbd').hidden = false
  link.addEventListener('click', (click) => {
    if (click.ctrlKey || click.metaKey || click.shiftKey) return
    click.preventDefault()
    open(link)
  })
  document.addEventListener('keydown', (down) => {
    if (down.key.toLowerCase() !== 'k' || !(down.ctrlKey || down.metaKey) || down.altKey || down.shiftKey) return
    down.preventDefault()
    open(link)
  })
}

const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties)
  element.append(...children)
  return element
}

let dialog = null

function open(link) {
  if (!document.querySelector('dialog[open]')) {
    dialog ??= build(link.getAttribute('href'))
    dialog.showModal()
    const input = dialog.querySelector('input')
    input.select()
    input.dispatchEvent(new Event('input'))
  }
}

// What can be done here: links and buttons of the page itself.
function actionsHere() {
  const here = [...document.querySelectorAll(
    '#run-title .actions .button, #verdict button, main > .title .actions .button')]
  return here.map((element) =>
    ({ kind: 'On this page', label: element.textContent.trim(), run: () => element.click() }))
}

function build(path) {
  const list = make('ul', { id: 'go-options', className: 'places', role: 'listbox' })
  list.setAttribute('aria-label', 'Places')
  const input = make('input', {
    type: 'search', name: 'q', autocomplete: 'off', spellcheck: false,
    placeholder: 'An id, a queue, a type, a page, an action',
  })
  for (const [name, value] of Object.entries({
    role: 'combobox', 'aria-autocomplete': 'list', 'aria-controls': list.id, 'aria-expanded': 'false',
    'aria-label': 'Go to',
  })) input.setAttribute(name, value)
  const note = make('p', { className: 'quiet', role: 'status', id: 'go-note' })
  const form = make('form', { action: path, method: 'get' }, input)
  const box = make('dialog', { id: 'go-dialog' }, form, list, note)
  box.setAttribute('aria-label', 'Go to')
  document.body.append(box)
  let options = []
  let chosen = -1
  let asked = null
  let timer = 0

  const choose = (index) => {
    chosen = index
    ;[...list.children].forEach((item, place) => item.setAttribute('aria-selected', String(place === index)))
    if (index < 0) input.removeAttribute('aria-activedescendant')
    else {
      input.setAttribute('aria-activedescendant', list.children[index].id)
      list.children[index].scrollIntoView({ block: 'nearest' })
    }
  }
  const take = (option) => {
    box.close()
    if (option.run) option.run()
    else location.href = option.href
  }
  const show = (found) => {
    options = found
    list.replaceChildren(...options.map((option, index) => {
      const item = make('li', { id: `go-option-${index}`, role: 'option' },
        make('span', { textContent: option.label }), ' ',
        make('span', { className: 'quiet', textContent: option.kind }))
      item.addEventListener('click', () => take(option))
      return item
    }))
    list.hidden = options.length === 0
    input.setAttribute('aria-expanded', String(options.length > 0))
    note.textContent = options.length === 0 ? 'Nothing has this name'
      : `${options.length} ${options.length === 1 ? 'place' : 'places'}`
    choose(options.length > 0 ? 0 : -1)
  }
  const ask = async () => {
    asked?.abort()
    asked = new AbortController()
    const text = input.value.trim()
    const here = actionsHere().filter(({ label }) => label.toLowerCase().includes(text.toLowerCase()))
    try {
      const response = await fetch(`${path}.json?q=${encodeURIComponent(text)}`, { signal: asked.signal })
      if (!response.ok) throw new Error(response.statusText)
      const found = await response.json()
      show([...here,
        ...found.filter(({ label, kind }) => kind !== 'Action' || !here.some((one) => one.label === label))])
    } catch (error) {
      if (error.name === 'AbortError') return
      show(here)
      note.textContent = 'The server does not answer'
    }
  }
  input.addEventListener('input', () => {
    clearTimeout(timer)
    // What is shown is not what is typed until the answer comes.
    options = []
    timer = setTimeout(ask, input.value ? 120 : 0)
  })
  input.addEventListener('keydown', (down) => {
    const last = options.length - 1
    if (down.key === 'ArrowDown' && last >= 0) choose(chosen >= last ? 0 : chosen + 1)
    else if (down.key === 'ArrowUp' && last >= 0) choose(chosen <= 0 ? last : chosen - 1)
    else if (down.key === 'Enter' && options[chosen]) take(options[chosen])
    // A browser would only empty the field.
    else if (down.key === 'Escape') box.close()
    else return
    down.preventDefault()
  })
  box.addEventListener('click', (click) => { if (click.target === box) box.close() })
  return box
}
