// A history that was downloaded, shown without asking any server: this page reads the file itself.
import { stepsOf } from './steps.js'
import { Timeline } from './timeline.js'
import { clockText, moment, readable, zoneName } from './words.js'

const page = 200

export function equipFile() {
  const input = document.getElementById('file')
  if (!input) return
  input.addEventListener('change', () => input.files[0] && open(input.files[0]))
  document.addEventListener('dragover', (over) => over.preventDefault())
  document.addEventListener('drop', (drop) => {
    drop.preventDefault()
    if (drop.dataTransfer.files[0]) open(drop.dataTransfer.files[0])
  })
}

async function open(file) {
  const problem = document.getElementById('file-problem')
  const shown = document.getElementById('file-shown')
  problem.hidden = true
  try {
    const events = read(JSON.parse(await file.text()))
    shown.hidden = false
    show(events, file.name)
  } catch (error) {
    shown.hidden = true
    problem.hidden = false
    problem.textContent = `${file.name} is no history that can be shown: ${error.message}.`
  }
}

const pascal = (text) => text.toLowerCase().replace(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase())

/** The events of a history as Temporal's tools write it. Throws what is wrong with it. */
export function read(history) {
  const list = Array.isArray(history) ? history : history?.events
  if (!Array.isArray(list) || list.length === 0) throw new Error('it has no list of events')
  const start = moment(list[0].eventTime ?? '')
  return list.map((event, place) => {
    const id = Number(event.eventId)
    const at = moment(event.eventTime ?? '') - start
    if (!Number.isInteger(id) || Number.isNaN(at) || typeof event.eventType !== 'string')
      throw new Error(`element ${place + 1} is no event`)
    const type = pascal(event.eventType.replace(/^EVENT_TYPE_/, ''))
    const attributes = event[Object.keys(event).find((name) => name.endsWith('EventAttributes'))] ?? {}
    const began = attributes.scheduledEventId ?? attributes.initiatedEventId ?? attributes.acceptedEventId
      ?? (/^Timer(Fired|Canceled)$/.test(type) ? attributes.startedEventId : undefined)
    return {
      id, at, type, attributes, start, leader: Number(began ?? id), time: start + at,
      name: attributes.activityType?.name ?? attributes.timerId ?? attributes.signalName ?? attributes.markerName
        ?? attributes.acceptedRequest?.input?.name ?? attributes.meta?.updateId ?? attributes.workflowType?.name,
      attempt: attributes.attempt, worker: attributes.identity, policy: attributes.retryPolicy,
      fires: attributes.startToFireTimeout, cause: attributes.cause,
      failure: root(attributes.failure ?? attributes.outcome?.failure ?? attributes.lastFailure),
    }
  })
}

const root = (failure) => failure?.cause ? root(failure.cause) : failure?.message

function show(events, name) {
  const first = events[0]
  const last = events.at(-1)
  const isClosed = /^WorkflowExecution(Completed|Failed|Canceled|Terminated|TimedOut|ContinuedAsNew)$/.test(last.type)
  document.getElementById('file-title').textContent = first.name ?? name
  document.getElementById('file-facts').textContent =
    `${name}: ${events.length} events from ${clockText(first.time)} to ${clockText(last.time)} ${zoneName(last.time)}, `
      + `${readable(last.at)}, `
      + (isClosed ? last.type.slice('WorkflowExecution'.length) : 'still open when it was downloaded')
  const steps = new Map(stepsOf(events).map((step) => [step.id, step]))
  const describe = async (step) => {
    const heading = document.createElement('h3')
    heading.textContent = steps.get(step).name
    return [heading, ...steps.get(step).events.flatMap((event) => body(event))]
  }
  const timeline = new Timeline(document.getElementById('timeline-view'), {
    load: async () => ({ start: first.start, now: last.at, close: last.at, events }), describe,
  })
  document.getElementById('timeline-detail').hidden = true
  timeline.load()

  const list = document.getElementById('file-events')
  const find = document.getElementById('file-find')
  const more = document.getElementById('file-more')
  const area = document.getElementById('file-area')
  let found = events
  // Rows are made as the reader comes to them.
  const add = () => {
    const shown = list.children.length
    list.append(...found.slice(shown, shown + page).map(row))
    more.hidden = found.length <= list.children.length
    more.textContent = `Show more: ${found.length - list.children.length} are left`
  }
  const fill = () => {
    const text = find.value.toLowerCase()
    found = text
      ? events.filter((event) => `${event.id} ${event.type} ${event.name ?? ''} ${JSON.stringify(event.attributes)}`
        .toLowerCase().includes(text))
      : events
    list.replaceChildren()
    area.scrollTop = 0
    add()
  }
  find.oninput = fill
  more.onclick = add
  area.onscroll = () => {
    if (!more.hidden && area.scrollTop + area.clientHeight > area.scrollHeight - 600) add()
  }
  fill()
}

function row(event) {
  const item = document.createElement('li')
  item.id = `event-${event.id}`
  const details = document.createElement('details')
  const summary = document.createElement('summary')
  for (const [name, text] of [
    ['number', event.id], ['offset', `+${readable(event.at)}`], ['what', event.type],
    ['line', event.failure ?? event.name ?? ''],
  ]) {
    const part = document.createElement('span')
    part.className = name
    part.textContent = text
    summary.append(part)
  }
  details.append(summary)
  details.addEventListener('toggle',
    () => { if (details.open && details.children.length === 1) details.append(...body(event)) })
  item.append(details)
  return item
}

function body(event) {
  const title = document.createElement('h4')
  title.textContent = `${event.id} ${event.type}, ${clockText(event.time)} ${zoneName(event.time)}`
  const text = document.createElement('pre')
  text.className = 'json'
  text.tabIndex = 0
  text.textContent = JSON.stringify(plain(event.attributes), null, 2)
  return [title, text]
}

// Payloads as what they hold, where that is JSON.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value.payloads) && Object.keys(value).length === 1) return value.payloads.map(plain)
  if (value.metadata?.encoding) {
    try {
      const encoding = atob(value.metadata.encoding)
      if (encoding === 'binary/null') return null
      if (encoding.startsWith('json/'))
        return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(value.data), (letter) => letter.charCodeAt(0))))
    } catch { return value }
  }
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]))
}
