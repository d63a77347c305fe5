// Asks a key–value store such as key-value-service.mjs, which never learns who asked.
//
//   node examples/ask-key-value.mjs ADDRESS colour=blue     puts
//   node examples/ask-key-value.mjs ADDRESS colour          gets
import { connect } from '@mixwright/client'
import { commandLine } from './command-line.mjs'

const USAGE = `Usage: node examples/ask-key-value.mjs ADDRESS KEY[=VALUE] [options]

Put a value into a key-value store on the mixnet, or get it, and print the answer.
`
/** How long to wait, milliseconds, from here to the answer. */
const PATIENCE_MS = 60_000

const { words, network } = await commandLine(USAGE, 2)
const [service, word] = words
const [key, ...rest] = word.split('=')
const request = rest.length > 0 ? { put: key, value: rest.join('=') } : { get: key }

// When the time is up, the client closes, and with it the messages end.
const client = await connect({ ...network, signal: AbortSignal.timeout(PATIENCE_MS) })
await client.send(service, JSON.stringify(request), { replySurbs: 10 }).acknowledged
process.exitCode = 1
for await (const message of client.messages()) {
  const { error, value } = JSON.parse(message.text())
  if (error !== undefined) console.error(error)
  else {
    process.exitCode = 0
    console.log(value === undefined ? 'kept' : (value ?? 'there is no such key'))
  }
  break
}
await client.close()
