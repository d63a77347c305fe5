/**
 * The nodes' Sphinx keys rotate while official clients and ours talk: in the shortest epochs that the network knows, over two
 * rotations, nothing is lost, and reply blocks made for the old keys are good through the overlap.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Client, connect, type SendHandle } from '@mixwright/client'
import { Network, type NodeHandle } from '@mixwright/localnet'
import { RealClock, sleep } from '@mixwright/runtime'
import { OfficialClient } from '../src/official-client.js'
import { dropsByReason, sumOverNodes } from './network-counters.js'

const EPOCH_MS = 15_000
const VALIDITY_EPOCHS = 3
/** Between two messages of one sender: a conversation, not a wait. */
const PACE_MS = 400
/** Reply blocks with each question. */
const REPLY_SURBS = 15

const clock = new RealClock()
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (message: Uint8Array) => new TextDecoder().decode(message)

describe('key rotation', () => {
  it('under official clients and ours: nothing is lost, and old reply blocks are answered through the overlap', async (t) => {
    await using net = await Network.start({ epochMs: EPOCH_MS, validityEpochs: VALIDITY_EPOCHS })
    await using official = await OfficialClient.start({
      nymApiUrl: net.nymApiUrl,
      clientId: 'rotation',
      preferredGateway: net.gateway(0).identityKey,
      clientOverride: { topology: { topologyRefreshRateMs: 5_000 } },
    })
    await using ours = await connect({
      directory: net.nymApiUrl,
      gateway: net.gateway(1).identityKey,
      profile: 'local',
    })
    const received = inboxOf(ours)
    const handles: SendHandle[] = []
    let sent = 0
    const expected = { toOurs: [] as string[], toOfficial: [] as string[] }
    const exchange = async () => {
      const number = ++sent
      expected.toOfficial.push(`to the official one ${number}`)
      expected.toOurs.push(`to ours ${number}`)
      handles.push(ours.send(official.address, `to the official one ${number}`))
      await official.send(ours.address, bytes(`to ours ${number}`))
      await sleep(clock, PACE_MS)
    }
    const until = async (condition: (node: NodeHandle) => boolean) => {
      while (!nodesOf(net).every(condition)) await exchange()
    }

    // The keys of rotation 0 are marked as of no known rotation, so that official clients never take its reply blocks for stale:
    // questions are asked in the next one.
    await until((node) => steps(node, 'forget') >= 1)

    // In its last epoch the next keys are announced, and questions go out with reply blocks of this one.
    await until((node) => steps(node, 'pre-announce') >= 2)
    expected.toOurs.push('official question')
    expected.toOfficial.push('our question')
    await official.send(ours.address, bytes('official question'), REPLY_SURBS)
    handles.push(ours.send(official.address, 'our question', { replySurbs: REPLY_SURBS }))
    await until((node) => steps(node, 'swap') >= 2)
    // In the overlap both are answered with the blocks that came before it.
    assert.ok(nodesOf(net).every((node) => steps(node, 'forget') < 2))
    const ourCopy = received.find((message) => message.text === 'official question')
    const officialCopy = official.inbox.find(({ message }) => text(message) === 'our question')
    expected.toOfficial.push('our answer')
    expected.toOurs.push('official answer')
    handles.push(ours.reply(ourCopy!.senderTag!, bytes('our answer')))
    await official.reply(officialCopy!.senderTag!, bytes('official answer'))
    await until((node) => steps(node, 'forget') >= 2)

    await Promise.all(handles.map((handle) => handle.acknowledged))
    const inbox = await official.received(expected.toOfficial.length)
    while (received.length < expected.toOurs.length) await sleep(clock, 10)
    assert.deepEqual(inbox.map(({ message }) => text(message)).sort(), expected.toOfficial.sort())
    assert.deepEqual(received.map((message) => message.text).sort(), expected.toOurs.sort())
    assert.ok(nodesOf(net).every(({ metrics }) => metrics.value('mixwright_sphinx_key_rotation') === 2))
    assert.deepEqual([dropsByReason(net), official.complaints], [{}, []])
    t.diagnostic(
      `${expected.toOurs.length} and ${expected.toOfficial.length} messages; ` +
        `${sumOverNodes(net, 'nym_node_mixnet_ingress_forward_packets_received')} packets mixed, none dropped; ` +
        `sent again by ours: ${ours.status().counters.retransmissions ?? 0}`,
    )
  })
})

function nodesOf(net: Network): NodeHandle[] {
  const numbered = (role: string) => net.nodes.filter((node) => node.role === role).map((_, index) => index)
  return [...numbered('mixnode').map((i) => net.mix(i)), ...numbered('gateway').map((i) => net.gateway(i))]
}

function steps({ metrics }: NodeHandle, step: string): number {
  return metrics.value('mixwright_key_rotation_steps_total', { step })
}

/** Everything that comes to a client of ours, as it comes. */
function inboxOf(client: Client): { text: string; senderTag: string | undefined }[] {
  const inbox: { text: string; senderTag: string | undefined }[] = []
  void (async () => {
    for await (const message of client.messages()) inbox.push({ text: message.text(), senderTag: message.senderTag })
  })()
  return inbox
}
