// A chat between two terminals. Whoever knows the other's address begins; the other answers without learning an address,
// by the reply blocks that came with the message.
//
//   node examples/chat-terminal.mjs            prints an address, and waits
//   node examples/chat-terminal.mjs ADDRESS    in the other terminal
import { createInterface } from 'node:readline'
import { connect } from '@mixwright/client'
import { commandLine } from './command-line.mjs'

const USAGE = `Usage: node examples/chat-terminal.mjs [ADDRESS] [options]

Chat with the client of that address, or with whoever writes first. A line that is an address changes the peer.
`
const { words, network } = await commandLine(USAGE, 0, 1)
const client = await connect(network)

/** How a line gets to the peer: to an address, or by reply blocks. Undefined while there is no peer. */
let say
if (words[0]) sayTo(words[0])

function sayTo(address) {
  say = (line) => client.send(address, line, { replySurbs: 5 })
}

console.log(`Your address: ${client.address}`)
console.log(say ? 'Say something.' : 'Waiting for somebody to write to it. Or enter an address to write to.')

const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  if (line === '') return
  if (/^\w+\.\w+@\w+$/.test(line)) return sayTo(line)
  if (!say) return console.log('! Nobody is there yet.')
  say(line).acknowledged.catch(({ message, code }) => console.log(`! Not delivered: ${line}: ${message} (${code})`))
})
lines.on('close', () => client.close())
process.once('SIGINT', () => lines.close())

// Until the client is closed. The mixnet keeps no order: number your messages where it matters.
for await (const message of client.messages()) {
  console.log(`> ${message.text()}`)
  if (message.senderTag) say = (line) => message.reply(line)
}
