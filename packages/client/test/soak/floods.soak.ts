/** A million of each: messages that an app sends, and fragments that a peer never completes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes } from '@mixwright/runtime'
import { deriveFragmentKey, parseRecipient, writeFragmentHeader } from '@mixwright/wire'
import { impatientApp, patientApp } from '../hollow-sender.js'
import { bytesInUse, MIB } from '../memory-use.js'
import { Machine } from '../virtual-machine.js'
import { settled, VirtualMixnet } from '../virtual-mixnet.js'

const isQuick = process.env.MIXWRIGHT_SOAK_QUICK === '1'
const COUNT = isQuick ? 120_000 : 1_000_000

describe(`${COUNT} small messages, without the packets`, () => {
  it('pass with flat memory when each is awaited until it is queued', (t) => patientApp(t, COUNT))

  it('sent at once by an app that does not listen: what is too much fails with MIX_QUEUE_FULL, the rest passes', (t) =>
    impatientApp(t, COUNT))
})

describe(`${COUNT} fragments of unfinished messages`, () => {
  it('encrypted, through a whole client with a store: memory and store stay bounded, messages still arrive', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const victim = new Machine(mixnet, 'victim')
    const client = await victim.start()
    const honest = await new Machine(mixnet, 'honest', mixnet.gateways[1]).start()
    const secret = mixnet.random.fork('peer').bytes(32)
    const keyField = mixnet.crypto.x25519Base(secret)
    const { encryption } = parseRecipient(client.address, () => true)!
    const key = deriveFragmentKey(mixnet.crypto.x25519(secret, encryption)!)
    const start = bytesInUse()
    const samples: number[] = []
    for (let i = 0; i < COUNT; i++) {
      // Of each set three of four, in full.
      const fragment = new Uint8Array(1611)
      writeFragmentHeader(fragment, 1 + Math.floor(i / 3), 4, 1 + (i % 3), undefined)
      victim.push(concatBytes(keyField, mixnet.crypto.aes128Ctr(key, fragment)))
      if (i % 100 === 0) await mixnet.pass(10)
      if ((i + 1) % (COUNT / 10) === 0) samples.push(bytesInUse() - start)
    }
    await settled()
    t.diagnostic(`memory in use, after each tenth: ${samples.map((bytes) => (bytes / MIB).toFixed(0)).join(', ')} MiB`)
    assert.ok(Math.max(...samples) < 300 * MIB)
    await mixnet.pass(100)
    assert.ok((await victim.store.load('fragments')).size <= 3 * 4096)
    await mixnet.during(honest.send(client.address, 'still there?').acknowledged)
    await mixnet.pass(100)
    assert.equal(victim.received.at(-1)?.text(), 'still there?')
  })
})
