/**
 * `mixwright requester` as a child process on a real network: a connection through it, its policy, and what it refuses
 * to start with.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect, openExit } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { listenOn } from '@mixwright/runtime/node'
import { assertOneLine, Run } from './running-command.js'

const home = mkdtempSync(join(tmpdir(), 'mixwright-requester-'))
after(() => rmSync(home, { recursive: true, force: true }))

let network: Network
/** Serves the exit policy at /policy.txt, and is what the exit reaches. */
let web: Server
let webPort: number
let policyText = 'ExitPolicy accept *:*'
before(async () => {
  network = await Network.start({ gateways: 2 })
  web = createServer((_request, response) => void response.end(policyText))
  webPort = await listenOn(web, { host: '127.0.0.1', port: 0 })
})
after(async () => {
  web.closeAllConnections()
  web.close()
  await network.close()
})

const start = (args: readonly string[], env: Record<string, string> = {}) =>
  new Run(['requester', ...args], { ...network.environment, MIXWRIGHT_HOME: home, ...env })
const finish = (args: readonly string[], env: Record<string, string> = {}) => start(args, env).finished
const init = (id: string, ...args: readonly string[]) => finish(['init', '--id', id, '--profile', 'local', ...args])
const file = (id: string, name: string) => join(home, 'requesters', id, name)

/** What the web server answers through this requester. */
async function fetchThrough(requester: string, host = '127.0.0.1'): Promise<string> {
  await using client = await connect({ ...network.access, profile: 'local' })
  await using exit = await openExit(client, { requester })
  const connection = await exit.connect({ host, port: webPort })
  const writer = connection.writable.getWriter()
  await writer.write(new TextEncoder().encode('GET / HTTP/1.0\r\n\r\n'))
  return await new Response(connection.readable).text()
}

describe('mixwright requester', () => {
  it('is made, run and shown, reaches the world, and is the same after a restart', async () => {
    const made = await init('exit', '--open-proxy', '--allow-local-ips', '--gateway', network.gateway(1).identityKey)
    assert.equal(made.code, 0, made.stderr)
    assert.match(made.stdout, /^Requester +exit\nAddress +\S+@\S+\n/)
    for (const name of ['requester.toml', 'requester.json', 'requester.sqlite'])
      assert.equal(statSync(file('exit', name)).mode & 0o077, 0, name)
    const config = readFileSync(file('exit', 'requester.toml'), 'utf8')
    for (const line of ['openProxy = true', 'profile = "local"', '# healthPort = 9300'])
      assert.ok(config.includes(`\n${line}\n`), line)
    assertOneLine(await init('exit', '--open-proxy'), 'MIX_SERVER_EXISTS')

    const first = start(['run', '--id', 'exit', '--json', '--health-port', '0'])
    const { address, gateway, healthUrl, exitPolicy } = JSON.parse(await first.prints('\n'))
    assert.ok(made.stdout.includes(address))
    assert.deepEqual([gateway, exitPolicy], [network.gateway(1).identityKey, null])
    assert.match(await fetchThrough(address), /\r\n\r\nExitPolicy accept/)
    const health = (await (await fetch(`${healthUrl}/health`)).json()) as Record<string, unknown>
    assert.deepEqual([health.status, health.address, health.openProxy], ['up', address, true])
    const metrics = await (await fetch(`${healthUrl}/metrics`)).text()
    assert.match(metrics, /^mixwright_requester_connects_total\{outcome="connected"\} 1$/m)
    assert.match(metrics, /^mixwright_client_gateway_up 1$/m)
    assert.equal(metrics.includes('127.0.0.1'), false)

    const shown = JSON.parse((await finish(['show', '--id', 'exit', '--json'])).stdout)
    assert.deepEqual([shown.address, shown.storeFile], [address, file('exit', 'requester.sqlite')])
    assert.match((await finish(['run', '--id', 'exit'])).stderr, /MIX_STORE_LOCKED/)
    const { code, stderr } = await first.interrupt()
    assert.equal(code, 0)
    for (const warning of ['--open-proxy', '--allow-local-ips', '--profile local', 'no --authority'])
      assert.ok(stderr.includes(`mixwright: ${warning}`), warning)

    const second = start(['run', '--id', 'exit'])
    const printed = await second.prints('Ready. Stop with Ctrl-C.\n')
    assert.ok(printed.includes(address))
    assert.match(await fetchThrough(address), /^HTTP\/1.1 200/)
    assert.equal((await second.interrupt()).code, 0)
  })

  it('refuses local addresses unless allowed, and what the policy forbids', async () => {
    await init('strict', '--open-proxy')
    const strict = start(['run', '--id', 'strict', '--json'])
    const { address } = JSON.parse(await strict.prints('\n'))
    await assert.rejects(fetchThrough(address), { code: 'MIX_EXIT_POLICY_REFUSED' })
    await assert.rejects(fetchThrough(address, 'localhost'), { code: 'MIX_EXIT_POLICY_REFUSED' })
    assert.equal((await strict.interrupt()).code, 0)

    const policy = join(home, 'policy.txt')
    writeFileSync(policy, `ExitPolicy reject *:${webPort}\nExitPolicy accept *:*\n`)
    await init('chosen', '--exit-policy', policy, '--allow-local-ips')
    const chosen = start(['run', '--id', 'chosen', '--json'])
    const summary = JSON.parse(await chosen.prints('\n'))
    assert.equal(summary.exitPolicy, policy)
    await assert.rejects(fetchThrough(summary.address), { code: 'MIX_EXIT_POLICY_REFUSED' })
    assert.equal((await chosen.interrupt()).code, 0)
  })

  it('does not start without a policy that can be read', async () => {
    const none = await init('none')
    assert.equal(none.code, 2)
    assert.match(none.stderr, /--exit-policy is missing/)
    assert.equal((await init('none', '--open-proxy', '--exit-policy', 'x')).code, 2)
    const missing = await init('none', '--exit-policy', join(home, 'nowhere.txt'))
    assertOneLine(missing, 'MIX_EXIT_POLICY_UNAVAILABLE')
    const closed = await init('none', '--exit-policy', 'http://127.0.0.1:9/policy.txt')
    assertOneLine(closed, 'MIX_EXIT_POLICY_UNAVAILABLE')
    assert.equal(existsSync(join(home, 'requesters', 'none')), false)

    const url = `http://127.0.0.1:${webPort}/policy.txt`
    const made = await init('url', '--exit-policy', url)
    assert.equal(made.code, 0, made.stderr)
    const good = start(['run', '--id', 'url', '--json'])
    assert.equal(JSON.parse(await good.prints('\n')).exitPolicy, url)
    await good.interrupt()
    policyText = 'this is no policy'
    const { code, stdout, stderr } = await finish(['run', '--id', 'url'])
    policyText = 'ExitPolicy accept *:*'
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /MIX_EXIT_POLICY_UNAVAILABLE/)
  })

  it('is interrupted while it waits for its policy', async () => {
    await init('waits', '--open-proxy')
    let asked = () => {}
    const question = new Promise<void>((resolve) => {
      asked = resolve
    })
    const silent = createTcpServer((socket) => socket.on('error', () => {}).once('data', asked))
    const port = await listenOn(silent, { host: '127.0.0.1', port: 0 })
    const waiting = start([
      'run',
      '--id',
      'waits',
      '--open-proxy',
      'false',
      '--exit-policy',
      `http://127.0.0.1:${port}/`,
    ])
    await Promise.race([question, waiting.finished])
    const { code, stdout } = await waiting.interrupt()
    silent.close()
    assert.deepEqual([code, stdout], [0, ''])
  })

  it('says what is wrong with a command line, what to type, and takes the environment', async () => {
    const unknown = await finish(['run', '--id', 'nobody'])
    assertOneLine(unknown, 'MIX_SERVER_UNKNOWN')
    assert.match(unknown.stderr, /mixwright requester init --id nobody/)
    for (const [reason, ...args] of [
      [/--id/, 'init', '--open-proxy'],
      [/--connections/, 'init', '--id', 'x', '--open-proxy', '--connections', '0'],
      [/--directory is said twice/, 'init', '--id', 'x', '--nym-apis', 'http://a', '--directory', 'http://b'],
      [/unknown option/, 'run', '--id', 'x', '--bogus'],
    ] as const) {
      const { code, stderr } = await finish(args)
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, reason)
    }
    await init('env', '--open-proxy')
    const env = { MIXWRIGHT_REQUESTER_HEALTH_PORT: `${webPort}` }
    const taken = await finish(['run', '--id', 'env'], env)
    assert.equal(taken.code, 1)
    assert.match(taken.stderr, /MIX_PORT_IN_USE/)
    const { stdout } = await finish(['run', '--help'])
    assert.match(stdout, /--profile <name> +.*who watches/s)
  })
})
