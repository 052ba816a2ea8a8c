// Durations in the words that the server uses.
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

/** `12 s ago`, `3 min ago`; nothing for more than a month, of which the day is told. */
export function ago(ms) {
  const s = Math.floor(Math.abs(ms) / 1000)
  if (s >= 31 * 86400) return ''
  const words = s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`
  return ms <= -1000 ? `in ${words}` : `${words} ago`
}

/** Whether times are those of this place, and not UTC. */
export const isLocal = document.documentElement.dataset.zone === 'local'

/** `2026-01-31 09:00:00.000`. */
export const clockText = (ms) => {
  const shift = isLocal ? new Date(ms).getTimezoneOffset() * 60_000 : 0
  return new Date(ms - shift).toISOString().replace('T', ' ').replace('Z', '')
}

/** `UTC`, or `GMT+2` of this place at that time. */
export const zoneName = (ms) => !isLocal ? 'UTC'
  : new Intl.DateTimeFormat('en', { timeZoneName: 'shortOffset' }).formatToParts(ms)
      .find(({ type }) => type === 'timeZoneName').value

/** Reads a time; PostgreSQL's microseconds are more than every browser takes. */
export const moment = (text) => Date.parse(text.replace(/(\.\d{3})\d*/, '$1'))
