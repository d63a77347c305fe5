/** Streams between clients over a real network. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { ClientStream } from '@mixwright/client'
import { SeededRandom } from '@mixwright/runtime'
import { Network } from '../src/index.js'

const BYTES = 1_000_000

async function hashOf({ readable }: ClientStream): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of readable) hash.update(chunk)
  return hash.digest('hex')
}

async function write({ writable }: ClientStream, bytes: Uint8Array): Promise<void> {
  const writer = writable.getWriter()
  for (let at = 0; at < bytes.length; at += 50_000) await writer.write(bytes.subarray(at, at + 50_000))
  await writer.close()
}

describe('streams', () => {
  it('bring a megabyte each way, and messages go on beside them', async () => {
    await using net = await Network.start({ gateways: 2, clients: ['alice', 'bob'] })
    const [alice, bob] = [net.client('alice').client, net.client('bob').client]
    const random = new SeededRandom('streams')
    const [there, back] = [random.bytes(BYTES), random.bytes(BYTES)]
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
    const serve = async () => {
      for await (const stream of bob.streams()) {
        const [hash] = await Promise.all([hashOf(stream), write(stream, back)])
        await stream.closed
        return hash
      }
      return undefined
    }
    const served = serve()
    const stream = alice.openStream(bob.address)
    const message = alice.send(bob.address, 'a message').acknowledged
    const [hash] = await Promise.all([hashOf(stream), write(stream, there), stream.opened, message])
    await stream.closed
    assert.equal(await served, sha256(there))
    assert.equal(hash, sha256(back))
    const { value } = await bob.messages().next()
    assert.equal(value?.text(), 'a message')
  })
})
