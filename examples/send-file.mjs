// Sends a file to receive-file.mjs and shows how far it is. Only some parts are in memory at a time: `queued` resolves when
// the client has room for a part, and the next one is read only then.
//
//   node examples/send-file.mjs ADDRESS FILE
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { connect } from '@mixwright/client'
import { commandLine } from './command-line.mjs'
import { encodePart, PART_BYTES, partsOf, sha256Of } from './file-part.mjs'

const USAGE = `Usage: node examples/send-file.mjs ADDRESS FILE [options]

Send a file to the receiver at that address; ends when the receiver says that it has it.
The profile 'default' carries at most 80 kB a second.
`
const SHOW_MS = 500

const { words, network } = await commandLine(USAGE, 2)
const [receiver, path] = words
const file = await open(path)
const { size: bytes } = await file.stat()
const facts = { name: basename(path), bytes, sha256: await sha256Of(path) }
const parts = partsOf(bytes)
const client = await connect(network)

const handles = []
const showing = setInterval(show, SHOW_MS)
for (let part = 0; part < parts; part++) {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(PART_BYTES), { position: part * PART_BYTES })
  const message = encodePart({ ...facts, part }, buffer.subarray(0, bytesRead))
  // The reply blocks are for the receiver's answer.
  const handle = client.send(receiver, message, { replySurbs: 2 })
  handles.push(handle)
  await handle.queued
}
await file.close()
await Promise.all(handles.map(({ acknowledged }) => acknowledged))
clearInterval(showing)
show()

// The receiver's gateway has it all. That the receiver has it, only the receiver can tell.
for await (const answer of client.messages()) {
  console.log(`\nThe receiver says: ${answer.text()}`)
  process.exitCode = answer.text() === 'complete' ? 0 : 1
  break
}
await client.close()

/** Write one line over the last. */
function show() {
  const all = handles.map(({ progress }) => progress)
  const percent = (what) => {
    const whole = all.reduce((sum, progress) => sum + progress[what] / Math.max(1, progress.packets), 0)
    return Math.floor((100 * whole) / parts)
  }
  const again = all.reduce((sum, { retransmissions }) => sum + retransmissions, 0)
  const line = `${percent('sent')} % sent, ${percent('acknowledged')} % acknowledged, ${again} packets sent again`
  process.stdout.write(`\r${line}`)
}
