/**
 * Apps that send far more than the stream takes, at everything in a client that sends but its packets: those are not made,
 * which is what would take all the time. How many messages is the caller's choice.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { SeededRandom, VirtualClock } from '@mixwright/runtime'
import type { FragmentIdentifier } from '@mixwright/wire'
import type { Topology } from '../src/directory/topology.js'
import type { PacketBuilder } from '../src/packet/packet-builder.js'
import { PROFILES } from '../src/profile.js'
import { SurbPools } from '../src/replies/surb-pools.js'
import { Lanes } from '../src/send/lanes.js'
import { Outbox } from '../src/send/outbox.js'
import { SendStream } from '../src/send/send-stream.js'
import { Transmitter } from '../src/send/transmitter.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { bytesInUse, MIB } from './memory-use.js'
import { settled } from './virtual-mixnet.js'

/** Everything that sends in a client but the packets: a builder that makes none, and acks that come 60 ms later. */
function hollowSender() {
  const clock = new VirtualClock()
  const random = new SeededRandom('hollow')
  const journal = new Journal(memoryStore(), clock, () => assert.fail('nothing is stored'))
  const lanes = new Lanes(random)
  let acknowledged = 0
  const goOn = () => {
    outbox.settle()
    stream.wake()
  }
  const outbox: Outbox = new Outbox({
    clock,
    random,
    journal,
    persistent: false,
    lanes,
    onQueued: () => stream.wake(),
    onEnd: (message, outcome) => {
      if (message === undefined) return
      assert.equal(outcome.kind, 'acknowledged')
      acknowledged++
      transmitter.forget(message)
    },
  })
  const builder = {
    isUsable: () => true,
    forward: (
      _topology: unknown,
      _recipient: unknown,
      _gateway: unknown,
      _fragment: unknown,
      id: FragmentIdentifier,
    ) => {
      clock.setTimer(60, () => {
        assert.ok(transmitter.acknowledged(id))
        goOn()
      })
      return { mixPacket: {}, expectedRttMs: 50 }
    },
  }
  const transmitter: Transmitter = new Transmitter({
    clock,
    lanes,
    pools: new SurbPools(1, journal),
    builder: () => builder as unknown as PacketBuilder,
    paced: false,
    topology: () => ({ gateways: new Map([['gateway', {}]]) }) as unknown as Topology,
    send: () => {},
    onUnknownGateway: () => assert.fail('the gateway is known'),
    onProgress: goOn,
    onReplies: () => assert.fail('there are no replies'),
  })
  const stream: SendStream = new SendStream({
    clock,
    random,
    profile: PROFILES['no-cover'],
    constantLoops: false,
    unsentBytes: () => 0,
    transmit: (filling) => {
      const sent = transmitter.transmit(filling)
      outbox.settle()
      return sent
    },
  })
  stream.start()
  const recipient = { identity: random.bytes(32), encryption: random.bytes(32), gateway: random.bytes(32) }
  const destination = { kind: 'recipient', recipient, gateway: 'gateway' } as const
  const send = (data: Uint8Array) =>
    outbox.submit({ destination, lane: 'general', bytes: data.length, build: () => data, maximumRetransmissions: 40 })
  return { clock, outbox, lanes, transmitter, send, acknowledged: () => acknowledged }
}

/** An app that awaits `queued` of each message before it sends the next. */
export async function patientApp(t: TestContext, messages: number): Promise<void> {
  const { clock, outbox, lanes, transmitter, send, acknowledged } = hollowSender()
  const app = async () => {
    for (let i = 0; i < messages; i++) await send(Uint8Array.of(1, i, i >> 8, i >> 16)).queued
  }
  const running = app()
  const start = bytesInUse()
  const samples: number[] = []
  let mostMessages = 0
  for (let event = 0; acknowledged() < messages; event++) {
    assert.ok(clock.nextEvent(), 'nothing will ever happen any more')
    // The app has its turns.
    if (event % 16 === 0) await settled()
    mostMessages = Math.max(mostMessages, outbox.messages)
    if (acknowledged() > ((samples.length + 1) * messages) / 10) samples.push(bytesInUse() - start)
  }
  await running
  const mebibytes = samples.map((bytes) => (bytes / MIB).toFixed(0))
  t.diagnostic(`memory in use, after each tenth: ${mebibytes.join(', ')} MiB; at most ${mostMessages} messages in hand`)
  assert.equal(outbox.messages + lanes.packets + transmitter.unacknowledged, 0)
  assert.ok(mostMessages < 1200, `${mostMessages} messages in hand`)
  assert.ok(Math.max(...samples) < 40 * MIB, 'memory grows')
}

/** An app that sends all at once and listens to nothing. */
export function impatientApp(t: TestContext, messages: number): void {
  const { clock, outbox, send, acknowledged } = hollowSender()
  const start = bytesInUse()
  let refused = 0
  for (let i = 0; i < messages; i++) if (send(Uint8Array.of(1, i, i >> 8, i >> 16)).failed) refused++
  const mebibytes = (bytesInUse() - start) / MIB
  t.diagnostic(`${refused} refused; ${mebibytes.toFixed(0)} MiB for the others`)
  assert.equal(outbox.messages, 100_500)
  assert.equal(refused, messages - outbox.messages)
  assert.ok(mebibytes < 200)
  while (outbox.messages > 0) assert.ok(clock.nextEvent())
  assert.equal(acknowledged(), messages - refused)
}
