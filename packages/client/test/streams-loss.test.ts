/** Streams of whole clients on a mixnet that loses, doubles and reorders packets. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, SeededRandom } from '@mixwright/runtime'
import type { ClientStream } from '../src/api.js'
import { Machine } from './virtual-machine.js'
import { VirtualMixnet } from './virtual-mixnet.js'

async function readAll({ readable }: ClientStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readable) chunks.push(chunk)
  return concatBytes(...chunks)
}

async function writeAll({ writable }: ClientStream, bytes: Uint8Array, size: number): Promise<void> {
  const writer = writable.getWriter()
  for (let at = 0; at < bytes.length; at += size) await writer.write(bytes.subarray(at, at + size))
  await writer.close()
}

describe('streams of clients', () => {
  for (const loss of [0.01, 0.05])
    it(`bring everything both ways when ${100 * loss} % are lost`, async (t) => {
      const seed = `streams ${loss}`
      t.diagnostic(`seed: ${seed}`)
      const mixnet = await VirtualMixnet.create({ seed })
      Object.assign(mixnet.faults, { loss, duplication: 0.02, reorderMs: 400 })
      const [a, b] = [new Machine(mixnet, 'a'), new Machine(mixnet, 'b', mixnet.gateways[1])]
      const [alice, bob] = [await a.start(), await b.start()]
      const random = new SeededRandom(seed)
      const [there, back] = [random.bytes(300_000), random.bytes(300_000)]
      const streams = bob.streams()
      const serve = async () => {
        const { value: stream } = await streams.next()
        assert.ok(stream)
        const [bytes] = await Promise.all([readAll(stream), writeAll(stream, back, 20_000)])
        await stream.closed
        return bytes
      }
      const stream = alice.openStream(bob.address)
      const both = Promise.all([serve(), readAll(stream), writeAll(stream, there, 7000), stream.closed])
      const [got, answer] = await mixnet.during(both)
      assert.deepEqual(got, there)
      assert.deepEqual(answer, back)
      // Nothing of it came as a message.
      assert.equal(a.received.length + b.received.length, 0)
      await Promise.all([alice, bob].map((client) => client.close({ flushMs: 0 })))
      assert.equal((await streams.next()).done, true)
    })
})
