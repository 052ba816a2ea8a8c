// Times of this place, where a cookie asks for them. The server writes UTC; the title keeps that, to the microsecond.
import { clockText, isLocal, moment, zoneName } from './words.js'

export function showZone() {
  if (!isLocal) return
  const place = Intl.DateTimeFormat().resolvedOptions().timeZone
  document.getElementById('zone-text').textContent = `Times are those of ${place || 'this place'}.`
  const set = (element, name, value) => { if (element[name] !== value) element[name] = value }
  const convert = () => {
    for (const time of document.querySelectorAll('time[datetime]')) {
      const ms = moment(time.dateTime)
      if (Number.isNaN(ms)) continue
      const exact = time.dateTime.replace('T', ' ').replace('Z', ' UTC')
      if ('ago' in time.dataset) set(time, 'title', `${clockText(ms)} ${zoneName(ms)}, ${exact}`)
      else {
        set(time, 'textContent', clockText(ms))
        set(time, 'title', exact)
        if (time.nextElementSibling?.matches('[data-zone-name]'))
          set(time.nextElementSibling, 'textContent', zoneName(ms))
      }
    }
  }
  convert()
  // Parts of the page come later and change.
  new MutationObserver(convert).observe(document.body, {
    subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['datetime', 'title'],
  })
}
