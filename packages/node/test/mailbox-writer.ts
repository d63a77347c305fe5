/** A child process: a mailbox that takes messages as fast as it can, and says on standard output which were accepted. */
import { writeSync } from 'node:fs'
import { MemoryMetrics, RealClock, silentLogger } from '@mixwright/runtime'
import { GatewayDatabase } from '../src/gateway/store/gateway-database.js'
import { Mailbox } from '../src/gateway/store/mailbox.js'

const [path = '', total = '0'] = process.argv.slice(2)
const mailbox = new Mailbox(
  GatewayDatabase.open(path, 'power-loss', 1e9),
  new RealClock(),
  silentLogger,
  new MemoryMetrics(),
)
const client = new Uint8Array(32).fill(1)

let next = 0
function some(): void {
  for (let i = 0; i < 50 && next < Number(total); i++) {
    const number = next++
    const content = new Uint8Array(1643)
    new DataView(content.buffer).setUint32(0, number)
    // Written at once, as an ack would be handed to the network.
    mailbox.store(client, content, () => writeSync(1, `${number}\n`))
  }
  if (next < Number(total)) setImmediate(some)
}
some()
