/**
 * A client in a process of its own, whose packets are timed as they are handed to its websocket:
 * `watched-client DIRECTORY INTERVALS [ADDRESS]`. With an address it is busy: it never runs out of messages to it, and gets as
 * much back. It tells its address, reports when it has been watched long enough, and ends.
 */
import { connect } from '@mixwright/client'
import { RealClock, SystemRandom, uniform } from '@mixwright/runtime'
import { WebSocket } from 'ws'

export interface Watched {
  /** Between packets, milliseconds. */
  readonly intervals: readonly number[]
  readonly packets: number
  readonly cover: number
  readonly received: number
}

/** Packets before the measurement: the process warms up. */
const WARM_UP = 200
/** Messages that the app has in the queue, and how long they are at most, bytes. */
const AT_ONCE = 3
const LONGEST = 40_000

const [directory, intervals, address] = process.argv.slice(2)
const clock = new RealClock()
const random = new SystemRandom()
const times: number[] = []
let done = () => {}
const measured = new Promise<void>((resolve) => {
  done = resolve
})

const { send } = WebSocket.prototype
WebSocket.prototype.send = function (this: WebSocket, ...args: Parameters<typeof send>) {
  if (typeof args[0] !== 'string' && times.push(clock.monotonic()) > WARM_UP + Number(intervals)) done()
  return send.apply(this, args)
} as typeof send

const client = await connect({ directory: directory!, profile: 'default' })
if (address !== undefined) {
  const talk = async () => {
    for (;;) await client.send(address, new Uint8Array(LONGEST * uniform(random))).sent
  }
  for (let i = 0; i < AT_ONCE; i++) void talk().catch(() => {})
}
void (async () => {
  for await (const _ of client.messages()) {
  }
})()
process.send!(client.address)
await measured
const { packetsSent, coverSent, messagesReceived } = client.status().counters
const report: Watched = {
  intervals: times
    .slice(WARM_UP, WARM_UP + Number(intervals) + 1)
    .flatMap((time, i, all) => (i === 0 ? [] : [time - all[i - 1]!])),
  packets: packetsSent,
  cover: coverSent,
  received: messagesReceived,
}
process.send!(report, () => process.exit())
