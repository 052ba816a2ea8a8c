import { fillBodies } from './bodies.js'
import { startClocks } from './clocks.js'
import { completeFilter } from './completion.js'
import { equipBuilder } from './builder.js'
import { equipFile } from './file.js'
import { equipGo } from './go.js'
import { equipKeys } from './keys.js'
import { equipList } from './list.js'
import { followChanges } from './live.js'
import { showTimeline } from './timeline.js'
import { showZone } from './zone.js'

// Every page works without scripts; this adds what moves.
startClocks()
showZone()
showTimeline()
fillBodies()
equipList()
equipKeys()
equipGo()
equipFile()
completeFilter()
equipBuilder()
followChanges()

document.addEventListener('click', async (click) => {
  const button = click.target.closest('button.copy')
  if (!button || button.dataset.busy) return
  const text = button.textContent
  button.dataset.busy = 'true'
  try {
    await navigator.clipboard.writeText(button.dataset.copy)
    button.textContent = 'Copied'
  } catch {
    button.textContent = 'Not allowed here'
  }
  setTimeout(() => { button.textContent = text; delete button.dataset.busy }, 1500)
})

// What an address names by its fragment is opened, wherever it stands.
function openTarget() {
  document.querySelectorAll('.events .target').forEach((item) => item.classList.remove('target'))
  const item = location.hash.startsWith('#event-') && document.getElementById(location.hash.slice(1))
  if (!item) return
  item.classList.add('target')
  item.querySelector('details').open = true
  item.scrollIntoView({ block: 'nearest' })
}
addEventListener('hashchange', openTarget)
openTarget()
