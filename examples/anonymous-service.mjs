// A service for people it cannot know: a guest book. What is sent to it is signed into the book, and the sender gets the
// book back, by the reply blocks that came with the message. A guest is known by a sender tag only: the same one each time,
// as long as the guest keeps its store.
//
//   node examples/anonymous-service.mjs --store guest-book.sqlite
import { connect } from '@mixwright/client'
import { commandLine } from './command-line.mjs'

const USAGE = `Usage: node examples/anonymous-service.mjs [options]

A guest book for anonymous guests. With --store it is at the same address after a restart.
`
/** The oldest go first. */
const ENTRIES = 100

const { network } = await commandLine(USAGE, 0)
const client = await connect(network)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => client.close())
console.log(client.address)

const book = []
for await (const message of client.messages()) {
  // Who sends no reply blocks cannot get an answer.
  if (message.senderTag === undefined) continue
  book.push(`${message.senderTag.slice(0, 6)} wrote: ${message.text()}`)
  if (book.length > ENTRIES) book.shift()
  // A book longer than the guest's reply blocks can carry is fine: the client asks for more of them by itself. Not awaited:
  // one guest who gives none must not keep the others waiting.
  message.reply(book.join('\n')).acknowledged.catch(({ message, code }) => console.error(`${message} (${code})`))
}
