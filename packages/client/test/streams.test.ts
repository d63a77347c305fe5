/** Streams between clients (06-service-providers §7): over a bus that delays, reorders and loses, with peers of ours and official ones. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, type MixError, SeededRandom, uniform } from '@mixwright/runtime'
import { encodeStreamFrame, STREAM_FRAME_TYPES } from '@mixwright/wire'
import fc from 'fast-check'
import type { ClientStream, IncomingStream } from '../src/api.js'
import { ByteStreamPair } from '../src/streams/byte-stream.js'
import { StreamReceiver, WINDOW_BYTES } from '../src/streams/stream-receiver.js'
import { StreamSender } from '../src/streams/stream-sender.js'
import { OfficialPeer, StreamBus } from './stream-bus.js'

const NOTHING = new Uint8Array(0)
const { open, data, openAck, ping, pong } = STREAM_FRAME_TYPES

async function readAll({ readable }: ClientStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readable) chunks.push(chunk)
  return concatBytes(...chunks)
}

async function writeAll({ writable }: ClientStream, chunks: readonly Uint8Array[]): Promise<void> {
  const writer = writable.getWriter()
  for (const chunk of chunks) await writer.write(chunk)
  await writer.close()
}

async function first(streams: AsyncIterableIterator<IncomingStream>): Promise<IncomingStream> {
  const { value } = await streams.next()
  assert.ok(value)
  return value
}

/** Chunks of random sizes, mostly small. */
function chunks(seed: string, bytes: number): Uint8Array[] {
  const random = new SeededRandom(seed)
  const all: Uint8Array[] = []
  for (let left = bytes; left > 0; ) {
    const size = Math.min(left, 1 + Math.floor(uniform(random) ** 4 * 150_000))
    all.push(random.bytes(size))
    left -= size
  }
  return all
}

async function pairOf(bus: StreamBus) {
  const [alice, bob] = [bus.client(), bus.client()]
  const streams = bob.mux.incoming()
  const stream = alice.mux.open(bob.address)
  const accepted = await bus.until(first(streams))
  await bus.until(stream.opened)
  return { alice, bob, streams, stream, accepted }
}

describe('a stream between our peers', () => {
  it('brings the same bytes both ways and both ends, in whatever order messages come', async () => {
    const seeds = fc.tuple(fc.string(), fc.constantFrom(0, 0.05, 0.3), fc.integer({ min: 0, max: 1_500_000 }))
    await fc.assert(
      fc.asyncProperty(seeds, async ([seed, loss, bytes]) => {
        const bus = new StreamBus(seed)
        bus.loss = loss
        const [alice, bob] = [bus.client(), bus.client()]
        const streams = bob.mux.incoming()
        const [there, back] = [chunks(`there ${seed}`, bytes), chunks(`back ${seed}`, Math.floor(bytes / 3))]
        // Written before it is open: data overtakes the Open.
        const stream = alice.mux.open(bob.address)
        const serve = async () => {
          const accepted = await first(streams)
          const [read] = await Promise.all([readAll(accepted), writeAll(accepted, back)])
          await accepted.closed
          return read
        }
        const run = Promise.all([serve(), readAll(stream), writeAll(stream, there), stream.opened, stream.closed])
        const [got, answer] = await bus.until(run)
        assert.ok(Buffer.from(got).equals(concatBytes(...there)))
        assert.ok(Buffer.from(answer).equals(concatBytes(...back)))
      }),
      { numRuns: 12 },
    )
  })

  it('ends one direction and goes on in the other', async () => {
    const bus = new StreamBus('half close')
    const { stream, accepted } = await pairOf(bus)
    await bus.until(writeAll(stream, [new Uint8Array([1])]))
    assert.deepEqual(await bus.until(readAll(accepted)), new Uint8Array([1]))
    const answered = writeAll(accepted, [new Uint8Array([2]), new Uint8Array([3])])
    assert.deepEqual(await bus.until(readAll(stream)), new Uint8Array([2, 3]))
    await bus.until(Promise.all([answered, stream.closed, accepted.closed]))
  })

  it('is reset with the reason, from either side', async () => {
    for (const isOpener of [true, false]) {
      const bus = new StreamBus('reset')
      const { stream, accepted } = await pairOf(bus)
      const [here, there] = isOpener ? [stream, accepted] : [accepted, stream]
      const cause = new Error('enough of it')
      here.abort(cause)
      await assert.rejects(here.closed, cause)
      await assert.rejects(bus.until(there.closed), { code: 'MIX_STREAM_RESET', message: /enough of it/ })
      await assert.rejects(there.readable.getReader().read(), { code: 'MIX_STREAM_RESET' })
      await assert.rejects(there.writable.getWriter().write(new Uint8Array(1)), { code: 'MIX_STREAM_RESET' })
      await assert.rejects(here.writable.getWriter().write(new Uint8Array(1)), cause)
    }
  })

  it('ends both directions when the app cancels reading', async () => {
    const bus = new StreamBus('cancel')
    const { stream, accepted } = await pairOf(bus)
    await stream.readable.cancel(new Error('no more'))
    await assert.rejects(stream.writable.getWriter().write(new Uint8Array(1)), { message: 'no more' })
    await assert.rejects(bus.until(accepted.closed), { code: 'MIX_STREAM_RESET', message: /no more/ })
  })

  it('stops the sender when the reader is slow, and goes on with it', async () => {
    const bus = new StreamBus('slow reader')
    const { alice, stream, accepted } = await pairOf(bus)
    const size = 4 * WINDOW_BYTES
    const written = writeAll(stream, chunks('slow', size))
    await bus.advance(60_000)
    const sentBytes = () =>
      bus.sent
        .filter(({ from, frame }) => from === alice.address && frame.type === data)
        .reduce((sum, { frame }) => sum + frame.content.length, 0)
    assert.ok(sentBytes() <= WINDOW_BYTES, `${sentBytes()} bytes`)
    assert.ok(sentBytes() > WINDOW_BYTES - 65_536, `${sentBytes()} bytes`)
    assert.equal((await bus.until(readAll(accepted))).length, size)
    await bus.until(written)
  })

  it('is ended when a peer sends more than it may', async () => {
    const bus = new StreamBus('greedy')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    const mallory = bus.endpoint()
    const frame = (type: number, sequence: number, content: Uint8Array) =>
      encodeStreamFrame({ streamId: 7n, type, sequence, reserved: 1, content })
    mallory.send(bob.address, frame(open, 0, NOTHING), { anonymous: true })
    const accepted = await bus.until(first(streams))
    for (let sequence = 1; sequence < 10; sequence++)
      mallory.send(bob.address, frame(data, sequence, new Uint8Array(65_536)), { anonymous: true })
    await assert.rejects(bus.until(accepted.closed), { code: 'MIX_STREAM_OVERFLOW' })
  })

  it('has lanes of its own, and reply blocks enough that the acceptor need not ask', async () => {
    const bus = new StreamBus('blocks')
    const { alice, bob, stream, accepted } = await pairOf(bus)
    const answered = writeAll(accepted, chunks('answer', 1_000_000))
    await bus.until(readAll(stream))
    await bus.until(answered)
    const given = bus.sent.reduce((sum, { from, replySurbs }) => sum + (from === alice.address ? replySurbs : 0), 0)
    const used = bus.sent.reduce(
      (sum, { from, frame }) => sum + (from === bob.address ? Math.ceil((16 + frame.content.length) / 1900) : 0),
      0,
    )
    assert.ok(given >= used, `${given} given, ${used} used`)
    assert.ok(given <= 2 * used + 320, `${given} given, ${used} used`)
    const lanes = (from: string) => new Set(bus.sent.filter((one) => one.from === from).map(({ lane }) => lane))
    assert.equal(lanes(alice.address).size, 2)
    assert.equal(lanes(alice.address).has('undefined'), false)
  })

  it('sends no more than the other side keeps before that has seen the Open', async () => {
    const bus = new StreamBus('late open')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    const alice = bus.client()
    const there = Array.from({ length: 200 }, (_, at) => new Uint8Array([at]))
    const send = alice.end.send.bind(alice.end)
    let sendOpen = () => {}
    alice.end.send = (to, bytes, options) => {
      if ((bytes as Uint8Array)[10] !== open) return send(to, bytes, options)
      sendOpen = () => void send(to, bytes, options)
      return send('nowhere', bytes, options)
    }
    const stream = alice.mux.open(bob.address)
    const written = writeAll(stream, there)
    await bus.advance(6000)
    sendOpen()
    const accepted = await bus.until(first(streams))
    assert.deepEqual(await bus.until(readAll(accepted)), concatBytes(...there))
    await bus.until(written)
    assert.deepEqual(bob.drops, [])
  })

  it('is an error within 10 seconds when nobody answers, or nobody takes streams', async () => {
    const bus = new StreamBus('nobody')
    const [alice, bob, dead] = [bus.client(), bus.client(), bus.client()]
    dead.end.isDead = true
    for (const [to, peer] of [
      [bob.address, 'mixwright'],
      [dead.address, 'mixwright'],
      [dead.address, 'nym-sdk'],
    ] as const) {
      const begin = bus.clock.monotonic()
      const stream = alice.mux.open(to, { peer })
      const writer = stream.writable.getWriter()
      writer.write(new Uint8Array(10)).catch(() => {})
      await assert.rejects(bus.until(stream.opened), { code: 'MIX_STREAM_SILENT', kind: 'network', retry: true })
      assert.ok(bus.clock.monotonic() - begin <= 10_000)
      await assert.rejects(writer.closed, { code: 'MIX_STREAM_SILENT' })
    }
    // They came to its messages: it takes no streams.
    assert.ok(bob.end.messages.length >= 2)
  })

  it('is an error within 10 seconds when what was written first is lost after it opened', async () => {
    const bus = new StreamBus('gone')
    const { bob, stream } = await pairOf(bus)
    bob.end.isDead = true
    const begin = bus.clock.monotonic()
    const writer = stream.writable.getWriter()
    await writer.write(new Uint8Array(10))
    await assert.rejects(bus.until(writer.closed), { code: 'MIX_STREAM_SILENT' })
    assert.ok(bus.clock.monotonic() - begin <= 10_000)
  })

  it('is reaped after 30 minutes of silence, at both ends', async () => {
    const bus = new StreamBus('idle')
    const { stream, accepted } = await pairOf(bus)
    await bus.advance(25 * 60_000)
    await stream.writable.getWriter().write(new Uint8Array(1))
    await bus.advance(25 * 60_000)
    await accepted.writable.getWriter().write(new Uint8Array(1))
    const begin = bus.clock.monotonic()
    await assert.rejects(bus.until(stream.closed), { code: 'MIX_STREAM_IDLE' })
    // It may hear of it from the other side first.
    await assert.rejects(bus.until(accepted.closed), ({ code }: MixError) => /^MIX_STREAM_(IDLE|RESET)$/.test(code))
    assert.ok(bus.clock.monotonic() - begin >= 29 * 60_000)
  })

  it('gives up on the signal, before it is open and after', async () => {
    const bus = new StreamBus('signal')
    const [alice, bob] = [bus.client(), bus.client()]
    const streams = bob.mux.incoming()
    const reason = new Error('changed my mind')
    const aborted = alice.mux.open(bob.address, { signal: AbortSignal.abort(reason) })
    await assert.rejects(aborted.opened, reason)
    assert.equal(bus.sent.filter(({ frame }) => frame.type === open).length, 0)
    const controller = new AbortController()
    const stream = alice.mux.open(bob.address, { signal: controller.signal })
    const accepted = await bus.until(first(streams))
    await bus.until(stream.opened)
    controller.abort(reason)
    await assert.rejects(stream.closed, reason)
    await assert.rejects(bus.until(accepted.closed), { code: 'MIX_STREAM_RESET' })
  })

  it('tells errors of the arguments by its promises', async () => {
    const { mux, address } = new StreamBus('arguments').client()
    await assert.rejects(mux.open('nobody').opened, { code: 'MIX_ADDRESS' })
    for (const replySurbs of [0, -1, 501, 1.5])
      await assert.rejects(mux.open(address, { replySurbs }).closed, { code: 'MIX_REPLY_SURBS' })
    const writer = mux.open(address).writable.getWriter()
    await assert.rejects(writer.write('text' as never), { code: 'MIX_MESSAGE_DATA' })
  })

  it('ends with its client, which tells the peer', async () => {
    const bus = new StreamBus('close')
    const { alice, bob, streams, stream, accepted } = await pairOf(bus)
    const closed = new Error('closed') as never
    alice.mux.close(closed)
    await assert.rejects(stream.closed, closed)
    await assert.rejects(bus.until(accepted.closed), { code: 'MIX_STREAM_RESET' })
    await assert.rejects(alice.mux.open(bob.address).opened, closed)
    const waiting = streams.next()
    bob.mux.close(closed)
    assert.deepEqual(await waiting, { done: true, value: undefined })
    assert.equal((await streams.next()).done, true)
  })
})

describe('incoming streams', () => {
  it('stay bounded under a hundred thousand opens without data', async () => {
    const bus = new StreamBus('opens', 0)
    const bob = bus.client()
    const streams = bob.mux.incoming()
    const mallory = bus.endpoint()
    const openOf = (id: bigint) =>
      encodeStreamFrame({ streamId: id, type: open, sequence: 0, reserved: 1, content: NOTHING })
    let answers = 0
    mallory.intercept(() => {
      answers++
      return true
    })
    const send = (from: number, to: number) => {
      for (let id = from; id < to; id++) {
        bob.end.learn('t', mallory.address)
        bob.end.arrived(openOf(BigInt(id)), { senderTag: 't', repliedBy: undefined })
      }
    }
    send(0, 100_000)
    await bus.advance(50)
    assert.equal(bob.drops.filter((reason) => reason === 'stream-refused').length, 100_000 - 64)
    assert.ok(answers <= 128, `${answers} answers`)
    // The app takes them, and more come: up to 1024 in all.
    for (let taken = 0; taken < 64; taken++) await first(streams)
    for (let round = 0; round < 30; round++) {
      send(200_000 + 64 * round, 200_064 + 64 * round)
      for (let taken = 0; taken < 64 && round < 15; taken++) await first(streams)
    }
    assert.equal(bob.drops.filter((reason) => reason === 'stream-refused').length, 100_000 - 64 + 15 * 64)
  })

  it('are refused when too many wait, and when nobody reads them any more', async () => {
    const bus = new StreamBus('refused')
    const [alice, bob] = [bus.client(), bus.client()]
    const streams = bob.mux.incoming()
    const opened = Array.from({ length: 65 }, () => alice.mux.open(bob.address))
    const outcomes = await bus.until(Promise.allSettled(opened.map((stream) => stream.opened)))
    await bus.advance(2000)
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    assert.equal(refused.length, 1)
    assert.equal((refused[0] as PromiseRejectedResult).reason.code, 'MIX_STREAM_REFUSED')
    await streams.return?.()
    const left = opened.filter((_, at) => outcomes[at]?.status === 'fulfilled')
    for (const stream of left) await assert.rejects(bus.until(stream.closed), { code: 'MIX_STREAM_REFUSED' })
    await assert.rejects(bus.until(alice.mux.open(bob.address).opened), { code: 'MIX_STREAM_REFUSED' })
  })

  it('hold no more than 128 MiB that nobody reads, and 16 of one official peer', async () => {
    const bus = new StreamBus('held')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    bob.end.learn('t', 'gone')
    const content = new Uint8Array(4 * 1_048_576)
    // The same bytes each time: what counts is what they are taken for.
    const bytes = encodeStreamFrame({ streamId: 0n, type: open, sequence: 0, reserved: 0, content })
    const arrive = (streamId: bigint, type: number, sequence: number) => {
      bytes.set(encodeStreamFrame({ streamId, type, sequence, reserved: 0, content: NOTHING }))
      bob.end.arrived(bytes, { senderTag: 't', repliedBy: undefined })
    }
    const begin = async (id: bigint, frames: number) => {
      arrive(id, open, 0)
      for (let sequence = 0; sequence < frames; sequence++) arrive(id, data, sequence)
      return first(streams)
    }
    const greedy = await begin(100n, 3)
    arrive(100n, data, 3)
    await assert.rejects(greedy.closed, { code: 'MIX_STREAM_OVERFLOW', message: /app has read/ })
    const accepted: IncomingStream[] = []
    for (let id = 0n; id < 8n; id++) accepted.push(await begin(id, 3))
    await accepted[0]!.readable.cancel()
    await begin(10n, 2)
    const one = await begin(11n, 0)
    arrive(11n, data, 0)
    await assert.rejects(one.closed, { code: 'MIX_STREAM_OVERFLOW', message: /128 MiB/ })
    await accepted[1]!.readable.cancel()
    const { value } = await (await begin(12n, 0)).readable.getReader().read()
    assert.equal(value?.length, content.length)
  })

  it('open once, and need a sender tag', async () => {
    const bus = new StreamBus('once')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    const frame = { streamId: 5n, type: open, sequence: 0, reserved: 0, content: new Uint8Array([9]) }
    bob.end.learn('t', 'gone')
    bob.end.arrived(encodeStreamFrame(frame), { senderTag: undefined, repliedBy: undefined })
    bob.end.arrived(encodeStreamFrame(frame), { senderTag: 't', repliedBy: undefined })
    bob.end.arrived(encodeStreamFrame(frame), { senderTag: 't', repliedBy: undefined })
    const accepted = await first(streams)
    assert.equal(accepted.senderTag, 't')
    assert.equal(accepted.id, 5n)
    // The content of an Open is what is read first.
    assert.deepEqual((await accepted.readable.getReader().read()).value, new Uint8Array([9]))
    assert.deepEqual(bob.drops, ['stream-frame-of-stranger', 'stream-opened-twice'])
    assert.equal(bob.end.messages.length, 0)
  })

  it('keep frames that come before the Open for ten seconds, and no more of them than fits', async () => {
    const bus = new StreamBus('orphans')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    bob.end.learn('t', 'gone')
    const arrive = (streamId: bigint, type: number, sequence = 0) => {
      const frame = {
        streamId,
        type,
        sequence,
        reserved: 0,
        content: type === data ? new Uint8Array([sequence]) : NOTHING,
      }
      bob.end.arrived(encodeStreamFrame(frame), { senderTag: 't', repliedBy: undefined })
    }
    arrive(1n, data, 1)
    arrive(1n, data, 0)
    arrive(1n, open)
    const accepted = await first(streams)
    const reader = accepted.readable.getReader()
    assert.deepEqual((await reader.read()).value, new Uint8Array([0]))
    assert.deepEqual((await reader.read()).value, new Uint8Array([1]))
    for (let frame = 0; frame < 40; frame++) arrive(2n, data, frame)
    assert.equal(bob.drops.length, 8)
    for (let id = 10n; id < 74n; id++) arrive(id, data)
    // The oldest went.
    assert.equal(bob.drops.length, 8 + 32)
    await bus.advance(8900)
    assert.equal(bob.drops.length, 8 + 32)
    await bus.advance(3000)
    assert.equal(bob.drops.length, 8 + 32 + 64)
    assert.ok(bob.drops.every((reason) => reason === 'stream-frame-orphaned'))
  })

  it('that an earlier run had are refused, so that the opener need not wait', async () => {
    const bus = new StreamBus('restart')
    const again = bus.client()
    again.mux.incoming()
    const lost = encodeStreamFrame({ streamId: 3n, type: data, sequence: 4, reserved: 1, content: new Uint8Array(1) })
    const opener = bus.endpoint()
    const answers: Uint8Array[] = []
    opener.intercept(({ data }) => answers.push(data) > 0)
    opener.send(again.address, lost, { anonymous: true })
    await bus.advance(13_000)
    assert.equal(answers.length, 1)
    assert.equal(answers[0]?.[15], 4)
  })
})

describe('a stream with an official peer', () => {
  it('that opens it needs nothing but Open and Data', async () => {
    const bus = new StreamBus('official opens')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    const peer = new OfficialPeer(bus)
    peer.open(bob.address, 77n)
    const there = chunks('official', 300_000)
    for (const chunk of there) peer.write(77n, chunk)
    const accepted = await bus.until(first(streams))
    const reader = accepted.readable.getReader()
    let bytes = 0
    const all: Uint8Array[] = []
    while (bytes < 300_000) {
      const { value } = await bus.until(reader.read())
      all.push(value!)
      bytes += value!.length
    }
    assert.ok(Buffer.from(concatBytes(...all)).equals(concatBytes(...there)))
    // One write is one message.
    const back = [new Uint8Array(3).fill(1), new Uint8Array(70_000).fill(2), new Uint8Array(1).fill(3)]
    await bus.until(writeAll(accepted, back))
    const read = peer.read.get(77n)!
    assert.deepEqual(
      read.map(({ length }) => length),
      [3, 65_536, 70_000 - 65_536, 1],
    )
    const frames = bus.sent.filter(({ from }) => from === bob.address).map(({ frame }) => frame)
    assert.ok(frames.every(({ reserved }) => reserved === 0))
    assert.deepEqual([...new Set(frames.map(({ type }) => type))].sort(), [data, openAck])
  })

  it('that accepts it gets nothing but Open and Data, with reply blocks each', async () => {
    for (const peerKind of ['nym-sdk', 'mixwright'] as const) {
      const bus = new StreamBus('official accepts')
      const alice = bus.client()
      const peer = new OfficialPeer(bus)
      const stream = alice.mux.open(peer.end.address, { peer: peerKind })
      const writer = stream.writable.getWriter()
      const there = chunks('there', 400_000)
      const written = (async () => {
        for (const chunk of there) await writer.write(chunk)
      })()
      await bus.advance(1500)
      // Who speaks first to an official client as to one of ours learns what it is by its answer.
      peer.write(stream.id, new Uint8Array([1, 2]))
      const reader = stream.readable.getReader()
      assert.deepEqual((await bus.until(reader.read())).value, new Uint8Array([1, 2]))
      await bus.until(stream.opened)
      await bus.until(written)
      await bus.until(writer.close())
      assert.ok(Buffer.from(concatBytes(...peer.read.get(stream.id)!)).equals(concatBytes(...there)))
      assert.equal(peer.refused, 0)
      const mine = bus.sent.filter(({ from }) => from === alice.address)
      if (peerKind === 'nym-sdk') {
        assert.ok(mine.every(({ replySurbs }) => replySurbs === 10))
        assert.ok(mine.every(({ frame }) => frame.reserved === 0))
      }
      stream.abort()
      await stream.closed
      await bus.advance(1000)
      assert.equal(peer.refused, 0)
    }
  })

  it('that is one of ours after all works as that', async () => {
    const bus = new StreamBus('plain')
    const [alice, bob] = [bus.client(), bus.client()]
    const streams = bob.mux.incoming()
    const stream = alice.mux.open(bob.address, { peer: 'nym-sdk' })
    const there = chunks('plain', 200_000)
    const written = writeAll(stream, there)
    const accepted = await bus.until(first(streams))
    await bus.until(written)
    await bus.until(writeAll(accepted, [new Uint8Array([5])]))
    assert.deepEqual((await bus.until(stream.readable.getReader().read())).value, new Uint8Array([5]))
    const read: Uint8Array[] = []
    const reader = accepted.readable.getReader()
    for (let bytes = 0; bytes < 200_000; bytes += read.at(-1)!.length)
      read.push((await bus.until(reader.read())).value!)
    assert.ok(Buffer.from(concatBytes(...read)).equals(concatBytes(...there)))
    assert.ok(bus.sent.every(({ frame }) => frame.reserved === 0))
  })

  it('answers pings with their nonce, and ignores what it does not know', async () => {
    const bus = new StreamBus('ping')
    const bob = bus.client()
    const streams = bob.mux.incoming()
    const peer = bus.endpoint()
    const answers: Uint8Array[] = []
    peer.intercept(({ data: bytes }) => answers.push(bytes) > 0)
    const send = (type: number, sequence: number, content = NOTHING) =>
      peer.send(bob.address, encodeStreamFrame({ streamId: 9n, type, sequence, reserved: 0, content }), {
        anonymous: true,
      })
    send(open, 0)
    const accepted = await bus.until(first(streams))
    send(ping, 0xdeadbeef)
    send(pong, 1)
    send(openAck, 2, new Uint8Array(20))
    send(5, 3)
    send(data, 0, new Uint8Array([4]))
    assert.deepEqual((await bus.until(accepted.readable.getReader().read())).value, new Uint8Array([4]))
    await bus.advance(2000)
    assert.deepEqual(answers.map((bytes) => bytes[10]).sort(), [openAck, pong])
    assert.deepEqual([...answers.find((bytes) => bytes[10] === pong)!.subarray(11, 15)], [0xde, 0xad, 0xbe, 0xef])
    assert.equal(bob.drops.length, 0)
  })

  it('skips a lost frame when 256 wait behind it, as that does', () => {
    const receiver = new StreamReceiver()
    for (let sequence = 1; sequence <= 256; sequence++) receiver.take(sequence, new Uint8Array(1), false, false)
    assert.equal(receiver.drain().length, 0)
    receiver.take(257, new Uint8Array(1), false, false)
    assert.equal(receiver.drain().length, 257)
    assert.equal(receiver.take(0, new Uint8Array(1), false, false), 'old')
    const ours = new StreamReceiver()
    for (let sequence = 1; sequence <= 1000; sequence++) ours.take(sequence, new Uint8Array(1), false, true)
    assert.equal(ours.drain().length, 0)
    assert.equal(ours.take(0, new Uint8Array(1), false, true), 'taken')
    assert.equal(ours.drain().length, 1001)
  })
})

describe('the halves of a stream', () => {
  it('put single bytes that nobody reads together, in order', async () => {
    const read: number[] = []
    const owner = { write: async () => {}, finish: async () => {}, abort: () => {}, read: (n: number) => read.push(n) }
    const streams = new ByteStreamPair(owner)
    const bytes = new SeededRandom('bytes').bytes(100_000)
    for (let at = 0; at < bytes.length; at++) streams.push(bytes.subarray(at, at + 1))
    assert.equal(streams.unreadBytes, 100_000)
    streams.end()
    const chunks: Uint8Array[] = []
    for await (const chunk of streams.readable) chunks.push(chunk)
    assert.deepEqual(concatBytes(...chunks), bytes)
    assert.equal(read.length, chunks.length)
    assert.ok(chunks.length <= 64 + 7, `${chunks.length} chunks`)
  })

  it('go on past the 2^32nd frame', () => {
    const start = 2 ** 32 - 2
    const [sender, receiver] = [new StreamSender(start), new StreamReceiver(start)]
    for (let byte = 0; byte < 5; byte++) sender.write(new Uint8Array([byte]))
    const frames = Array.from({ length: 5 }, () => sender.next('ours', true)!)
    assert.deepEqual(
      frames.map(({ index }) => index >>> 0),
      [2 ** 32 - 2, 2 ** 32 - 1, 0, 1, 2],
    )
    for (const { index, content } of frames.reverse())
      assert.equal(receiver.take(index >>> 0, content, false, true), 'taken')
    assert.deepEqual(concatBytes(...receiver.drain()), new Uint8Array([0, 1, 2, 3, 4]))
    assert.equal(receiver.take(2 ** 32 - 1, NOTHING, false, true), 'old')
  })

  it('never have so much under way that an official peer would skip', () => {
    const sender = new StreamSender()
    for (let count = 0; count < 1000; count++) sender.write(new Uint8Array(1))
    let sent = 0
    while (sender.next('official', true)) sent++
    assert.equal(sent, 128)
    // The oldest is missing still.
    for (let index = 1; index < sent; index++) sender.acknowledged(index)
    assert.equal(sender.next('official', true), undefined)
    sender.acknowledged(0)
    assert.ok(sender.next('official', true))
  })
})
