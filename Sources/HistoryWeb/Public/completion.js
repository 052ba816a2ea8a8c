// Completes the filter: fields, operators and values, by the rules of a combobox (WAI-ARIA, list autocomplete).
export const operators = {
  Keyword: ['=', '!=', 'IN', 'STARTS_WITH', 'IS NULL', 'IS NOT NULL'], Text: ['=', '!=', 'IS NULL'],
  KeywordList: ['=', '!=', 'IN', 'IS NULL'], Bool: ['=', '!=', 'IS NULL'],
  other: ['=', '!=', '>', '>=', '<', '<=', 'BETWEEN', 'IN', 'IS NULL', 'IS NOT NULL'],
}
const token = /'(?:[^']|'')*'?|"(?:[^"]|"")*"?|`[^`]*`?|[\w.\u0080-\uffff]+|<=|>=|!=|[^\s]/gu

export function completeFilter() {
  const input = document.getElementById('query')
  const source = document.getElementById('filter')?.dataset.fields
  if (!input || !source) return
  if (input.dataset.from) {
    input.focus()
    input.setSelectionRange(Number(input.dataset.from), Number(input.dataset.to))
  }
  const list = document.createElement('ul')
  Object.assign(list, { id: 'query-options', role: 'listbox', className: 'options', hidden: true })
  list.setAttribute('aria-label', 'Completions')
  input.after(list)
  input.setAttribute('role', 'combobox')
  input.setAttribute('aria-autocomplete', 'list')
  input.setAttribute('aria-controls', list.id)
  let known = null
  let options = []
  let chosen = -1

  const close = () => {
    list.hidden = true
    chosen = -1
    input.setAttribute('aria-expanded', 'false')
    input.removeAttribute('aria-activedescendant')
  }
  close()

  const choose = (index) => {
    chosen = index
    ;[...list.children].forEach((item, place) => item.setAttribute('aria-selected', String(place === index)))
    if (index < 0) input.removeAttribute('aria-activedescendant')
    else {
      input.setAttribute('aria-activedescendant', list.children[index].id)
      list.children[index].scrollIntoView({ block: 'nearest' })
    }
  }

  const take = ({ from, text }) => {
    const rest = input.value.slice(input.selectionStart).replace(/^[\w.']*/u, '')
    input.value = `${input.value.slice(0, from)}${text} ${rest.trimStart()}`
    const place = from + text.length + 1
    input.setSelectionRange(place, place)
    offer()
  }

  const offer = async () => {
    known ??= await fetch(source).then((response) => response.json()).catch(() => null)
    if (!known || document.activeElement !== input) return close()
    const found = optionsAt(input.value.slice(0, input.selectionStart), known)
    // What is offered already keeps its place: answers may come late.
    if (!list.hidden && JSON.stringify(found) === JSON.stringify(options)) return
    options = found
    list.replaceChildren(...options.map((option, index) => {
      const item = document.createElement('li')
      Object.assign(item, { id: `query-option-${index}`, role: 'option' })
      const word = document.createElement('b')
      word.textContent = option.text
      const note = document.createElement('span')
      note.className = 'quiet'
      note.textContent = option.note ?? ''
      item.append(word, ' ', note)
      item.addEventListener('mousedown', (down) => { down.preventDefault(); take(option) })
      return item
    }))
    list.hidden = options.length === 0
    input.setAttribute('aria-expanded', String(!list.hidden))
    choose(-1)
  }

  input.addEventListener('input', offer)
  input.addEventListener('focus', offer)
  input.addEventListener('blur', close)
  input.addEventListener('keydown', (key) => {
    // A second Escape would have the browser clear the field.
    if (key.key === 'Escape') { key.preventDefault(); return close() }
    if (key.key === 'ArrowDown' && list.hidden) { key.preventDefault(); return offer() }
    if (list.hidden) return
    if (key.key === 'ArrowDown') choose(chosen + 1 < options.length ? chosen + 1 : 0)
    else if (key.key === 'ArrowUp') choose(chosen > 0 ? chosen - 1 : options.length - 1)
    else if ((key.key === 'Enter' || key.key === 'Tab') && chosen >= 0) take(options[chosen])
    else return
    key.preventDefault()
  })
}

const quoted = (text) => `'${text.replaceAll("'", "''")}'`

/** What can stand at the end of `text`: [{ from, text, note }]. */
export function optionsAt(text, { fields, values }) {
  const tokens = [...text.matchAll(token)].map((match) => ({ text: match[0], from: match.index }))
  const last = tokens.at(-1)
  const isOpen = last && /^['"`]/.test(last.text) && (last.text.length === 1 || last.text.at(-1) !== last.text[0])
  const isPartial = last && (isOpen || (last.from + last.text.length === text.length && /[\w.'"]$/u.test(last.text)))
  const begun = isPartial ? last : { text: '', from: text.length }
  const before = isPartial ? tokens.slice(0, -1) : tokens
  const words = before.map(({ text }) => text.toUpperCase())
  const start = begun.text.replace(/^['"`]/, '').toLowerCase()
  const fits = (option) => option.toLowerCase().startsWith(start) && option.toLowerCase() !== start
  const offered = (list) => list.filter(({ text }) => fits(text.replace(/^'/, ''))).slice(0, 30)
    .map((option) => ({ from: begun.from, ...option }))
  const field = (name) => fields.find((field) => field.name === name?.replace(/^`|`$/g, ''))
  const name = (field) => /^[\p{L}_][\w.]*$/u.test(field.name) ? field.name : `\`${field.name}\``
  const previous = words.at(-1)

  if (words.at(-2) === 'ORDER' && previous === 'BY' || (words.lastIndexOf('BY') > 0 && previous === ',')) {
    return offered(fields.filter(({ type }) => !['Text', 'KeywordList'].includes(type))
      .map((field) => ({ text: name(field), note: field.type })))
  }
  if (words.includes('ORDER')) return field(before.at(-1)?.text) ? offered([{ text: 'DESC' }, { text: 'ASC' }]) : []
  if (previous === undefined || ['AND', 'OR', 'NOT', '('].includes(previous) && !inList(words)) {
    return offered([...fields.map((field) => ({ text: name(field), note: `${field.type} · ${field.description}` })),
      { text: 'NOT' }])
  }
  const of = field(before.at(-1)?.text)
  if (of) return offered((operators[of.type] ?? operators.other).map((text) => ({ text })))
  // A value comes after an operator; the field stands before it.
  const place = before.findLastIndex(({ text }) => field(text))
  const compared = field(before[place]?.text)
  const given = words.slice(place + 1)
  if (compared && (['=', '!=', '>', '<', '>=', '<=', '(', ',', 'STARTS_WITH', 'BETWEEN'].includes(previous)
    || given.join() === 'BETWEEN')) {
    if (previous === 'IN') return offered([{ text: '(' }])
    if (compared.type === 'Bool') return offered([{ text: 'true' }, { text: 'false' }])
    if (compared.type === 'Datetime') {
      const ago = (hours) => new Date(Date.now() - hours * 3600_000).toISOString().slice(0, 19) + 'Z'
      return offered([[1, 'an hour ago'], [24, 'a day ago'], [168, 'a week ago']]
        .map(([hours, note]) => ({ text: quoted(ago(hours)), note })))
    }
    if (compared.type === 'Duration')
      return offered(['1s', '10s', '1m', '1h', '24h'].map((text) => ({ text: quoted(text) })))
    return offered((values[compared.name] ?? []).map((text) => ({ text: quoted(text) })))
  }
  return offered([{ text: 'AND' }, { text: 'OR' }, { text: 'ORDER BY' }])
}

const inList = (words) => words.at(-2) === 'IN'
