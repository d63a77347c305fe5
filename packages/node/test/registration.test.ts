/** A node asks to be taken in: until it is, in growing pauses, and now and then after. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Logger, silentLogger, VirtualClock } from '@mixwright/runtime'
import type { SignedHostInformation } from '@mixwright/wire'
import { Registration } from '../src/network/registration.js'

const settled = () => new Promise((resolve) => setImmediate(resolve))

/** `answers` are statuses, or errors of the network; the last is repeated. */
function registration(answers: readonly (number | Error)[]) {
  const clock = new VirtualClock()
  const asked: { readonly url: string; readonly atMs: number; readonly body: Record<string, unknown> }[] = []
  const lines: string[] = []
  const line = (level: string) => (fields: object) =>
    void lines.push(`${level} ${(fields as { reason?: string }).reason ?? 'registered'}`)
  const logger: Logger = { ...silentLogger, info: line('info'), warn: line('warn') }
  const node = new Registration({
    directories: ['http://a.example/api/'],
    token: 'secret',
    clock,
    logger,
    host: '192.0.2.1',
    httpPort: 8080,
    hostInformation: () => ({ signature: 'x' }) as SignedHostInformation,
    fetch: async (url, init) => {
      asked.push({ url: String(url), atMs: clock.monotonic(), body: JSON.parse(String(init?.body)) })
      const answer = answers[Math.min(asked.length, answers.length) - 1]!
      if (typeof answer === 'number') return new Response('why', { status: answer })
      throw answer
    },
  })
  const times = () => asked.map(({ atMs }) => atMs)
  return { clock, asked, lines, node, times }
}

describe('registration', () => {
  it('says who it is and where, and again every half hour', async () => {
    const { clock, asked, lines, node, times } = registration([200])
    await settled()
    assert.deepEqual(asked[0], {
      url: 'http://a.example/api/v1/mixwright/register',
      atMs: 0,
      body: { host: '192.0.2.1', http_port: 8080, host_information: { signature: 'x' }, token: 'secret' },
    })
    for (let i = 0; i < 2; i++) {
      clock.nextEvent()
      await settled()
    }
    assert.deepEqual(times(), [0, 1_800_000, 3_600_000])
    assert.deepEqual(lines, ['info registered'])
    node.close()
    assert.equal(clock.pending, 0)
  })

  it('comes back soon to a directory that is away, later to one that refuses, and tells each fault once', async () => {
    const away = Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED' } })
    const { clock, lines, node, times } = registration([away, away, away, 403, 403, 200])
    await settled()
    for (let i = 0; i < 5; i++) {
      clock.nextEvent()
      await settled()
    }
    const pauses = times().map((at, i, all) => at - (all[i - 1] ?? 0))
    assert.deepEqual(pauses, [0, 1_000, 2_000, 4_000, 61_000, 122_000])
    assert.equal(lines.length, 3)
    assert.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      ['warn', 'warn', 'info'],
    )
    node.close()
  })

  it('ends with the node, also while a directory is silent', async () => {
    const clock = new VirtualClock()
    let reason: unknown
    const node = new Registration({
      directories: ['http://a.example/api'],
      clock,
      logger: silentLogger,
      host: '192.0.2.1',
      httpPort: 8080,
      hostInformation: () => ({ signature: 'x' }) as SignedHostInformation,
      fetch: (_url, init) =>
        new Promise((_resolve, reject) =>
          init!.signal!.addEventListener('abort', () => {
            reason = init!.signal!.reason
            reject(reason)
          }),
        ),
    })
    node.close()
    await settled()
    assert.ok(reason instanceof Error)
    assert.equal(clock.pending, 0)
  })
})
