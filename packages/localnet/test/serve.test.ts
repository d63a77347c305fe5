/** `serve` on a real network: anonymous clients, restarts, load, an orderly end, and how it is watched. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { SeededRandom, silentLogger } from '@mixwright/runtime'
import {
  type MessageHandler,
  type ServeOptions,
  type Service,
  type ServiceHandlers,
  serve,
  startEcho,
} from '@mixwright/services'
import { Network } from '../src/index.js'
import { Correspondent } from './correspondent.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-serve-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let net: Network
before(async () => {
  net = await Network.start({ gateways: 2 })
})
after(() => net?.close())

const start = (handler: MessageHandler | ServiceHandlers, options: ServeOptions = {}): Promise<Service> =>
  serve(handler, { ...net.access, profile: 'local', logger: silentLogger, ...options })
const guest = () => Correspondent.connect({ ...net.access, profile: 'local' })

/** Ask, and wait for the answer that begins with these words. */
async function ask(from: Correspondent, address: string, question: string, answer: string): Promise<string> {
  await from.client.send(address, question, { replySurbs: 5 }).acknowledged
  return (await from.message(answer)).text()
}

describe('a service', () => {
  it('answers clients whose addresses it never learns', async () => {
    await using service = await start((message) => `${message.senderTag?.length} you said ${message.text()}`)
    await using alice = await guest()
    assert.match(await ask(alice, service.address, 'hello', '2'), /^2\d you said hello$/)
  })

  it('is at the same address after a restart, handles what came meanwhile, and has its reply blocks', async () => {
    const options = { dataDirectory: join(scratch, 'restart') }
    const tags: string[] = []
    const handler: MessageHandler = (message) => {
      tags.push(message.senderTag!)
      return `answer to ${message.text()}`
    }
    const first = await start(handler, options)
    await using alice = await guest()
    await ask(alice, first.address, 'the first', 'answer to the first')
    await first.close()
    assert.equal(statSync(join(options.dataDirectory, 'service.sqlite')).mode & 0o077, 0)

    await alice.client.send(first.address, 'while it was down', { replySurbs: 5 }).acknowledged
    const second = await start(handler, options)
    assert.equal(second.address, first.address)
    await alice.message('answer to while it was down')
    await second.close()
    assert.equal(tags[0], tags[1])

    await using third = await start(handler, options)
    await third.client.reply(tags[0]!, 'news, unasked').acknowledged
    await alice.message('news, unasked')
  })

  it('handles again what a handler had not finished when it ended, and only that', async () => {
    const options = { dataDirectory: join(scratch, 'again') }
    let begun = () => {}
    const running = new Promise<void>((resolve) => {
      begun = resolve
    })
    const handled: string[] = []
    const first = await start(async (message) => {
      if (message.text() === 'slow') {
        begun()
        await new Promise(() => {})
      }
      handled.push(message.text())
      return `done: ${message.text()}`
    }, options)
    await using alice = await guest()
    await ask(alice, first.address, 'quick', 'done: quick')
    await alice.client.send(first.address, 'slow', { replySurbs: 5 }).acknowledged
    await running
    await first.close({ graceMs: 0 })

    await using second = await start((message) => {
      handled.push(message.text())
      return `done at last: ${message.text()}`
    }, options)
    await alice.message('done at last: slow')
    assert.deepEqual(handled, ['quick', 'slow'])
    assert.equal(second.health().messages.waiting, 0)
  })

  it('handles again what a killed process had not finished', async () => {
    const dataDirectory = join(scratch, 'killed')
    const program = `
      import { serve } from '@mixwright/services'
      const handler = (message) => (message.text() === 'slow' ? new Promise(() => {}) : 'done: ' + message.text())
      const { address } = await serve(handler, ${JSON.stringify({ ...net.access, profile: 'local', dataDirectory })})
      console.log(address)`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd: import.meta.dirname })
    const [line] = await once(child.stdout, 'data')
    const address = String(line).trim()
    await using alice = await guest()
    await alice.client.send(address, 'slow', { replySurbs: 5 }).acknowledged
    // Its answer is in the store, and so is all that came before it.
    await ask(alice, address, 'quick', 'done: quick')
    child.kill('SIGKILL')
    await once(child, 'close')

    const handled: string[] = []
    await using service = await start(
      (message) => {
        handled.push(message.text())
        return 'done at last'
      },
      { dataDirectory },
    )
    assert.equal(service.address, address)
    await alice.message('done at last')
    assert.equal(handled[0], 'slow')
  })

  it('sends the answers of handlers that ran when it was closed', async () => {
    let finish = (_answer: string) => {}
    let begun = () => {}
    const running = new Promise<void>((resolve) => {
      begun = resolve
    })
    const service = await start(() => {
      begun()
      return new Promise<string>((resolve) => {
        finish = resolve
      })
    })
    await using alice = await guest()
    await alice.client.send(service.address, 'question', { replySurbs: 5 }).acknowledged
    await running
    const closing = service.close()
    finish('the last word')
    await closing
    await alice.message('the last word')
  })

  it('takes a thousand messages with sixteen slow handlers at a time', async () => {
    let running = 0
    let most = 0
    await using service = await start(
      async (message) => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        running--
        return `r${message.text()}`
      },
      { concurrency: 16 },
    )
    await using alice = await guest()
    for (let i = 0; i < 1000; i++) alice.client.send(service.address, `${i}`.padStart(4, '0'), { replySurbs: 1 })
    await alice.until(() => alice.received.length === 1000)
    assert.equal(new Set(alice.texts).size, 1000)
    assert.ok(most <= 16, `${most} at once`)
    assert.equal(service.health().messages.handled, 1000)
  })

  it('takes streams beside messages; a handler that throws resets its stream', async () => {
    await using service = await start({
      message: (message) => message.text().toUpperCase(),
      stream: async (stream) => {
        const { value } = await stream.readable.getReader().read()
        if (new TextDecoder().decode(value) === 'bad') throw new Error('no')
        const writer = stream.writable.getWriter()
        await writer.write(new TextEncoder().encode(`${stream.senderTag.length} chars of tag`))
        await writer.close()
      },
    })
    await using alice = await guest()
    assert.equal(await ask(alice, service.address, 'both', 'BOTH'), 'BOTH')
    const say = async (text: string) => {
      const stream = alice.client.openStream(service.address)
      const writer = stream.writable.getWriter()
      await writer.write(new TextEncoder().encode(text))
      void writer.close().catch(() => {})
      return new Response(stream.readable).text()
    }
    assert.match(await say('good'), /^2\d chars of tag$/)
    await assert.rejects(say('bad'), { code: 'MIX_STREAM_RESET' })
    assert.equal(service.health().streams?.failed, 1)
  })

  it('is watched over HTTP, also while its gateway is away', async () => {
    await using service = await start((message) => message.text(), {
      health: { host: '127.0.0.1', port: 0 },
      gateway: net.gateway(0).identityKey,
    })
    const get = async (path: string) => (await fetch(`${service.healthUrl}${path}`)).text()
    await using alice = await Correspondent.connect({
      ...net.access,
      profile: 'local',
      gateway: net.gateway(1).identityKey,
    })
    await ask(alice, service.address, 'hello', 'hello')
    const { status, gateway, messages } = JSON.parse(await get('/health'))
    assert.deepEqual([status, gateway.identity, messages.handled], ['up', net.gateway(0).identityKey, 1])
    const metrics = await get('/metrics')
    assert.match(metrics, /^mixwright_service_messages_total\{outcome="handled"\} 1$/m)
    assert.match(metrics, /^mixwright_client_messages_received [1-9]\d*$/m)

    const down = new Promise<void>((resolve) => {
      service.client.on('gateway', ({ state }) => state === 'down' && resolve())
    })
    await net.gateway(0).stop()
    await down
    const away = await fetch(`${service.healthUrl}/health`)
    assert.equal(away.status, 503)
    const up = new Promise<void>((resolve) => {
      service.client.on('gateway', ({ state }) => state === 'up' && resolve())
    })
    await net.gateway(0).start()
    await up
    assert.equal(await ask(alice, service.address, 'back again', 'back again'), 'back again')
  })
})

it('the echo service sends back what it gets, by message and by stream', async () => {
  const echo = await startEcho({ ...net.access, profile: 'local', logger: silentLogger })
  await using alice = await guest()
  assert.equal(await ask(alice, echo.address, 'is there anybody?', 'is'), 'is there anybody?')
  const stream = alice.client.openStream(echo.address)
  const content = new SeededRandom('echo').bytes(20_000)
  const sending = new Blob([content]).stream().pipeTo(stream.writable)
  const echoed = new Uint8Array(await new Response(stream.readable).arrayBuffer())
  await sending
  await stream.closed
  assert.ok(Buffer.from(content).equals(echoed))
  await echo.close()
  assert.deepEqual(echo.health().streams, { handled: 1, failed: 0, refused: 0, open: 0 })
})
