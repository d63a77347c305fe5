/**
 * Every packet of ours, cover and the acks in it included, is Sphinx version 259, so that no mix node can tell cover from
 * messages. Official clients send cover as 258 (04-client §4.22), which shows that the tap sees it.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type ConnectOptions, connect } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { MixTap, type TappedPacket } from '../src/mix-tap.js'
import { OfficialClient } from '../src/official-client.js'
import { take } from '../src/our-inbox.js'

/** Some seconds' worth at Nym's default rates: 55 data packets a second, an ack for each. */
const PACKETS = 200

/** `size version`, each once. */
const kinds = (packets: readonly TappedPacket[]) =>
  [...new Set(packets.map(({ size, version }) => `${size} ${version}`))].sort()

describe('Sphinx versions as a mix node sees them', () => {
  let net: Network
  let tap: MixTap
  before(async () => {
    net = await Network.start({ mixes: 3, gateways: 1 })
    tap = await MixTap.start(net)
  })
  after(async () => {
    await tap?.[Symbol.asyncDispose]()
    await net?.close()
  })

  const settings: Record<string, Partial<ConnectOptions>> = {
    'by default': {},
    'with constant loops': { constantLoops: true },
    'without cover': { profile: 'no-cover' },
  }
  for (const [how, options] of Object.entries(settings)) {
    it(`our client ${how}: cover, messages, replies and acks are all 259`, async () => {
      await using client = await connect({ directory: tap.nymApiUrl, ...options })
      const handle = client.send(client.address, new Uint8Array(50_000), { replySurbs: 5 })
      const [question] = await take(client, 1)
      const reply = question!.reply(new Uint8Array(50_000))
      await take(client, 1)
      await Promise.all([handle.acknowledged, reply.acknowledged])
      const { coverSent } = client.status().counters
      assert.deepEqual(kinds(await tap.packets(0)), ['ack 259', 'regular 259'])
      if (options.profile === 'no-cover') return assert.equal(coverSent, 0)
      assert.ok(coverSent > 0)
      // Idle: nothing but cover.
      assert.deepEqual(kinds(await tap.packets(PACKETS)), ['ack 259', 'regular 259'])
    })
  }

  it('the official client by default: cover is 258', async () => {
    await using client = await OfficialClient.start({ nymApiUrl: tap.nymApiUrl, clientId: 'covered' })
    assert.ok(kinds(await tap.packets(PACKETS)).includes('regular 258'))
    assert.deepEqual(client.complaints, [])
  })
})
