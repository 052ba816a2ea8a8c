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

/** `2026-01-31 09:00:00.000`, in UTC. */
export const clockText = (ms) => new Date(ms).toISOString().replace('T', ' ').replace('Z', '')

/** Reads a time; PostgreSQL's microseconds are more than every browser takes. */
export const moment = (text) => Date.parse(text.replace(/(\.\d{3})\d*/, '$1'))
