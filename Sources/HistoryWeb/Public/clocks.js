// Durations that grow (data-since) and waits that shrink (data-until), in the words that the server uses.
export function readable(ms) {
  ms = Math.max(0, Math.floor(ms))
  const two = (value) => String(value).padStart(2, '0')
  const s = Math.floor(ms / 1000)
  if (ms < 1000) return `${ms} ms`
  if (s < 60) return `${s}.${Math.floor((ms % 1000) / 100)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`
}

// PostgreSQL's microseconds are more than every browser reads.
const moment = (text) => Date.parse(text.replace(/(\.\d{3})\d*/, '$1'))

export function startClocks() {
  const tick = () => {
    for (const element of document.querySelectorAll('[data-since]')) {
      const ms = Date.now() - moment(element.dataset.since)
      element.textContent = ms < 60_000 ? `${Math.floor(Math.max(0, ms) / 1000)} s` : readable(ms)
    }
    for (const element of document.querySelectorAll('[data-until]')) {
      const ms = moment(element.dataset.until) - Date.now()
      element.textContent = ms <= 0 ? 'a moment' : `${Math.ceil(ms / 1000)} s`.replace(/^\d{3,} s$/, () => readable(ms))
    }
  }
  tick()
  setInterval(tick, 1000)
}
