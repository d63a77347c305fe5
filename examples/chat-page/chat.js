// The chat of index.html. In the page's address may stand
//
//   ?directory=http://127.0.0.1:17890/api   the network, here the one of `npx mixwright up`
//   &name=alice                             whose keys: each name has an address of its own, and one page at a time
//   &profile=local                          default, fast, no-cover or local
import { connect, indexedDbStore } from '@mixwright/client'

const [address, peer, log, form, line] = ['address', 'peer', 'log', 'form', 'line'].map((id) =>
  document.getElementById(id),
)
const parameters = new URLSearchParams(location.search)

/** Add a line; gives its element. */
function write(text, kind) {
  const entry = document.createElement('li')
  entry.textContent = text
  entry.className = kind
  return log.appendChild(entry)
}

try {
  const client = await connect({
    directory: parameters.get('directory') ?? 'http://127.0.0.1:17890/api',
    profile: parameters.get('profile') ?? 'default',
    store: await indexedDbStore(parameters.get('name') ?? 'chat'),
  })
  address.textContent = client.address

  /** The last message that can be answered. */
  let last
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const to = peer.value.trim()
    const text = line.value
    if (text === '' || (to === '' && last === undefined)) return
    line.value = ''
    const entry = write(`you: ${text} …`, 'waiting')
    // Reply blocks, so that the peer can answer and never learns our address.
    const handle = to === '' ? last.reply(text) : client.send(to, text, { replySurbs: 5 })
    try {
      await handle.acknowledged
      entry.textContent = `you: ${text}`
      entry.className = 'sent'
    } catch (error) {
      entry.textContent = `not delivered: ${text}: ${error.message} (${error.code})`
      entry.className = 'failed'
    }
  })

  for await (const message of client.messages()) {
    if (message.senderTag !== undefined) last = message
    write(`peer: ${message.text()}`, 'received')
  }
} catch (error) {
  // No network, for example, or another tab has the store.
  write(`${error.message} (${error.code})`, 'failed')
}
