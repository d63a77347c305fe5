// Receives one file of send-file.mjs into a directory, checks its hash, and tells the sender, whose address it never learns.
//
//   node examples/receive-file.mjs DIRECTORY
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { connect } from '@mixwright/client'
import { commandLine } from './command-line.mjs'
import { decodePart, PART_BYTES, partsOf, sha256Of } from './file-part.mjs'

const USAGE = `Usage: node examples/receive-file.mjs DIRECTORY [options]

Print an address, receive one file that is sent to it, and end. A file of the same name in the directory is replaced.
`
const { words, network } = await commandLine(USAGE, 1)
const [directory] = words
await mkdir(directory, { recursive: true })
const client = await connect(network)
console.log(client.address)

/** The file that is received: the first of which a part comes. */
let wanted
const missing = new Set()
const partial = join(directory, `.receiving-${process.pid}`)
const file = await open(partial, 'w')

for await (const message of client.messages()) {
  const { part, name, bytes, sha256, body } = decodePart(message.data) ?? {}
  const found = `${name} ${bytes} ${sha256}`
  if (part === undefined || message.senderTag === undefined || (wanted ?? found) !== found) continue
  if (wanted === undefined) for (let number = 0; number < partsOf(bytes); number++) missing.add(number)
  wanted = found
  await file.write(body, 0, body.length, part * PART_BYTES)
  missing.delete(part)
  if (missing.size > 0) continue

  await file.close()
  const complete = (await sha256Of(partial)) === sha256
  // The name is the sender's: only its last piece counts.
  const path = join(directory, basename(name))
  await (complete ? rename(partial, path) : rm(partial))
  console.log(complete ? `${path}: ${bytes} bytes, SHA-256 ${sha256}` : `${name} came damaged`)
  process.exitCode = complete ? 0 : 1
  await message.reply(complete ? 'complete' : 'damaged').acknowledged
  break
}
await client.close()
