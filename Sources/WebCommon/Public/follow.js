// Follows the server's event stream while this tab is on the screen, over one stream for all tabs of the browser.

/**
 * @param source the stream's address
 * @param events the names of its events
 * @param tell called with an event's name and data, and with `lost` when the server cannot be heard
 * @param read reads the data of an event
 * @param isWhole whether the stream begins with everything, so that who comes later has to begin it anew
 * @returns follows these views from now on
 */
export function follow({ source, events, views = [], tell, isWhole = false, read = JSON.parse }) {
  let port = null
  let stream = null

  const hear = ({ data: { name, data } }) => tell(name, data === null ? null : read(data))

  const join = (isNew) => {
    if (document.visibilityState === 'hidden') return
    if (port) port.postMessage({ source, events, views, fresh: isNew && isWhole })
    else if (isNew) openOwn()
  }
  const leave = () => {
    port?.postMessage({ leave: true })
    stream?.close()
    stream = null
  }

  // Where there are no shared workers (Chrome on Android), tabs that are hidden hold no stream, so one is open at a
  // time.
  function openOwn() {
    stream?.close()
    const address = views.length
      ? `${source}?${views.map((view) => `view=${encodeURIComponent(view)}`).join('&')}` : source
    stream = new EventSource(address)
    const current = stream
    for (const name of events) stream.addEventListener(name, ({ data }) => hear({ data: { name, data } }))
    stream.addEventListener('error', () => {
      tell('lost', null)
      if (current.readyState === EventSource.CLOSED) setTimeout(() => { if (current === stream) openOwn() }, 1000)
    })
  }

  try {
    const worker = new SharedWorker('/public/stream.js', { name: source })
    worker.onerror = () => { port = null; join(true) }
    port = worker.port
    port.onmessage = hear
  } catch {
    port = null
  }
  join(true)
  // The worker forgets a tab that it has not heard of.
  setInterval(() => { if (port) join(false) }, 5000)
  document.addEventListener('visibilitychange', () => (document.visibilityState === 'hidden' ? leave() : join(true)))
  addEventListener('pagehide', leave)
  addEventListener('pageshow', ({ persisted }) => { if (persisted) join(true) })

  return (others) => {
    if (others.join() === views.join()) return
    views = others
    join(true)
  }
}

/**
 * Whether what a page shows is current: no older than two seconds.
 * @param show called with whether it is, and since when it is not
 */
export function freshness(show) {
  const begun = Date.now()
  let seen = 0
  let last = null
  const look = () => {
    // A page that has just come is given the time to hear of the server.
    if (!seen && Date.now() - begun < 2000) return
    const isLive = Date.now() - seen <= 2000
    if (isLive === last) return
    last = isLive
    show(isLive, seen || begun)
  }
  setInterval(look, 200)
  return {
    /** What the page shows is as of `time`. */
    at(time) { seen = Math.max(seen, time); look() },
    look,
  }
}
