// Builds a condition of the filter from lists: only operators that fit the field, and values that occur. The server
// writes it into the filter; without scripts all operators are there, and the filter says which does not fit.
import { operators } from './completion.js'

export function equipBuilder() {
  const menu = document.getElementById('builder')
  const source = document.getElementById('filter')?.dataset.fields
  if (!menu || !source) return
  const [field, operator, value] = ['field', 'operator', 'value'].map((name) => menu.querySelector(`[name=${name}]`))
  const all = [...operator.options]
  let values = null

  const fit = () => {
    const type = field.selectedOptions[0]?.dataset.type
    const fitting = operators[type] ?? operators.other
    const before = operator.value
    operator.replaceChildren(...all.filter((option) => fitting.includes(option.value)))
    operator.value = fitting.includes(before) ? before : operator.options[0].value
    document.getElementById('builder-values').replaceChildren(
      ...(values?.[field.value] ?? (type === 'Bool' ? ['true', 'false'] : [])).map(
        (text) => Object.assign(document.createElement('option'), { value: text })))
    ask()
  }
  const ask = () => {
    const isAsked = !operator.value.startsWith('IS')
    value.disabled = !isAsked
    value.required = isAsked
  }
  field.addEventListener('change', fit)
  operator.addEventListener('change', ask)
  menu.addEventListener('toggle', async () => {
    if (!menu.open || values) return
    const known = await fetch(source).then((response) => response.json()).catch(() => null)
    values = known?.values ?? {}
    fit()
  })
  fit()
}
