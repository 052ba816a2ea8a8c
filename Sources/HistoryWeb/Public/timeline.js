import { readable } from './clocks.js'

const rowHeight = 30
const barHeight = 14
const axisHeight = 26
const svgNamespace = 'http://www.w3.org/2000/svg'

function make(name, attributes = {}, parent = null) {
  const element = document.createElementNS(svgNamespace, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  parent?.append(element)
  return element
}

export function showTimeline() {
  const view = document.getElementById('timeline-view')
  if (view) new Timeline(view).load()
}

// Only the rows that can be seen are in the document, so a history of any length scrolls.
class Timeline {
  constructor(view) {
    this.view = view
    this.rows = null
    this.focused = 0
    this.selected = null
    this.span = null // [from, to] in ms since the start of the run; null shows all of it
    this.detail = document.getElementById('timeline-detail')
    this.tools = document.getElementById('timeline-tools')

    this.axis = make('svg', { id: 'timeline-axis', height: axisHeight, 'aria-hidden': 'true' })
    this.svg = make('svg', { role: 'listbox', 'aria-label': 'Steps of the run', 'aria-describedby': 'timeline-keys', tabindex: '0' })
    view.replaceChildren(this.axis, this.svg)

    view.addEventListener('scroll', () => this.draw())
    new ResizeObserver(() => this.draw()).observe(view)
    this.svg.addEventListener('keydown', (key) => this.press(key))
    this.svg.addEventListener('click', (click) => this.click(click))
    this.svg.addEventListener('focus', () => this.draw())
    this.svg.addEventListener('blur', () => this.draw())
    view.addEventListener('wheel', (wheel) => this.wheel(wheel), { passive: false })
    this.followPointers()
    this.tools.addEventListener('click', ({ target }) => {
      const zoom = target.dataset.zoom
      if (zoom) zoom === 'fit' ? this.show(null) : this.zoom(zoom === 'in' ? 0.5 : 2)
    })
    document.addEventListener('perdure:changed', () => this.load())
  }

  async load() {
    const response = await fetch(this.view.dataset.source)
    if (!response.ok) return
    const data = await response.json()
    this.rows = data.rows
    this.close = data.close
    this.serverNow = data.now
    this.loadedAt = performance.now()
    this.last = 0
    for (const row of this.rows) for (const stretch of row.stretches) this.last = Math.max(this.last, stretch.to ?? 0)
    this.tools.hidden = this.rows.length === 0
    this.focused = Math.min(this.focused, Math.max(0, this.rows.length - 1))
    this.draw()
    if (this.close === null && !this.timer) {
      this.timer = setInterval(() => this.draw(), 250)
    } else if (this.close !== null) {
      clearInterval(this.timer)
    }
  }

  get now() { return this.close ?? this.serverNow + performance.now() - this.loadedAt }

  get bounds() {
    if (this.span) return this.span
    // What lies far ahead must not squeeze what has happened.
    return [0, Math.max(Math.min(this.last, this.now * 1.6), this.now * 1.02, 1)]
  }

  get gutter() { return this.view.clientWidth < 560 ? 130 : 240 }

  x(ms) {
    const [from, to] = this.bounds
    return this.gutter + ((ms - from) / (to - from)) * (this.view.clientWidth - this.gutter - 12)
  }

  ms(x) {
    const [from, to] = this.bounds
    return from + ((x - this.gutter) / (this.view.clientWidth - this.gutter - 12)) * (to - from)
  }

  draw() {
    if (!this.rows) return
    cancelAnimationFrame(this.frame)
    this.frame = requestAnimationFrame(() => this.drawNow())
  }

  drawNow() {
    const width = this.view.clientWidth
    const height = Math.max(rowHeight, this.rows.length * rowHeight)
    this.svg.setAttribute('height', height)
    this.axis.setAttribute('height', axisHeight)
    this.drawAxis(width)
    const hatch = (name) => {
      const pattern = make('pattern', { id: `hatch-${name}`, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' })
      make('rect', { width: 6, height: 6, class: `hatch-back-${name}` }, pattern)
      make('line', { x1: 0, y1: 0, x2: 0, y2: 6, 'stroke-width': 3, class: `hatch-${name}` }, pattern)
      return pattern
    }
    const definitions = make('defs')
    const clip = make('clipPath', { id: 'plot' }, definitions)
    make('rect', { x: this.gutter, y: 0, width: Math.max(0, width - this.gutter), height }, clip)
    definitions.append(hatch('bad'), hatch('warn'))
    const drawn = [definitions]
    if (this.rows.length === 0) {
      const text = make('text', { x: 12, y: 20, class: 'sub' })
      text.textContent = 'Nothing has been scheduled yet.'
      drawn.push(text)
    }
    const lines = make('g', { 'aria-hidden': 'true', 'clip-path': 'url(#plot)' })
    for (const tick of this.ticks) make('line', { x1: this.x(tick), x2: this.x(tick), y1: 0, y2: height, class: 'grid' }, lines)
    make('line', { x1: this.x(this.now), x2: this.x(this.now), y1: 0, y2: height, class: this.close === null ? 'now' : 'close' }, lines)
    drawn.push(lines)
    const first = Math.max(0, Math.floor((this.view.scrollTop - axisHeight) / rowHeight) - 2)
    const last = Math.min(this.rows.length, first + Math.ceil(this.view.clientHeight / rowHeight) + 5)
    for (let index = first; index < last; index++) drawn.push(this.row(index, width))
    this.svg.replaceChildren(...drawn)
    if (this.rows.length > 0) this.svg.setAttribute('aria-activedescendant', `timeline-row-${this.rows[this.focused].id}`)
  }

  row(index, width) {
    const row = this.rows[index]
    const top = index * rowHeight
    const isSelected = this.selected?.row === row.id
    const group = make('g', {
      class: `row${isSelected ? ' selected' : ''}`, role: 'option', id: `timeline-row-${row.id}`, 'data-index': index,
      'aria-selected': String(isSelected), 'aria-setsize': this.rows.length, 'aria-posinset': index + 1,
      'aria-label': `${row.label} ${row.name}: ${row.text}`,
    })
    const back = make('rect', { class: 'row-back', x: 1, y: top + 1, width: Math.max(0, width - 2), height: rowHeight - 2, rx: 4 }, group)
    if (index === this.focused && document.activeElement === this.svg && this.svg.matches(':focus-visible')) {
      back.setAttribute('stroke', 'currentColor')
    }
    const look = row.failed > 0 ? (row.outcome === 'completed' ? 'completed-late' : row.outcome === 'failed' ? 'failed' : 'retrying') : row.outcome
    const icon = make('svg', { x: 10, y: top + 8, width: 14, height: 14, class: look, 'aria-hidden': 'true' }, group)
    make('use', { href: `${this.view.dataset.icons}#${look}` }, icon)
    const label = make('text', { x: 32, y: top + rowHeight / 2 + 4 }, group)
    const room = Math.floor((this.gutter - 40) / 6.7)
    const suffix = row.failed > 0 ? ` ✕${row.failed}` : ''
    label.textContent = (row.name.length + suffix.length > room ? `${row.name.slice(0, Math.max(1, room - suffix.length - 1))}…` : row.name) + suffix
    const title = make('title', {}, group)
    title.textContent = `${row.label} ${row.name}: ${row.text}`

    const plot = make('g', { 'clip-path': 'url(#plot)' }, group)
    const middle = top + rowHeight / 2
    for (const stretch of row.stretches) {
      const from = this.x(stretch.from)
      const to = this.x(stretch.to ?? this.now)
      if (to < this.gutter || from > width) continue
      if (stretch.part === 'moment') {
        make('path', { class: 'moment', d: `M${from} ${middle - 7}l7 7-7 7-7-7z`, 'data-step': stretch.step }, plot)
        continue
      }
      const thin = stretch.part === 'queued' || stretch.part === 'backoff'
      const height = thin ? 6 : barHeight
      const bar = make('rect', {
        class: `${stretch.part} ${stretch.outcome}`, x: from, y: middle - height / 2, width: Math.max(thin ? 1 : 3, to - from), height, rx: 2,
        'data-step': stretch.step,
      }, plot)
      make('title', {}, bar).textContent = `${stretch.text}, ${readable((stretch.to ?? this.now) - stretch.from)}`
      if (stretch.part === 'work' && (stretch.outcome === 'failed' || stretch.outcome === 'timed-out')) {
        const cross = make('text', { x: Math.max(to, from + 3) + 4, y: middle + 4, class: 'sub' }, plot)
        cross.textContent = stretch.outcome === 'failed' ? '✕ failed' : '✕ timed out'
      }
      if (stretch.part === 'retried' && to - from > 110) {
        const text = make('text', { x: from + 6, y: middle + 4, class: 'on-bar' }, plot)
        text.textContent = `✕ ${stretch.text}`
      }
    }
    return group
  }

  get ticks() {
    const [from, to] = this.bounds
    const count = Math.max(2, Math.floor((this.view.clientWidth - this.gutter) / 110))
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6]
    const step = steps.find((step) => (to - from) / step <= count) ?? steps.at(-1) * Math.ceil((to - from) / steps.at(-1) / count)
    const ticks = []
    for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) ticks.push(tick)
    return ticks
  }

  drawAxis(width) {
    const drawn = []
    const text = make('text', { x: 12, y: 17, class: 'tick' })
    text.textContent = 'since the start'
    drawn.push(text)
    for (const tick of this.ticks) {
      const x = this.x(tick)
      if (x < this.gutter - 1 || x > width - 30) continue
      const label = make('text', { x: x + 3, y: 17, class: 'tick' })
      label.textContent = tick === 0 ? '0' : this.tickText(tick)
      drawn.push(label)
    }
    this.axis.replaceChildren(...drawn)
  }

  tickText(ms) {
    if (ms < 1000) return `${ms} ms`
    if (ms < 60_000) return `${+(ms / 1000).toFixed(3)} s`
    return readable(ms)
  }

  // MARK: What a reader does

  show(span) {
    if (span) {
      const longest = this.spanOfAll * 1.5
      const length = Math.min(Math.max(span[1] - span[0], 1), longest)
      const from = Math.min(Math.max(span[0], -length / 2), this.spanOfAll - length / 2)
      span = length >= this.spanOfAll && span[0] <= 0 ? null : [from, from + length]
    }
    this.span = span
    this.draw()
  }

  get spanOfAll() {
    const span = this.span
    this.span = null
    const [from, to] = this.bounds
    this.span = span
    return to - from
  }

  zoom(factor, around = null) {
    const [from, to] = this.bounds
    around ??= (from + to) / 2
    this.show([around - (around - from) * factor, around + (to - around) * factor])
  }

  pan(share) {
    const [from, to] = this.bounds
    const by = (to - from) * share
    this.show([from + by, to + by])
  }

  wheel(wheel) {
    if (wheel.ctrlKey || wheel.metaKey) {
      wheel.preventDefault()
      this.zoom(wheel.deltaY > 0 ? 1.25 : 0.8, this.ms(wheel.clientX - this.view.getBoundingClientRect().left))
    } else if (Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY)) {
      wheel.preventDefault()
      this.pan(wheel.deltaX / this.view.clientWidth)
    }
  }

  // One pointer drags, two pinch.
  followPointers() {
    const pointers = new Map()
    this.svg.addEventListener('pointerdown', (down) => {
      pointers.set(down.pointerId, down.clientX)
      this.moved = false
    })
    this.svg.addEventListener('pointermove', (move) => {
      if (!pointers.has(move.pointerId)) return
      const before = [...pointers.values()]
      const by = move.clientX - pointers.get(move.pointerId)
      if (Math.abs(by) < 3 && !this.moved) return
      this.moved = true
      pointers.set(move.pointerId, move.clientX)
      const after = [...pointers.values()]
      if (after.length === 1) {
        this.pan(-by / (this.view.clientWidth - this.gutter))
      } else if (after.length === 2 && Math.abs(after[0] - after[1]) > 10) {
        const left = this.view.getBoundingClientRect().left
        this.zoom(Math.abs(before[0] - before[1]) / Math.abs(after[0] - after[1]), this.ms((after[0] + after[1]) / 2 - left))
      }
    })
    for (const end of ['pointerup', 'pointercancel', 'pointerleave']) {
      this.svg.addEventListener(end, (up) => pointers.delete(up.pointerId))
    }
  }

  press(key) {
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }
    if (!this.rows) return
    if (key.key in moves && this.rows.length > 0) {
      this.focused = Math.min(this.rows.length - 1, Math.max(0, this.focused + moves[key.key]))
      const top = this.focused * rowHeight
      if (top < this.view.scrollTop) this.view.scrollTop = top
      if (top + rowHeight + axisHeight > this.view.scrollTop + this.view.clientHeight) {
        this.view.scrollTop = top + rowHeight + axisHeight - this.view.clientHeight
      }
      this.draw()
    } else if (key.key === 'Enter' || key.key === ' ') {
      const row = this.rows[this.focused]
      if (row) this.select(row, row.id)
    } else if (key.key === 'ArrowLeft') this.pan(-0.2)
    else if (key.key === 'ArrowRight') this.pan(0.2)
    else if (key.key === '+' || key.key === '=') this.zoom(0.5)
    else if (key.key === '-') this.zoom(2)
    else if (key.key === '0') this.show(null)
    else return
    key.preventDefault()
  }

  click(click) {
    if (this.moved) return
    const index = click.target.closest('[data-index]')?.dataset.index
    if (index === undefined) return
    this.focused = Number(index)
    const row = this.rows[this.focused]
    this.select(row, Number(click.target.closest('[data-step]')?.dataset.step ?? row.id))
  }

  async select(row, step) {
    this.selected = { row: row.id, step }
    this.draw()
    const response = await fetch(`${this.view.dataset.run}/events/${step}?part=1`, { headers: { accept: 'text/html' } })
    if (this.selected?.step !== step) return
    const part = new DOMParser().parseFromString(await response.text(), 'text/html')
    const link = document.createElement('a')
    link.href = `${this.view.dataset.run}?event=${step}#event-${step}`
    link.textContent = 'Show in the event history'
    this.detail.replaceChildren(...part.body.childNodes, link)
    this.detail.hidden = false
  }
}
