/** A node with pinned keys in a network that has no signed document yet. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import { FoundingNetwork } from '../src/network/founding-network.js'
import { StaticSource } from '../src/network/static-source.js'

describe('founding network', () => {
  it('takes the rotation from an unsigned schedule, until there is a document, and never the list of nodes', async () => {
    const peer = { ipAddresses: ['192.0.2.1'], mixPort: 1789 }
    const document = new StaticSource([peer], 7)
    const none = new MixError('MIX_DIRECTORY_UNVERIFIED', 'there is none', { kind: 'peer', retry: true })
    let published = false
    const rejecting = async (): Promise<never> => {
      throw none
    }
    const signed = {
      keyRotation: () => (published ? document.keyRotation() : rejecting()),
      topology: () => (published ? document.topology() : rejecting()),
      known: () => (published ? document.known(['192.0.2.1']) : rejecting()),
      announce: async () => {},
    }
    const network = new FoundingNetwork(signed, new StaticSource([], 3))
    assert.equal((await network.keyRotation()).epochId, 9)
    await assert.rejects(network.topology(), none)
    await assert.rejects(network.known(['192.0.2.1']), none)
    published = true
    assert.equal((await network.keyRotation()).epochId, 21)
    assert.deepEqual((await network.topology()).peers, [peer])
    published = false
    await assert.rejects(network.keyRotation(), none)
  })
})
