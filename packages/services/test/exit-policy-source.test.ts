/** Where an exit policy comes from: what is no policy fails closed, and a reload that fails changes nothing. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { type LogFields, type Logger, silentLogger, VirtualClock } from '@mixwright/runtime'
import { parseExitPolicy } from '@mixwright/wire'
import { type ExitPolicyChoice, ExitPolicySource } from '../src/index.js'

const HOUR_MS = 3_600_000
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/exit-policy.txt`
}

/** A source, what it counts, and a promise of the next reload. */
async function open(choice: ExitPolicyChoice) {
  const clock = new VirtualClock()
  const errors: LogFields[] = []
  const logger: Logger = { ...silentLogger, error: (fields) => errors.push(fields) }
  let told: (outcome: string) => void = () => {}
  const source = await ExitPolicySource.open(choice, { clock, logger, onReload: (outcome) => told(outcome) })
  cleanups.push(() => source.close())
  const afterAnHour = () =>
    new Promise<string>((resolve) => {
      told = resolve
      clock.advance(HOUR_MS)
    })
  return { source, clock, errors, afterAnHour }
}

async function policyFile(text: string) {
  const directory = await mkdtemp(join(tmpdir(), 'mixwright-policy-'))
  cleanups.push(() => rm(directory, { recursive: true }))
  const path = join(directory, 'exit-policy.txt')
  await writeFile(path, text)
  return path
}

const FIRST = '# ours\nExitPolicy reject *:25\nExitPolicy accept *:*\n'
const SECOND = 'ExitPolicy accept *:443'

describe('an exit policy', () => {
  it('is read from a file, and again every hour', async () => {
    const path = await policyFile(FIRST)
    const { source, errors, afterAnHour } = await open({ kind: 'file', path })
    assert.deepEqual(source.current, parseExitPolicy(FIRST))
    assert.deepEqual([source.upstream, source.isOpen], ['', false])
    await writeFile(path, SECOND)
    assert.equal(await afterAnHour(), 'done')
    assert.deepEqual(source.current, parseExitPolicy(SECOND))
    for (const broken of ['nonsense', '', 'ExitPolicy accept *:0-99999']) {
      await writeFile(path, broken)
      assert.equal(await afterAnHour(), 'failed')
      assert.deepEqual(source.current, parseExitPolicy(SECOND))
    }
    await rm(path)
    assert.equal(await source.reload(), false)
    assert.equal(errors.length, 4)
    await writeFile(path, FIRST)
    assert.equal(await source.reload(), true)
    assert.deepEqual(source.current, parseExitPolicy(FIRST))
  })

  it('is fetched from a URL, which it tells', async () => {
    let text = FIRST
    const url = await serve((_, response) => response.end(text))
    const { source, afterAnHour } = await open({ kind: 'url', url })
    assert.equal(source.upstream, url)
    text = SECOND
    assert.equal(await afterAnHour(), 'done')
    assert.deepEqual(source.current, parseExitPolicy(SECOND))
  })

  it('is everything when open, and never read again', async () => {
    const { source, clock } = await open({ kind: 'open' })
    assert.deepEqual(source.current, parseExitPolicy('ExitPolicy accept *:*'))
    assert.deepEqual([source.isOpen, clock.pending], [true, 0])
  })

  const answers: [string, RequestListener][] = [
    ['a page that is not there', (_, response) => response.writeHead(404).end('ExitPolicy accept *:*')],
    ['a page of HTML', (_, response) => response.end('<!doctype html><p>ExitPolicy accept *:*</p>')],
    ['nothing', (_, response) => response.end()],
    ['more than a megabyte', (_, response) => response.end('# comment\n'.repeat(200_000))],
    ['a connection that breaks', (request) => request.socket.destroy()],
  ]
  for (const [name, answer] of answers)
    it(`fails closed on ${name}`, async () => {
      const url = await serve(answer)
      await assert.rejects(open({ kind: 'url', url }), { code: 'MIX_EXIT_POLICY_UNAVAILABLE', retry: true })
    })

  it('fails closed on a file that is missing or wrong, and names the line', async () => {
    await assert.rejects(open({ kind: 'file', path: '/nowhere/exit-policy.txt' }), {
      code: 'MIX_EXIT_POLICY_UNAVAILABLE',
    })
    const path = await policyFile('ExitPolicy accept *:80\nExitPolicy accept *:x')
    await assert.rejects(open({ kind: 'file', path }), ({ code, cause }) => {
      assert.deepEqual([code, cause.code, cause.data.line], ['MIX_EXIT_POLICY_UNAVAILABLE', 'MIX_EXIT_POLICY', 2])
      return true
    })
  })

  it('does not wait for a server that is silent', async () => {
    const clock = new VirtualClock()
    let asked: () => void = () => {}
    const asking = new Promise<void>((resolve) => {
      asked = resolve
    })
    const url = await serve(() => asked())
    const opening = ExitPolicySource.open({ kind: 'url', url }, { clock, logger: silentLogger })
    await asking
    clock.advance(30_000)
    await assert.rejects(opening, { code: 'MIX_EXIT_POLICY_UNAVAILABLE' })
    assert.equal(clock.pending, 0)
  })
})
