// Asks a service such as anonymous-service.mjs, which never learns who asked.
//
//   node examples/ask-service.mjs ADDRESS 'I was here'
import { connect } from '@mixwright/client'
import { commandLine } from './command-line.mjs'

const USAGE = `Usage: node examples/ask-service.mjs ADDRESS TEXT [options]

Send the text to a service, with reply blocks, and print the answer. With --store it is the same guest each time.
`
/** How long to wait, milliseconds, from here to the answer. */
const PATIENCE_MS = 60_000

const { words, network } = await commandLine(USAGE, 2)
const [service, text] = words
// When the time is up, the client closes, and with it the messages end.
const client = await connect({ ...network, signal: AbortSignal.timeout(PATIENCE_MS) })
await client.send(service, text, { replySurbs: 10 }).acknowledged
// The service's gateway has the question now. Whether the service reads it, only its answer tells.
process.exitCode = 1
for await (const answer of client.messages()) {
  console.log(answer.text())
  process.exitCode = 0
  break
}
if (process.exitCode === 1) console.error('no answer')
await client.close()
