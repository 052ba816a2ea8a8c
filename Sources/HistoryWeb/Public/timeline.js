// The picture of a run over time, as SVG. Only the rows that can be seen are in the document, so a history of any
// length opens and scrolls at once; a row is drawn again only when the axis, the data or its state changes.
import { rowsOf } from './steps.js'
import { clockText, moment, readable, zoneName } from './words.js'

const rowHeight = 30
const barHeight = 14
const axisHeight = 28
const svgNamespace = 'http://www.w3.org/2000/svg'

function make(name, attributes = {}, parent = null) {
  const element = document.createElementNS(svgNamespace, name)
  for (const key in attributes) element.setAttribute(key, attributes[key])
  parent?.append(element)
  return element
}

function write(parent, text, attributes) {
  make('text', attributes, parent).textContent = text
}

export function showTimeline() {
  const view = document.getElementById('timeline-view')
  if (!view?.dataset.source) return
  const timeline = new Timeline(view, {
    async load(isAgain) {
      // Everybody who was told of the same change gets the same answer.
      const mark = isAgain && document.querySelector('[data-changes]')?.dataset.mark
      const response = await fetch(view.dataset.source, mark ? { headers: { 'perdure-look': mark } } : {})
      if (!response.ok) throw new Error(response.statusText)
      const data = await response.json()
      data.start = moment(view.dataset.start)
      data.events = (data.events ?? []).map(([id, at, type, more]) => ({ id, at, type, leader: id, ...more }))
      for (const list of ['attempts', 'pending', 'gaps']) data[list] ??= []
      return data
    },
    async describe(step) {
      const response = await fetch(`${view.dataset.run}/events/${step}?part=1`, { headers: { accept: 'text/html' } })
      const part = new DOMParser().parseFromString(await response.text(), 'text/html')
      const link = document.createElement('a')
      link.href = `${view.dataset.run}?event=${step}#event-${step}`
      link.textContent = 'Show in the event history'
      return [...part.body.childNodes, link]
    },
  })
  timeline.load()
  document.addEventListener('perdure:changed', () => timeline.load(true))
}

export class Timeline {
  // `source.load()` gives { start, now, close, events, attempts, pending, task, gaps }, `source.describe(step)` the
  // nodes that tell of it.
  constructor(view, source) {
    this.view = view
    this.source = source
    this.rows = null
    this.focused = 0
    this.selected = null // { row, step, attempt }
    this.span = null // [from, to] in ms since the start of the run; null shows all of it
    this.drawn = new Map() // row index -> its element
    this.detail = document.getElementById('timeline-detail')
    this.tools = document.getElementById('timeline-tools')
    this.gapList = document.getElementById('timeline-gaps')

    this.axis = make('svg', { id: 'timeline-axis', height: axisHeight, 'aria-hidden': 'true' })
    this.svg = make('svg',
      { role: 'listbox', 'aria-label': 'Steps of the run', 'aria-describedby': 'timeline-keys', tabindex: '0' })
    const definitions = make('defs', {}, this.svg)
    for (const name of ['bad', 'warn', 'gap']) this.hatch(name, definitions)
    this.clip = make('rect', { y: 0 }, make('clipPath', { id: 'plot' }, definitions))
    this.ground = make('g', { 'aria-hidden': 'true', 'clip-path': 'url(#plot)' }, this.svg)
    this.list = make('g', { role: 'presentation' }, this.svg)
    this.tip = document.createElement('div')
    this.tip.className = 'tip'
    this.tip.hidden = true
    view.replaceChildren(this.axis, this.svg)
    view.after(this.tip)

    view.addEventListener('scroll', () => { this.hideTip(); this.scroll() }, { passive: true })
    // Sizes are told, not asked for: to ask in the middle of a frame would lay the page out there and then.
    this.size = { width: view.clientWidth, height: view.clientHeight }
    this.top = view.scrollTop
    new ResizeObserver(() => {
      this.size = { width: view.clientWidth, height: view.clientHeight }
      this.draw()
    }).observe(view)
    this.svg.addEventListener('keydown', (key) => this.press(key))
    this.svg.addEventListener('click', (click) => this.click(click))
    this.svg.addEventListener('dblclick', (click) => this.zoomTo(click))
    for (const event of ['focus', 'blur']) this.svg.addEventListener(event, () => this.mark())
    view.addEventListener('wheel', (wheel) => this.wheel(wheel), { passive: false })
    this.followPointers()
    this.svg.addEventListener('pointermove', (move) => this.showTip(move))
    this.svg.addEventListener('pointerleave', () => this.hideTip())
    this.tools.addEventListener('click', ({ target }) => {
      const zoom = target.closest('[data-zoom]')?.dataset.zoom
      if (zoom) zoom === 'fit' ? this.show(null) : this.zoom(zoom === 'in' ? 0.5 : 2)
    })
  }

  hatch(name, definitions) {
    const pattern = make('pattern', {
      id: `hatch-${name}`, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)',
    }, definitions)
    make('rect', { width: 6, height: 6, class: `hatch-back-${name}` }, pattern)
    make('line', { x1: 0, y1: 0, x2: 0, y2: 6, 'stroke-width': name === 'gap' ? 1.5 : 3, class: `hatch-${name}` },
      pattern)
  }

  async load(isAgain) {
    let data
    try { data = await this.source.load(isAgain) } catch { return }
    this.rows = rowsOf(data)
    Object.assign(this,
      { start: data.start, close: data.close, gaps: data.gaps ?? [], serverNow: data.now, loadedAt: performance.now() })
    this.last = 0
    for (const row of this.rows) for (const stretch of row.stretches) this.last = Math.max(this.last, stretch.to ?? 0)
    this.tools.hidden = this.rows.length === 0
    this.focused = Math.min(this.focused, Math.max(0, this.rows.length - 1))
    this.key = null
    this.tellGaps()
    this.draw()
    clearInterval(this.timer)
    if (this.close === null) this.timer = setInterval(() => this.draw(), 200)
  }

  tellGaps() {
    const all = this.gaps.map(({ from, to }) => to === null
      ? `since ${this.timeText(from)} no worker of the task queue has been alive`
      : `for ${readable(to - from)} from ${this.timeText(from)} no worker of the task queue was alive`)
    const more = all.length - 5
    const text = all.slice(0, 5).join('; ') + (more > 0 ? `; and ${more} more times` : '')
    this.gapList.hidden = all.length === 0
    this.gapList.textContent = text ? `${text[0].toUpperCase()}${text.slice(1)}.` : ''
  }

  get now() { return this.close ?? this.serverNow + performance.now() - this.loadedAt }

  get bounds() { return this.span ?? this.all }

  // What lies far ahead must not squeeze what has happened.
  get all() { return [0, Math.max(Math.min(this.last, this.now * 1.6), this.now * 1.02, 1)] }

  get gutter() { return this.size.width < 560 ? 128 : 240 }

  x(ms) {
    const [from, to] = this.frame
    return this.left + ((ms - from) / (to - from)) * this.room
  }

  ms(x) {
    const [from, to] = this.bounds
    return from + ((x - this.left) / this.room) * (to - from)
  }

  draw() {
    if (!this.rows || this.requested) return
    this.requested = requestAnimationFrame(() => {
      this.requested = 0
      this.drawNow()
    })
  }

  // A scroll event comes once a frame, before it is drawn, when the page is laid out: what it reads costs nothing.
  scroll() {
    this.top = this.view.scrollTop
    if (this.rows && !this.requested) this.drawRows()
  }

  drawNow() {
    const { width } = this.size
    const [from, to] = this.bounds
    const key = `${width} ${from} ${to} ${this.close === null ? this.now : ''}`
    if (key !== this.key) {
      this.key = key
      this.frame = [from, to]
      this.width = width
      this.left = this.gutter
      this.room = Math.max(1, width - this.left - 14)
      this.drawn.clear()
      this.list.replaceChildren()
      this.drawGround()
      this.drawAxis()
    }
    this.drawRows()
    this.mark()
    if (performance.getEntriesByName('timeline').length === 0) performance.mark('timeline')
  }

  drawRows() {
    // Two rows more than can be seen at either end, so that a scroll finds something there already.
    const first = Math.max(0, Math.floor((this.top - axisHeight) / rowHeight) - 2)
    const last = Math.min(this.rows.length, first + Math.ceil(this.size.height / rowHeight) + 5)
    for (const [index, element] of this.drawn) {
      if (index >= first && index < last) continue
      element.remove()
      this.drawn.delete(index)
    }
    for (let index = first; index < last; index++) {
      if (this.drawn.has(index)) continue
      const element = this.row(index)
      this.drawn.set(index, element)
      // In the order of the rows, for who reads them one by one.
      this.list.insertBefore(element, this.drawn.get(index + 1) ?? null)
      this.markRow(index, element)
    }
    this.markActive()
  }

  // Which row has the focus, and which is selected.
  mark() {
    this.isFocused = this.svg.matches(':focus-visible')
    for (const [index, element] of this.drawn) this.markRow(index, element)
    this.markActive()
  }

  markRow(index, element) {
    const isSelected = this.selected?.row === this.rows[index].id
    element.setAttribute('aria-selected', String(isSelected))
    element.classList.toggle('selected', isSelected)
    element.classList.toggle('focused', this.isFocused === true && index === this.focused)
  }

  markActive() {
    const element = this.drawn.get(this.focused)
    if (element?.id === this.active) return
    this.active = element?.id
    if (element) this.svg.setAttribute('aria-activedescendant', element.id)
    else this.svg.removeAttribute('aria-activedescendant')
  }

  drawGround() {
    const height = Math.max(rowHeight, this.rows.length * rowHeight)
    this.svg.setAttribute('height', height)
    for (const [name, value] of Object.entries({ x: this.left, width: this.room + 14, height }))
      this.clip.setAttribute(name, value)
    this.ground.replaceChildren()
    if (this.rows.length === 0)
      write(this.ground, 'Nothing has been scheduled yet.', { x: this.left, y: 20, class: 'sub' })
    for (const { from, to } of this.visibleGaps)
      make('rect', { x: from, y: 0, width: Math.max(1, to - from), height, class: 'gap' }, this.ground)
    for (const tick of this.ticks) {
      const x = this.x(tick)
      make('line', { x1: x, x2: x, y1: 0, y2: height, class: 'grid' }, this.ground)
    }
    const now = this.x(this.now)
    make('line', { x1: now, x2: now, y1: 0, y2: height, class: this.close === null ? 'now' : 'close' }, this.ground)
  }

  get visibleGaps() {
    return this.gaps.map(({ from, to }) =>
      ({ from: Math.max(this.left, this.x(from)), to: Math.min(this.width, this.x(to ?? this.now)) }))
      .filter(({ from, to }) => to > from)
  }

  drawAxis() {
    this.axis.replaceChildren()
    for (const { from, to } of this.visibleGaps)
      make('rect', { x: from, y: 0, width: Math.max(1, to - from), height: axisHeight, class: 'gap' }, this.axis)
    write(this.axis, 'since the start', { x: 12, y: 18, class: 'tick' })
    const gaps = this.visibleGaps.filter(({ from, to }) => to - from > 74)
    for (const tick of this.ticks) {
      const x = this.x(tick)
      if (x < this.left - 1 || x > this.width - 40 || gaps.some(({ from, to }) => x > from - 50 && x < from + 74))
        continue
      write(this.axis, tick === 0 ? '0' : this.tickText(tick), { x: x + 3, y: 18, class: 'tick' })
    }
    for (const { from } of gaps) write(this.axis, 'no worker', { x: from + 6, y: 18, class: 'tick gap-text' })
  }

  row(index) {
    const row = this.rows[index]
    const top = index * rowHeight
    const group = make('g', {
      class: 'row', role: 'option', id: `timeline-row-${row.id}`, 'data-index': index, 'aria-selected': 'false',
      'aria-setsize': this.rows.length, 'aria-posinset': index + 1,
      'aria-label': `${row.label} ${row.name}: ${row.text}`,
    })
    make('rect', {
      class: 'row-back', x: 1.5, y: top + 1.5, width: Math.max(0, this.width - 3), height: rowHeight - 3, rx: 4,
    }, group)
    const look = row.failed > 0
      ? (row.outcome === 'completed' ? 'completed-late'
        : row.outcome === 'waiting' || row.outcome === 'running' ? 'retrying' : row.outcome)
      : row.outcome
    make('use', { href: `${this.view.dataset.icons}#${look}` },
      make('svg', { x: 10, y: top + 8, width: 14, height: 14, class: look, 'aria-hidden': 'true' }, group))
    const suffix = row.failed > 0 ? ` ✕${row.failed}` : ''
    const room = Math.floor((this.left - 42) / 6.9) - suffix.length
    const name = make('text', { x: 32, y: top + rowHeight / 2 + 4 }, group)
    name.textContent = row.name.length > room ? `${row.name.slice(0, Math.max(1, room - 1))}…` : row.name
    if (suffix) make('tspan', { class: 'count' }, name).textContent = suffix

    const plot = make('g', { 'clip-path': 'url(#plot)' }, group)
    const middle = top + rowHeight / 2
    const drawn = new Map()
    row.stretches.forEach((stretch, place) => {
      const from = this.x(stretch.from)
      const to = this.x(stretch.to ?? this.now)
      if (to < this.left || from > this.width) return
      const look = `${stretch.part} ${stretch.outcome}`
      // Thousands of stretches in one row: what would hide another of the same look is left out.
      if (to - from < 1 && from - (drawn.get(look) ?? -9) < 1.5) return
      drawn.set(look, from)
      const at = { 'data-place': place }
      if (stretch.part === 'moment') {
        make('path', { class: 'moment', d: `M${from} ${middle - 7}l7 7-7 7-7-7z`, ...at }, plot)
        return
      }
      const height = stretch.part === 'queued' || stretch.part === 'backoff' ? 6 : barHeight
      // Far outside of what is shown the numbers grow beyond what SVG draws well.
      const x = Math.max(from, this.left - 20)
      const length = Math.max(height === 6 ? 1 : 3, Math.min(to, this.width + 20) - x)
      make('rect', { class: look, x, y: middle - height / 2, width: length, height, rx: 2, ...at }, plot)
      const isBad = stretch.part === 'retried'
        || (stretch.part === 'work' && ['failed', 'timed-out', 'lost'].includes(stretch.outcome))
      if (isBad && length > 24) {
        const text = stretch.part === 'retried'
          ? stretch.text : { failed: 'failed', 'timed-out': 'timed out', lost: 'worker lost' }[stretch.outcome]
        this.label(plot, x + 5, middle, stretch.part === 'retried' ? 'failed' : stretch.outcome,
          length > text.length * 6.2 + 40 ? text : '')
      }
      if (stretch.part === 'work' && stretch.attempt > 1 && stretch.outcome === 'completed' && length > 74) {
        write(plot, `attempt ${stretch.attempt}`, { x: x + 6, y: middle + 4, class: 'in-bar' })
      }
    })
    return group
  }

  // What went wrong, on the bar: a picture and, if there is room, words.
  label(plot, x, middle, look, text) {
    const group = make('g', { class: 'on-bar' }, plot)
    make('rect', { x, y: middle - 7, width: 14 + (text ? text.length * 6.2 + 6 : 0), height: 14, rx: 3 }, group)
    make('use', { href: `${this.view.dataset.icons}#${look}` },
      make('svg', { x: x + 2, y: middle - 5, width: 10, height: 10, class: look }, group))
    if (text) write(group, text, { x: x + 16, y: middle + 4 })
  }

  get ticks() {
    const [from, to] = this.frame
    const count = Math.max(2, Math.floor(this.room / 110))
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5,
      36e5, 72e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6]
    const step = steps.find((step) => (to - from) / step <= count)
      ?? steps.at(-1) * Math.ceil((to - from) / steps.at(-1) / count)
    const ticks = []
    for (let tick = Math.ceil(Math.max(from, 0) / step) * step; tick <= to; tick += step) ticks.push(tick)
    return ticks
  }

  tickText(ms) {
    if (ms < 1000) return `${+ms.toFixed(3)} ms`
    return ms < 60_000 ? `${+(ms / 1000).toFixed(3)} s` : readable(ms)
  }

  timeText(ms) { return `+${ms < 60_000 && ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : readable(ms)}` }

  // MARK: What a reader does

  show(span) {
    const length = this.all[1]
    if (span) {
      const wanted = Math.max(span[1] - span[0], 1)
      const from = Math.min(Math.max(span[0], -wanted / 2), length - wanted / 2)
      span = wanted >= length ? null : [from, from + wanted]
    }
    this.span = span
    this.draw()
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
    } else if (Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY) || wheel.shiftKey) {
      wheel.preventDefault()
      this.pan((wheel.deltaX || wheel.deltaY) / this.view.clientWidth)
    }
  }

  // One pointer drags, two pinch.
  followPointers() {
    const pointers = new Map()
    this.svg.addEventListener('pointerdown', (down) => {
      pointers.set(down.pointerId, down.clientX)
      this.moved = false
      this.hideTip()
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
        this.pan(-by / this.room)
      } else if (after.length === 2 && Math.abs(after[0] - after[1]) > 10) {
        const left = this.view.getBoundingClientRect().left
        this.zoom(Math.abs(before[0] - before[1]) / Math.abs(after[0] - after[1]),
          this.ms((after[0] + after[1]) / 2 - left))
      }
    })
    for (const end of ['pointerup', 'pointercancel', 'pointerleave']) {
      this.svg.addEventListener(end, (up) => pointers.delete(up.pointerId))
    }
    this.isDragging = () => pointers.size > 0
  }

  press(key) {
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }
    if (!this.rows || key.ctrlKey || key.metaKey || key.altKey) return
    if (key.key in moves && this.rows.length > 0) {
      this.focused = Math.min(this.rows.length - 1, Math.max(0, this.focused + moves[key.key]))
      const top = this.focused * rowHeight
      if (top < this.view.scrollTop) this.view.scrollTop = top
      if (top + rowHeight + axisHeight > this.view.scrollTop + this.view.clientHeight) {
        this.view.scrollTop = top + rowHeight + axisHeight - this.view.clientHeight
      }
      this.top = this.view.scrollTop
      this.draw()
      this.mark()
    } else if (key.key === 'Enter' || key.key === ' ') {
      const row = this.rows[this.focused]
      if (row) this.select(row, row.stretches.at(-1)?.step ?? row.id)
    } else if (key.key === 'ArrowLeft') this.pan(-0.2)
    else if (key.key === 'ArrowRight') this.pan(0.2)
    else if (key.key === '+' || key.key === '=') this.zoom(0.5)
    else if (key.key === '-') this.zoom(2)
    else if (key.key === '0') this.show(null)
    else if (key.key === 'Escape') this.hideTip()
    else return
    key.preventDefault()
  }

  // The row, and the stretch if there is one, at which an event happened.
  at(event) {
    const row = this.rows?.[event.target.closest('[data-index]')?.dataset.index]
    const place = event.target.closest('[data-place]')?.dataset.place
    return { row, stretch: place === undefined ? undefined : row?.stretches[place] }
  }

  click(click) {
    const { row, stretch } = this.at(click)
    if (this.moved || !row) return
    this.focused = this.rows.indexOf(row)
    this.select(row, stretch?.step ?? row.stretches.at(-1)?.step ?? row.id, stretch?.attempt)
  }

  // A double click on a stretch fills the view with it.
  zoomTo(click) {
    const { stretch } = this.at(click)
    if (!stretch) return
    const to = stretch.to ?? this.now
    const margin = Math.max((to - stretch.from) * 0.15, 1)
    this.show([stretch.from - margin, to + margin])
  }

  async select(row, step, attempt) {
    this.selected = { row: row.id, step }
    this.mark()
    const nodes = await this.source.describe(step)
    if (this.selected?.step !== step) return
    this.detail.replaceChildren(...nodes)
    this.detail.hidden = false
    const chosen = attempt && this.detail.querySelector(`#attempt-${attempt}`)
    if (chosen) {
      const folded = chosen.closest('details')
      if (folded) folded.open = true
      chosen.classList.add('target')
      chosen.scrollIntoView({ block: 'nearest' })
    }
  }

  // MARK: What a pointer is told

  showTip(move) {
    const { row, stretch } = this.at(move)
    if (!row || this.isDragging() || move.pointerType === 'touch') return this.hideTip()
    const to = stretch && (stretch.to ?? this.now)
    const lines = [['b', `${row.label === row.name ? '' : `${row.label} `}${row.name}`],
      ['p', stretch?.text ?? row.text]]
    if (stretch) {
      const end = stretch.to === null ? 'goes on' : this.timeText(to)
      lines.push(['p', stretch.part === 'moment'
        ? this.timeText(stretch.from) : `${this.timeText(stretch.from)} to ${end}, ${readable(to - stretch.from)}`])
      lines.push(['p', `${clockText(this.start + stretch.from)} ${zoneName(this.start + stretch.from)}`, 'quiet'])
      if (stretch.failure) lines.push(['p', stretch.failure, 'bad'])
      if (stretch.worker) lines.push(['p', `on ${stretch.worker}`, 'quiet'])
    }
    this.tip.replaceChildren(...lines.map(([name, text, look]) => {
      const line = document.createElement(name)
      line.textContent = text.length > 400 ? `${text.slice(0, 400)}…` : text
      if (look) line.className = look
      return line
    }))
    this.tip.hidden = false
    const box = this.tip.getBoundingClientRect()
    this.tip.style.left = `${Math.max(8, Math.min(move.clientX + 14, innerWidth - box.width - 8))}px`
    this.tip.style.top = `${
      move.clientY + 18 + box.height > innerHeight ? move.clientY - box.height - 10 : move.clientY + 18}px`
  }

  hideTip() { if (!this.tip.hidden) this.tip.hidden = true }
}
