// One event stream for all tabs of a browser, held by a shared worker: HTTP/1.1 allows six connections to a server, so
// that streams of the tabs' own would leave none for the seventh tab. It is open while a tab is on a screen.
//
// A tab says what it follows: { source, events, views, fresh }. With views, the stream asks for those of all tabs, and
// a tab is told of its own. Without, every tab is told of everything; `fresh` asks for a stream that begins anew.

const tabs = new Map()
let stream = null
let followed = ''
let settling = null

onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.leave) tabs.delete(port)
    else tabs.set(port, { ...data, heard: Date.now() })
    if (data.fresh) followed = ''
    settling ??= setTimeout(settle, 20)
  }
}

// A tab that was ended without a word.
setInterval(() => {
  for (const [port, { heard }] of tabs) if (Date.now() - heard > 20_000) tabs.delete(port)
  settling ??= setTimeout(settle, 20)
}, 5000)

function settle() {
  settling = null
  const first = tabs.values().next().value
  if (!first) return close()
  const views = [...new Set([...tabs.values()].flatMap((tab) => tab.views))].sort()
  const address = views.length
    ? `${first.source}?${views.map((view) => `view=${encodeURIComponent(view)}`).join('&')}` : first.source
  if (address === followed && stream?.readyState !== EventSource.CLOSED) return
  close()
  followed = address
  stream = new EventSource(address)
  const current = stream
  for (const name of first.events) stream.addEventListener(name, ({ data }) => current === stream && tell(name, data))
  stream.addEventListener('error', () => {
    if (current !== stream) return
    tell('lost', null)
    // A refused connection (the server is starting) ends an EventSource for good: begin a new one.
    if (stream.readyState === EventSource.CLOSED)
      setTimeout(() => { if (current === stream) { followed = ''; settle() } }, 1000)
  })
}

function close() {
  stream?.close()
  stream = null
  followed = ''
}

function tell(name, data) {
  for (const [port, tab] of tabs) {
    if (!data || !tab.views.length || tab.views.includes(JSON.parse(data).view)) port.postMessage({ name, data })
  }
}
