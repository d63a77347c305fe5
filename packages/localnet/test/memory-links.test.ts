/** Links in memory behave as TCP does: order, back-pressure, refusals, ends, resets; and a cut way holds up without losing. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Link, LinkEvents } from '@mixwright/node'
import { memoryLinks } from '../src/virtual/memory-links.js'
import { Switchboard } from '../src/virtual/switchboard.js'
import { VirtualComputer, World } from '../src/virtual/world.js'

const PORT = 1789

/** One side of a link, and what happened on it. */
class Side implements LinkEvents {
  link: Link | undefined
  text = ''
  readonly events: string[] = []

  opened(): void {
    this.events.push('opened')
  }

  data(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString()
  }

  drained(): void {
    this.events.push('drained')
  }

  closed(): void {
    this.events.push('closed')
  }

  say(text: string, written?: (error?: Error) => void): void {
    this.link!.write([Buffer.from(text)], written)
  }
}

async function pair({ maximumLinks = 8, latencyMs = 10 } = {}) {
  const world = new World('links', latencyMs)
  const board = new Switchboard<Uint8Array>({ clock: world.clock, path: (a, b) => world.path(a, b) })
  const computers = { ann: new VirtualComputer(world, '10.0.0.1'), ben: new VirtualComputer(world, '10.0.0.2') }
  const served: Side[] = []
  let refusals = 0
  const server = await memoryLinks(board, computers.ben).listen(
    { host: '0.0.0.0', port: PORT },
    {
      maximumLinks,
      refused: () => refusals++,
      accepted(link) {
        const side = new Side()
        side.link = link
        served.push(side)
        return side
      },
    },
  )
  const dial = (port = PORT) => {
    const side = new Side()
    const address = { family: 4, host: '10.0.0.2', port } as const
    side.link = memoryLinks(board, computers.ann).connect(address, side)
    return side
  }
  return {
    world,
    board,
    ...computers,
    served,
    server,
    dial,
    path: world.path('10.0.0.1', '10.0.0.2'),
    refusals: () => refusals,
  }
}

describe('links in memory', () => {
  it('open after a round trip and carry bytes in order after the latency', async () => {
    const { world, served, dial } = await pair()
    const ann = dial()
    ann.say('before it is open, ')
    await world.advance(19)
    assert.deepEqual(ann.events, [])
    await world.advance(1.5)
    assert.deepEqual(ann.events, ['opened', 'drained'])
    ann.say('and after')
    await world.advance(9.9)
    assert.equal(served[0]!.text, 'before it is open, ')
    await world.advance(10.2)
    assert.equal(served[0]!.text, 'before it is open, and after')
    assert.equal(served[0]!.link!.remoteIp, '10.0.0.1')
  })

  it('keep the order under jitter', async () => {
    const { world, served, dial, path } = await pair()
    path.jitterMs = 500
    const ann = dial()
    const words = Array.from({ length: 50 }, (_, i) => `${i},`)
    for (const word of words) {
      ann.say(word)
      await world.advance(1)
    }
    await world.advance(2000)
    assert.equal(served[0]!.text, words.join(''))
  })

  it('are refused where nobody listens, and closed at once over the limit', async () => {
    const { world, dial, refusals, served, server } = await pair({ maximumLinks: 1 })
    const stranger = dial(1)
    const [first, second] = [dial(), dial()]
    await world.advance(100)
    assert.deepEqual(stranger.events, ['closed'])
    assert.deepEqual(first.events, ['opened'])
    assert.deepEqual(second.events, ['opened', 'closed'])
    assert.equal(refusals(), 1)
    assert.equal(served.length, 1)
    await server.close()
    const late = dial()
    await world.advance(100)
    assert.deepEqual(late.events, ['closed'])
  })

  it('hold the writer back when the reader does not read, and go on when it does', async () => {
    const { world, served, dial } = await pair()
    const ann = dial()
    await world.advance(30)
    served[0]!.link!.pause()
    let taken = 0
    for (let i = 0; i < 20; i++) ann.say('x'.repeat(50_000), () => taken++)
    await world.advance(1000)
    assert.equal(served[0]!.text.length, 0)
    assert.equal(taken, 6)
    assert.equal(ann.link!.bufferedBytes, 14 * 50_000)
    served[0]!.link!.resume()
    await world.advance(1000)
    assert.equal(served[0]!.text.length, 1_000_000)
    assert.equal(ann.link!.bufferedBytes, 0)
    assert.deepEqual(ann.events, ['opened', 'drained'])
  })

  it('lose at a reset exactly what is under way, and both sides hear of it', async () => {
    const { world, served, dial, path } = await pair()
    const ann = dial()
    ann.say('read')
    await world.advance(40)
    ann.say('lost')
    served[0]!.say('lost too')
    await world.advance(5)
    path.reset()
    await world.advance(100)
    assert.deepEqual([served[0]!.text, ann.text], ['read', ''])
    assert.deepEqual([served[0]!.events, ann.events.at(-1)], [['closed'], 'closed'])
    let error: Error | undefined
    ann.say('too late', (e) => {
      error = e
    })
    await world.advance(1)
    assert.ok(error)
    assert.equal(path.connections, 0)
  })

  it('lose nothing to a cut way: everything waits for the healing, new links too', async () => {
    const { world, served, dial, path } = await pair()
    const ann = dial()
    await world.advance(30)
    path.cut()
    ann.say('patience')
    const second = dial()
    await world.advance(60_000)
    assert.deepEqual([served[0]!.text, second.events], ['', []])
    path.heal()
    await world.advance(30)
    assert.equal(served[0]!.text, 'patience')
    assert.deepEqual(second.events, ['opened'])
    assert.deepEqual(served[0]!.events, [])
  })

  it('are accepted for a process that stands still, which reads when it goes on', async () => {
    const { world, ben, served, dial } = await pair()
    ben.process.pause()
    const ann = dial()
    ann.say('hello')
    await world.advance(1000)
    assert.deepEqual(ann.events, ['opened', 'drained'])
    assert.equal(served.length, 0)
    ben.process.resume()
    await world.advance(1)
    assert.equal(served[0]!.text, 'hello')
  })

  it('break when a process is killed, without a word to it; its port is free for the next', async () => {
    const { world, board, ben, served, dial, path } = await pair()
    const ann = dial()
    ann.say('hello')
    await world.advance(40)
    served[0]!.say('farewell')
    ben.process.kill()
    await world.advance(40)
    assert.equal(ann.text, 'farewell')
    assert.deepEqual(ann.events.at(-1), 'closed')
    assert.deepEqual(served[0]!.events, [])
    assert.equal(path.connections, 0)
    const meanwhile = dial()
    await world.advance(40)
    assert.deepEqual(meanwhile.events, ['closed'])
    ben.boot()
    const accepted = new Side()
    const options = { maximumLinks: 1, refused() {}, accepted: () => accepted }
    await memoryLinks(board, ben).listen({ host: '10.0.0.2', port: PORT }, options)
    const after = dial()
    after.say('again')
    await world.advance(40)
    assert.equal(accepted.text, 'again')
  })

  it('are slow where the way is', async () => {
    const { world, served, dial, path } = await pair()
    path.bytesPerSecond = 1000
    const ann = dial()
    for (let i = 0; i < 10; i++) ann.say('x'.repeat(100))
    await world.advance(535)
    assert.equal(served[0]!.text.length, 500)
    await world.advance(500)
    assert.equal(served[0]!.text.length, 1000)
  })

  it('break by chance from the seed, the same way each time', async () => {
    const run = async () => {
      const { world, dial, path, served } = await pair()
      path.resetProbability = 0.05
      const ends: number[] = []
      let ann = dial()
      for (let i = 0; i < 400; i++) {
        ann.say('x')
        await world.advance(5)
        if (ann.events.at(-1) !== 'closed') continue
        ends.push(i)
        ann = dial()
      }
      return { ends, received: served.reduce((sum, { text }) => sum + text.length, 0) }
    }
    const first = await run()
    assert.ok(first.ends.length >= 8 && first.ends.length <= 40, String(first.ends))
    assert.ok(first.received > 250 && first.received < 400)
    assert.deepEqual(await run(), first)
  })
})
