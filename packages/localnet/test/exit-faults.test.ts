/**
 * What goes wrong between an app and a destination behind an exit, one thing at a time, on virtual networks: links that break, an exit
 * that dies or stands still, destinations of all bad kinds. No connection hangs, and nothing is left of any.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Exit } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'
import { dataOf, hashOf } from './scripted-destination.js'
import { HOME, MUTE_NAME, PORTS, SITE } from './virtual-destinations.js'
import { download, onVirtualExits, order, readAll, upload, type VirtualExits } from './virtual-exit.js'

const SECOND = 1000
const KILOBYTES = 1000
const BYTES = 300 * KILOBYTES

/** Nothing may take longer, virtual milliseconds: five minutes of silence end every connection. */
const NO_HANG_MS = 400 * SECOND

/** `done`, or the code of the typed error. */
async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'done'
  } catch (error) {
    if (!(error instanceof MixError)) throw error
    return error.code
  }
}

const MODES = [
  { mode: 'by reply blocks', anonymous: true },
  { mode: 'to an address', anonymous: false },
]

interface Options {
  readonly clients?: readonly string[]
  readonly gateways?: number
}

/** `app` is a client of the first gateway, `exit` of the second. */
function scene(
  t: { readonly name: string },
  { clients = ['app', 'exit'], gateways = 2 }: Options,
  scenario: (exits: VirtualExits) => Promise<void>,
): Promise<void> {
  return onVirtualExits({ seed: t.name, mixes: 3, gateways, clients }, async (exits) => {
    await scenario(exits)
    await exits.quieten()
  })
}

/** Begin a download, and wait until a third of it is there. */
async function begun(
  exits: VirtualExits,
  exit: Exit,
  abort?: AbortSignal,
): Promise<{ readonly outcome: Promise<string>; readonly requester: string }> {
  const connection = await exits.network.during(order(exit, { kind: 'source', bytes: BYTES, seed: 1 }, abort))
  let seen = 0
  const reading = readAll(connection, (bytes) => {
    seen = bytes
  })
  const checked = async () => {
    const [data] = await Promise.all([reading, connection.writable.close()])
    assert.equal(hashOf(data), hashOf(dataOf(1, BYTES)))
    await connection.closed
  }
  const outcome = outcomeOf(checked())
  await exits.network.until(() => seen > BYTES / 3, 120 * SECOND)
  assert.ok(seen < BYTES)
  return { outcome, requester: connection.requester }
}

/** How it ends, within `limitMs`. */
const ended = (exits: VirtualExits, outcome: Promise<string>, limitMs = NO_HANG_MS) =>
  exits.network.during(outcome, limitMs)

describe('faults of the network', () => {
  for (const { mode, anonymous } of MODES)
    it(`5 % of all writes reset their link: 300 kB arrive in both directions, ${mode}`, (t) =>
      scene(t, {}, async (exits) => {
        const { network } = exits
        const exit = exits.open('app', ['exit'], { anonymous })
        for (const path of network.faults.links()) path.resetProbability = 0.05
        await network.during(Promise.all([download(exit, BYTES, 1), upload(exit, BYTES, 2)]))
        for (const path of network.faults.links()) path.resetProbability = 0
        assert.ok(network.conservation(3).lostInLinks > 20)
      }))

  for (const { mode, anonymous } of MODES)
    it(`the gateway of the app is killed for half a minute in the middle of a download ${mode}: it goes on, or is an error`, (t) =>
      scene(t, {}, async (exits) => {
        const { network } = exits
        const { outcome } = await begun(exits, exits.open('app', ['exit'], { anonymous }))
        await network.faults.kill('gateway1')
        await network.advance(30 * SECOND)
        await network.faults.restart('gateway1')
        const end = await ended(exits, outcome)
        t.diagnostic(end)
        assert.ok(['done', 'MIX_EXIT_RESET', 'MIX_EXIT_SILENT'].includes(end), end)
        // And afterwards everything is as before.
        await network.during(download(exits.open('app', ['exit'], { anonymous }), 50 * KILOBYTES, 2), NO_HANG_MS)
      }))

  for (const { mode, anonymous } of MODES)
    it(`the gateway of the exit is killed for half a minute in the middle of a download ${mode}: it goes on, or is an error`, (t) =>
      scene(t, {}, async (exits) => {
        const { network } = exits
        const { outcome } = await begun(exits, exits.open('app', ['exit'], { anonymous }))
        await network.faults.kill('gateway2')
        await network.advance(30 * SECOND)
        await network.faults.restart('gateway2')
        const end = await ended(exits, outcome)
        t.diagnostic(end)
        assert.ok(['done', 'MIX_EXIT_RESET', 'MIX_EXIT_SILENT'].includes(end), end)
        await network.during(download(exits.open('app', ['exit'], { anonymous }), 50 * KILOBYTES, 2), NO_HANG_MS)
      }))

  for (const client of ['app', 'exit'])
    for (const { mode, anonymous } of MODES)
      it(`the link of the ${client} to its gateway breaks again and again, ${mode}: all ends, well or by an error`, (t) =>
        scene(t, {}, async (exits) => {
          const { network } = exits
          const exit = exits.open('app', ['exit'], { anonymous })
          const path = network.faults.link(client, client === 'app' ? 'gateway1' : 'gateway2')
          path.resetProbability = 0.004
          const work = Array.from({ length: 6 }, (_, i) =>
            outcomeOf(i % 2 === 0 ? download(exit, 100 * KILOBYTES, i) : upload(exit, 100 * KILOBYTES, i)),
          )
          const ends = await network.during(Promise.all(work), 2 * NO_HANG_MS)
          path.resetProbability = 0
          t.diagnostic(ends.join(' '))
          const wrong = ends.filter((end) => !['done', 'MIX_EXIT_RESET', 'MIX_EXIT_SILENT'].includes(end))
          assert.deepEqual(wrong, [])
          assert.ok(network.conservation(3).pushesLost > 0)
        }))

  it('the directory is away: what is open goes on, and new connections open', (t) =>
    scene(t, {}, async (exits) => {
      const { network } = exits
      const exit = exits.open('app', ['exit'])
      const { outcome } = await begun(exits, exit)
      network.directory.away = true
      assert.equal(await ended(exits, outcome), 'done')
      await network.during(download(exit, 10 * KILOBYTES, 2))
      network.directory.away = false
    }))
})

describe('faults of an exit', () => {
  for (const { mode, anonymous } of MODES)
    it(`is killed in the middle of a download ${mode}: an error within its time, and the request is repeated elsewhere`, (t) =>
      scene(t, { clients: ['app', 'exit1', 'exit2'] }, async (exits) => {
        const { network } = exits
        const { clock } = network.world
        const exit = exits.open('app', ['exit1', 'exit2'], { anonymous, silenceMs: 20 * SECOND })
        const { outcome, requester } = await begun(exits, exit)
        const killed = network.clients.find(({ address }) => address === requester)!
        const killedMs = clock.monotonic()
        await network.faults.kill(killed.name)
        assert.equal(await ended(exits, outcome), 'MIX_EXIT_SILENT')
        // It is asked after ten seconds of silence.
        const tookMs = clock.monotonic() - killedMs
        assert.ok(tookMs < 35 * SECOND, `it took ${tookMs} ms`)
        const again = await network.during(order(exit, { kind: 'source', bytes: 10 * KILOBYTES, seed: 2 }))
        assert.notEqual(again.requester, requester)
        const [data] = await network.during(Promise.all([readAll(again), again.writable.close()]))
        assert.equal(hashOf(data), hashOf(dataOf(2, 10 * KILOBYTES)))
      }))

  it('is killed before it answers a Connect: the connection opens through another', (t) =>
    scene(t, { clients: ['app', 'exit1', 'exit2'] }, async (exits) => {
      const { network } = exits
      const exit = exits.open('app', ['exit1', 'exit2'])
      await network.during(download(exit, KILOBYTES, 1))
      const [best] = exit.requesters
      await network.faults.kill(network.clients.find(({ address }) => address === best)!.name)
      await network.during(download(exit, KILOBYTES, 2), 45 * SECOND)
    }))

  for (const { mode, anonymous } of MODES)
    it(`stands still for 20 s in the middle of a download ${mode}: it goes on`, (t) =>
      scene(t, {}, async (exits) => {
        const { network } = exits
        const { outcome } = await begun(exits, exits.open('app', ['exit'], { anonymous }))
        network.faults.pause('exit')
        await network.advance(20 * SECOND)
        network.faults.resume('exit')
        assert.equal(await ended(exits, outcome), 'done')
      }))

  it('comes back as another program that knows no connection: they end at once or as silent, new ones open', (t) =>
    scene(t, {}, async (exits) => {
      const { network } = exits
      const exit = exits.open('app', ['exit'])
      const { outcome } = await begun(exits, exit)
      await network.faults.kill('exit')
      await network.faults.restart('exit')
      await exits.serve('exit')
      const end = await ended(exits, outcome)
      t.diagnostic(end)
      assert.ok(['MIX_EXIT_RESET', 'MIX_EXIT_SILENT'].includes(end), end)
      await network.during(download(exit, 10 * KILOBYTES, 2), NO_HANG_MS)
    }))
})

describe('destinations that are none', () => {
  const cases = [
    {
      what: 'the name is unknown',
      host: 'nowhere.example',
      port: PORTS.open,
      code: 'MIX_EXIT_UNKNOWN_HOST',
      withinMs: SECOND,
    },
    {
      what: 'its name server is silent',
      host: MUTE_NAME,
      port: PORTS.open,
      code: 'MIX_EXIT_TIMED_OUT',
      withinMs: 17 * SECOND,
    },
    { what: 'the policy forbids the port', host: SITE, port: 25, code: 'MIX_EXIT_POLICY_REFUSED', withinMs: SECOND },
    {
      what: 'it is on the exit itself',
      host: HOME,
      port: PORTS.open,
      code: 'MIX_EXIT_POLICY_REFUSED',
      withinMs: SECOND,
    },
    { what: 'it refuses', host: SITE, port: PORTS.refused, code: 'MIX_EXIT_CONNECTION_REFUSED', withinMs: SECOND },
    {
      what: 'it cannot be reached',
      host: SITE,
      port: PORTS.unreachable,
      code: 'MIX_EXIT_HOST_UNREACHABLE',
      withinMs: SECOND,
    },
    { what: 'it never answers', host: SITE, port: PORTS.silent, code: 'MIX_EXIT_TIMED_OUT', withinMs: 17 * SECOND },
  ]
  for (const { mode, anonymous } of MODES)
    it(`are told apart in time, ${mode}`, (t) =>
      scene(t, {}, async (exits) => {
        const { network } = exits
        const { clock } = network.world
        const exit = exits.open('app', ['exit'], { anonymous })
        for (const { what, host, port, code, withinMs } of cases) {
          const startedMs = clock.monotonic()
          const end = await network.during(outcomeOf(exit.connect({ host, port })), NO_HANG_MS)
          assert.equal(end, code, what)
          const tookMs = clock.monotonic() - startedMs
          assert.ok(tookMs < withinMs, `${what}: it took ${tookMs} ms`)
        }
      }))
})

describe('destinations of a bad kind', () => {
  for (const { mode, anonymous } of MODES)
    it(`that accept and say nothing keep their connection, until the app gives it up, ${mode}`, (t) =>
      scene(t, {}, async (exits) => {
        const { network, destinations } = exits
        const [{ requester }] = exits.requesters as [(typeof exits.requesters)[0]]
        const exit = exits.open('app', ['exit'], { anonymous })
        const connection = await network.during(order(exit, { kind: 'silent' }))
        const end = outcomeOf(connection.closed)
        await network.advance(900 * SECOND)
        assert.deepEqual([requester.connections, destinations.connections], [1, 1])
        connection.abort()
        assert.equal(await ended(exits, end, SECOND), 'MIX_EXIT_CLOSED')
        await network.until(() => destinations.connections === 0, 5 * SECOND)
      }))

  it('that trickle for longer than a silence may last are waited for, by who has nothing more to send', (t) =>
    scene(t, {}, async (exits) => {
      const { network } = exits
      const connection = await network.during(
        order(exits.open('app', ['exit']), { kind: 'trickle', bytes: 400, seed: 3 }),
      )
      const [data] = await network.during(Promise.all([readAll(connection), connection.writable.close()]), 450 * SECOND)
      assert.equal(hashOf(data), hashOf(dataOf(3, 400)))
      await network.during(connection.closed, 5 * SECOND)
    }))

  for (const { mode, anonymous } of MODES)
    it(`that break off in the middle are an error at the app, ${mode}`, (t) =>
      scene(t, {}, async (exits) => {
        const { network } = exits
        const exit = exits.open('app', ['exit'], { anonymous })
        const connection = await network.during(order(exit, { kind: 'reset', bytes: 50 * KILOBYTES, seed: 4 }))
        assert.equal(await ended(exits, outcomeOf(readAll(connection)), 30 * SECOND), 'MIX_EXIT_RESET')
        assert.equal(await ended(exits, outcomeOf(connection.closed), SECOND), 'MIX_EXIT_RESET')
      }))

  for (const { mode, anonymous } of MODES)
    it(`that send without end to an app that does not read are stopped, and others go on meanwhile, ${mode}`, (t) =>
      scene(t, {}, async (exits) => {
        const { network, destinations } = exits
        const [{ requester }] = exits.requesters as [(typeof exits.requesters)[0]]
        const exit = exits.open('app', ['exit'], { anonymous })
        const connection = await network.during(order(exit, { kind: 'endless' }))
        await network.advance(120 * SECOND)
        const sent = destinations.sentBytes
        assert.ok(sent > 1_000_000, `${sent} bytes were sent`)
        assert.ok(sent < 1.5 * 1024 ** 2, `${sent} bytes were sent`)
        await network.advance(120 * SECOND)
        assert.equal(destinations.sentBytes, sent, 'it goes on')
        assert.equal(requester.downloadBytes, 0)
        assert.equal(network.client('exit').client.status().queue.bytes, 0)
        assert.equal(network.client('app').client.status().inbox.bytes, 0)
        await network.during(
          Promise.all([download(exit, 50 * KILOBYTES, 5), upload(exit, 50 * KILOBYTES, 6)]),
          60 * SECOND,
        )
        // It is read after all: all that was sent comes, and goes on coming.
        const reader = connection.readable.getReader()
        let read = 0
        const reading = async () => {
          while (read < 1.2 * sent) read += (await reader.read()).value!.length
        }
        await network.during(reading(), 120 * SECOND)
        connection.abort()
        await network.until(() => destinations.connections === 0, 10 * SECOND)
      }))

  it('that do not read hold up who writes', (t) =>
    scene(t, {}, async (exits) => {
      const { network } = exits
      const [{ requester }] = exits.requesters as [(typeof exits.requesters)[0]]
      const connection = await network.during(order(exits.open('app', ['exit']), { kind: 'endless' }))
      const writer = connection.writable.getWriter()
      let written = 0
      const writing = outcomeOf(
        (async () => {
          for (;;) {
            await writer.write(new Uint8Array(10_000))
            written += 10_000
          }
        })(),
      )
      await network.advance(120 * SECOND)
      const before = written
      await network.advance(60 * SECOND)
      assert.equal(written, before, 'it goes on')
      assert.ok(written > 1_000_000 && written < 1.5 * 1024 ** 2, `${written} bytes were written`)
      assert.ok(requester.uploadBytes <= 1024 ** 2, `${requester.uploadBytes} bytes wait`)
      connection.abort()
      assert.equal(await ended(exits, writing, SECOND), 'MIX_EXIT_CLOSED')
    }))
})

describe('clients that vanish', () => {
  for (const { mode, anonymous } of MODES)
    it(`in the middle of downloads are forgotten within minutes, ${mode}`, (t) =>
      scene(t, {}, async (exits) => {
        const { network, destinations } = exits
        const [{ requester }] = exits.requesters as [(typeof exits.requesters)[0]]
        const exit = exits.open('app', ['exit'], { anonymous })
        const orders = [{ kind: 'silent' }, { kind: 'endless' }, { kind: 'trickle', bytes: 1e6 }] as const
        await network.during(Promise.all(orders.map((one) => order(exit, one))))
        await begun(exits, exit)
        assert.equal(requester.connections, orders.length + 1)
        await network.faults.kill('app')
        await network.until(() => requester.connections === 0, 600 * SECOND)
        await network.until(() => destinations.connections === 0, SECOND)
      }))
})
