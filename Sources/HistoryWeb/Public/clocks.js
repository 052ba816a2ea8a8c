// Durations that grow (data-since) and waits that shrink (data-until).
import { ago, moment, readable } from './words.js'

export function startClocks() {
  const tick = () => {
    for (const element of document.querySelectorAll('[data-since]')) {
      const ms = Date.now() - moment(element.dataset.since)
      element.textContent = ms < 60_000 ? `${Math.floor(Math.max(0, ms) / 1000)} s` : readable(ms)
    }
    for (const element of document.querySelectorAll('[data-ago]')) {
      const text = ago(Date.now() - moment(element.dateTime))
      if (text && element.textContent !== text) element.textContent = text
    }
    for (const element of document.querySelectorAll('[data-until]')) {
      const ms = moment(element.dataset.until) - Date.now()
      element.textContent = ms <= 0 ? 'a moment' : `${Math.ceil(ms / 1000)} s`.replace(/^\d{3,} s$/, () => readable(ms))
    }
  }
  tick()
  setInterval(tick, 1000)
}
