// What belongs together in a history - an activity with its events, a timer, a signal - and the picture of each over
// time.
//
// An event here is { id, at, type, leader, name, attempt, worker, failure, policy, fires, cause }: `at` in milliseconds
// since the start of the run, `leader` the id of the event that began what this one goes on with.
import { readable } from './words.js'

export const kinds = {
  workflow: 'Workflow', workflowTask: 'Workflow task', activity: 'Activity', timer: 'Timer', signal: 'Signal',
  childWorkflow: 'Child workflow', update: 'Update', other: 'Other',
}

export function kindOf(type) {
  if (type.startsWith('WorkflowTask')) return 'workflowTask'
  if (type.startsWith('ActivityTask')) return 'activity'
  if (type.startsWith('Timer')) return 'timer'
  if (type === 'WorkflowExecutionSignaled') return 'signal'
  if (type.startsWith('WorkflowExecutionUpdate')) return 'update'
  if (type.includes('ChildWorkflow')) return 'childWorkflow'
  return type.startsWith('WorkflowExecution') ? 'workflow' : 'other'
}

export function stepsOf(events) {
  const steps = new Map()
  for (const event of events) {
    const step = steps.get(event.leader)
    if (step) step.events.push(event)
    else steps.set(event.id,
      { id: event.id, kind: kindOf(event.type), events: [event], name: nameOf(event), start: event.at })
  }
  for (const step of steps.values()) {
    step.outcome = outcomeOf(step)
    step.started = step.events.findLast(({ type }) => type.endsWith('TaskStarted'))
    step.end = step.outcome === 'waiting' || step.outcome === 'running' ? null : step.events.at(-1).at
  }
  return [...steps.values()]
}

function nameOf(event) {
  const kind = kindOf(event.type)
  if (kind === 'workflow') return event.type.slice('WorkflowExecution'.length)
  return kind === 'workflowTask' ? kinds.workflowTask : event.name ?? event.type
}

function outcomeOf(step) {
  if (step.kind === 'update' && step.events.length > 1 && step.events.at(-1).failure) return 'failed'
  if (step.kind === 'update' && step.events.at(-1).type.endsWith('Accepted')) return 'running'
  const { type } = step.events.findLast(({ type }) => !type.endsWith('CancelRequested')) ?? step.events[0]
  if (type.endsWith('Completed') || type === 'TimerFired') return 'completed'
  if (/(Failed|Rejected)$/.test(type)) return 'failed'
  if (type.endsWith('TimedOut')) return 'timed-out'
  if (/(Canceled|Terminated)$/.test(type)) return 'canceled'
  if (type === 'TimerStarted' || /(Scheduled|Initiated)$/.test(type)) return 'waiting'
  return type.endsWith('Started') && step.kind !== 'workflow' ? 'running' : 'happened'
}

const words = {
  waiting: 'Waiting', running: 'Running', completed: 'Completed', failed: 'Failed', 'timed-out': 'Timed out',
  canceled: 'Canceled', lost: 'Worker lost', happened: 'Happened',
}

function outcomeText(step, failed) {
  if (step.outcome === 'happened') return step.kind === 'signal' ? 'Received' : step.name
  if (failed === 0) return words[step.outcome]
  switch (step.outcome) {
    case 'completed': return `Completed after ${failed} failed ${failed === 1 ? 'attempt' : 'attempts'}`
    case 'waiting': return `Waits for attempt ${failed + 1}`
    case 'running': return `Running attempt ${failed + 1}`
    default: return `${words[step.outcome]} at attempt ${failed + 1}`
  }
}

/** The rows of a timeline. `attempts`, `pending` and `task` are known only of runs in a database. */
export function rowsOf({ events, attempts = [], pending = [], task = null, close = null }) {
  const failed = Map.groupBy ? Map.groupBy(attempts, ({ leader }) => leader) : groups(attempts)
  const open = new Map(pending.map((activity) => [activity.leader, activity]))
  const rows = []
  const tasks = []
  for (const step of stepsOf(events)) {
    if (step.kind === 'workflowTask') tasks.push(step)
    else if (step.kind !== 'workflow' || step.outcome === 'canceled')
      rows.push(rowOf(step, failed.get(step.id) ?? [], open.get(step.id), close))
  }
  if (tasks.length > 0) rows.unshift(taskRow(tasks, task, close))
  return rows
}

function groups(attempts) {
  const groups = new Map()
  for (const attempt of attempts) groups.set(attempt.leader, [...groups.get(attempt.leader) ?? [], attempt])
  return groups
}

function rowOf(step, failedAttempts, pending, close) {
  const open = step.end === null
  if (open && pending && pending.state !== 'Scheduled' && pending.started !== null) step.outcome = 'running'
  const end = step.end ?? close
  const attempts = Math.max(1, pending?.attempt ?? 0, step.started?.attempt ?? 1)
  const failed = step.kind === 'activity' ? attempts - 1 : 0
  const text = outcomeText(step, failed)
  const failure = step.events.findLast((event) => event.failure)?.failure ?? pending?.failure
  const row = {
    id: step.id, kind: step.kind, label: kinds[step.kind], name: step.name, outcome: step.outcome,
    failed, stretches: [],
    text: step.outcome === 'happened' ? text : `${text}, ${end === null ? 'open' : readable(end - step.start)}`,
  }
  const add = (part, from, to, more) => {
    if (to === null || to > from || part === 'work' || part === 'moment')
      row.stretches.push({ part, from, to, outcome: step.outcome, step: step.id, ...more })
  }
  switch (step.kind) {
    case 'activity': case 'childWorkflow': {
      const last = step.started?.at ?? (step.outcome === 'running' ? pending?.started : null) ?? null
      let at = step.start
      let next = 1
      for (const attempt of failedAttempts) {
        if (attempt.attempt > next) add('retried', at, attempt.scheduled, { text: failedText(attempt.attempt - next) })
        else add('backoff', at, attempt.scheduled, { text: `Waits for attempt ${attempt.attempt}` })
        add('queued', attempt.scheduled, attempt.started, { text: `Attempt ${attempt.attempt} waits for a worker` })
        const outcome = attempt.lost ? 'lost' : attempt.timedOut ? 'timed-out' : 'failed'
        add('work', attempt.started, attempt.ended, {
          outcome, attempt: attempt.attempt, text: `Attempt ${attempt.attempt}: ${words[outcome].toLowerCase()}`,
          failure: attempt.failure, worker: attempt.worker,
        })
        at = attempt.ended
        next = attempt.attempt + 1
      }
      const due = pending?.next ?? (attempts > 1 ? at + backoff(step.events[0].policy, attempts) : null)
      if (attempts > next) add('retried', at, last ?? end, { text: failedText(attempts - next), failure })
      else {
        const ready = attempts > 1 ? Math.min(due, last ?? (pending ? due : end ?? due)) : at
        if (attempts > 1) add('backoff', at, ready, { text: `Waits for attempt ${attempts}` })
        if (!(pending?.next > 0 && last === null))
          add('queued', ready, last ?? end, {
            text: attempts > 1 ? `Attempt ${attempts} waits for a worker` : 'Waits for a worker' })
      }
      if (last !== null) {
        add('work', last, end, {
          attempt: attempts,
          text: attempts > 1 || step.outcome === 'running' ? `Attempt ${attempts}: ${words[step.outcome].toLowerCase()}`
            : words[step.outcome],
          failure: step.outcome === 'completed' || step.outcome === 'running' ? undefined : failure,
          worker: step.started?.worker ?? pending?.worker,
        })
      }
      break
    }
    case 'timer': {
      const fires = seconds(step.events[0].fires)
      add('timer', step.start, end ?? (fires === null ? null : step.start + fires),
        { text: open ? 'Timer, due then' : text })
      break
    }
    default: add('moment', step.start, step.start, { text })
  }
  return row
}

const failedText = (count) => `${count} failed ${count === 1 ? 'attempt' : 'attempts'}, times unknown`

// One row for all workflow tasks. A history writes the first failed attempt of a task and the one that succeeds.
function taskRow(tasks, pending, close) {
  const stretches = []
  let failures = 0
  let previous = null
  for (const step of tasks) {
    const end = step.end ?? close
    const attempt = step.events[0].attempt ?? 1
    if (attempt > 1 && previous?.failed) {
      stretches.push({
        part: 'retried', from: previous.end, to: step.started?.at ?? step.start, outcome: 'failed', step: previous.id,
        text: attempt > 2 ? `${attempt - 2} more failed attempts` : 'Waits for the next attempt',
      })
      failures += Math.max(0, attempt - 2)
    } else if ((step.started?.at ?? end ?? Infinity) > step.start) {
      stretches.push({
        part: 'queued', from: step.start, to: step.started?.at ?? end, outcome: step.outcome, step: step.id,
        text: 'Workflow task waits for a worker',
      })
    }
    if (step.started) {
      const isBad = step.outcome === 'failed' || step.outcome === 'timed-out'
      const last = step.events.at(-1)
      if (isBad) failures += 1
      stretches.push({
        part: 'work', from: step.started.at, to: end, outcome: step.outcome, step: step.id,
        text: `Workflow task: ${words[step.outcome].toLowerCase()}`,
        failure: isBad ? last.failure ?? last.cause : undefined, worker: step.started.worker,
      })
    }
    previous = { id: step.id, end: step.end, failed: step.outcome === 'failed' || step.outcome === 'timed-out' }
  }
  let outcome = tasks.at(-1).outcome
  if (pending && previous.failed && close === null) {
    failures = Math.max(failures, pending.attempt - 1)
    const wait = { outcome: 'failed', step: previous.id, failure: pending.failure }
    stretches.push({
      ...wait, part: 'retried', from: previous.end, to: pending.started ?? null,
      text: `${pending.attempt - 1} failed ${pending.attempt === 2 ? 'attempt' : 'attempts'}: waits for a fix`,
    })
    if (pending.started !== null) stretches.push({
      ...wait, part: 'work', outcome: 'running', from: pending.started, to: null,
      text: `Attempt ${pending.attempt}: running`,
    })
    outcome = 'failed'
  }
  return {
    id: tasks[0].id, kind: 'workflowTask', label: kinds.workflowTask, name: 'Workflow tasks',
    outcome, failed: 0, stretches,
    text: `${tasks.length} workflow ${tasks.length === 1 ? 'task' : 'tasks'}`
      + (failures > 0 ? `, ${failures} failed` : ''),
  }
}

/** How long an attempt waits after the failure of the one before, in milliseconds, by the policy. */
function backoff(policy, attempt) {
  const initial = seconds(policy?.initialInterval) ?? 1000
  const maximum = seconds(policy?.maximumInterval) ?? initial * 100
  return Math.min(initial * (Number(policy?.backoffCoefficient) || 2) ** (attempt - 2), maximum)
}

/** `0.25s` in milliseconds; null for anything else. */
export function seconds(text) {
  const number = /^[\d.]+s$/.test(text ?? '') ? Number(text.slice(0, -1)) : NaN
  return Number.isNaN(number) ? null : number * 1000
}
