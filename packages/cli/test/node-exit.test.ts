/**
 * `mixwright node run --exit` as a child process, in a real network: it waits, serves, is found and used, and ends; and what it
 * refuses.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect, openExit } from '@mixwright/client'
import { Directory } from '@mixwright/directory'
import { Network } from '@mixwright/localnet'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { Run } from './running-command.js'

const LOOPBACK = '127.0.0.1'
const home = mkdtempSync(join(tmpdir(), 'mixwright-home-'))
const file = (id: string, name: string) => join(home, 'nodes', id, name)
const start = (args: readonly string[], env: Record<string, string> = {}) =>
  new Run(['node', ...args], { MIXWRIGHT_HOME: home, ...env })
const finish = (args: readonly string[], env: Record<string, string> = {}) => start(args, env).finished
const init = (id: string, directory: string, ...args: readonly string[]) => {
  const ports = ['--host', LOOPBACK, '--mix-port', '0', '--http-port', '0', '--client-port', '0', '--drain-ms', '0']
  const all = [
    '--id',
    id,
    '--ips',
    LOOPBACK,
    '--directory',
    directory,
    '--role',
    'gateway',
    '--log',
    'silent',
    ...ports,
  ]
  return finish(['init', ...all, ...args])
}

let web: Server
let webUrl: string
/** Mix nodes; its directory knows nothing of the gateway, the one below reads both. */
let network: Network
before(async () => {
  web = createServer((_request, response) => void response.end('by the exit'))
  webUrl = `http://${LOOPBACK}:${await listenOn(web, { host: LOOPBACK, port: 0 })}/`
  network = await Network.start({ gateways: 1 })
})
after(async () => {
  web.closeAllConnections()
  web.close()
  await network.close()
  rmSync(home, { recursive: true, force: true })
})

/** What the web server answers by any exit that the directory lists. */
async function fetchByExit(directory: string): Promise<{ readonly body: string; readonly requester: string }> {
  await using client = await connect({ directory, profile: 'local' })
  await using exit = openExit(client)
  const connection = await exit.connect({ host: LOOPBACK, port: Number(new URL(webUrl).port) })
  const writer = connection.writable.getWriter()
  await writer.write(new TextEncoder().encode('GET / HTTP/1.0\r\n\r\n'))
  const answer = await new Response(connection.readable).text()
  return { body: answer.slice(answer.indexOf('\r\n\r\n') + 4), requester: connection.requester }
}

/** The network's directory and nodes are told of this node. */
async function admit({ httpUrl, identityKey }: { httpUrl: string; identityKey: string }): Promise<void> {
  await network.directory.join({ host: LOOPBACK, httpPort: Number(new URL(httpUrl).port), identityKey })
  await network.directory.refresh()
  for (const handle of [network.mix(0), network.mix(1), network.mix(2), network.gateway(0)])
    await handle.refreshTopology()
}

describe('mixwright node run --exit', () => {
  it('says what does not go together, before it makes anything', async () => {
    const wrong: readonly (readonly [RegExp, ...string[]])[] = [
      [/--exit-policy is missing: name a file or a URL, or say --open-proxy/, '--exit'],
      [/--open-proxy has no exit policy/, '--exit', '--open-proxy', '--exit-policy', 'x'],
      [/--exit is for gateways/, '--exit', '--open-proxy', '--role', 'mixnode'],
      [/--allow-local-ips is said twice/, '--exit', '--open-proxy', '--allow-local-ips', '--nr-allow-local-ips', 'no'],
    ]
    for (const [reason, ...args] of wrong) {
      const { code, stderr } = await init('wrong', 'http://127.0.0.1:1/api', ...args)
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, reason)
      assert.equal(existsSync(file('wrong', 'keys.json')), false)
    }
  })

  it('serves when there is a network, is listed, and is the same exit after a restart', async () => {
    const made = await init('exit', network.nymApiUrl, '--exit', '--open-proxy', '--nr-allow-local-ips')
    assert.equal(made.code, 0, made.stderr)
    assert.match(
      made.stdout,
      /^Exit +its address is drawn[^\n]*\nExit policy +none: an open proxy\nLocal IPs +allowed\n/m,
    )
    const run = start(['run', '--id', 'exit', '--json'])
    const summary = JSON.parse(await run.prints('\n'))
    const { httpUrl, identityKey, exit } = summary
    assert.deepEqual(exit, { address: null, exitPolicy: null, allowLocalIps: true })
    await run.complains('NO EXIT yet, this node is a plain gateway: ')
    await admit(summary)
    await run.complains('the exit serves: ')
    await network.directory.refresh()
    for (const option of ['--open-proxy', '--allow-local-ips']) await run.complains(`${option}: whoever`)
    const told = (await (await fetch(`${httpUrl}/api/v1/network-requester`)).json()) as { address: string }
    assert.ok(told.address.endsWith(`@${identityKey}`))
    const shown = JSON.parse((await finish(['show', '--id', 'exit', '--json'])).stdout)
    assert.equal(shown.exit.address, told.address)
    for (const name of ['client.sqlite', 'requester.json'])
      assert.equal(statSync(file('exit', `network-requester/${name}`)).mode & 0o077, 0, name)

    const fetched = await fetchByExit(network.nymApiUrl)
    assert.deepEqual(fetched, { body: 'by the exit', requester: told.address })
    const metrics = await (await fetch(`${httpUrl}/api/v1/metrics/prometheus`)).text()
    assert.match(metrics, /^mixwright_exit_serving 1$/m)
    assert.match(metrics, /^mixwright_requester_connects_total\{outcome="connected"\} 1$/m)
    run.child.kill('SIGTERM')
    assert.equal((await run.finished).code, 0)

    const again = start(['run', '--id', 'exit'])
    const text = await again.prints('Ready')
    assert.ok(text.includes(told.address))
    const [url] = /http:\/\/\S+(?=\/api\/v1)/.exec(text)!
    await admit({ httpUrl: url, identityKey })
    await again.complains(`the exit serves: ${told.address}`)
    assert.equal((await again.interrupt()).code, 0)
  })

  it('waits for a network, running as a plain gateway, and can be stopped meanwhile', async () => {
    const directory = await Directory.start({
      clock: new RealClock(),
      random: new SystemRandom(),
      logger: silentLogger,
      metrics: new MemoryMetrics(),
      crypto: await loadCryptoProvider(),
      listen: { host: LOOPBACK, port: 0 },
      nodes: [],
      epoch: { genesisMs: Date.now(), durationMs: 3_600_000, validityEpochs: 24 },
      allowLocalAddresses: true,
    })
    await init('early', directory.url, '--exit', '--open-proxy', '--allow-local-ips')
    const run = start(['run', '--id', 'early', '--json'])
    const { httpUrl, identityKey } = JSON.parse(await run.prints('\n'))
    await run.complains('NO EXIT yet, this node is a plain gateway: ')
    assert.equal((await fetch(`${httpUrl}/api/v1/network-requester`)).status, 501)
    const entries = network.nodes.filter(({ role }) => role === 'mixnode')
    const httpPorts = [...entries.map(({ httpUrl }) => httpUrl), httpUrl].map((url) => Number(new URL(url).port))
    for (const httpPort of httpPorts) await directory.join({ host: LOOPBACK, httpPort })
    await run.complains('the exit serves: ')
    const roles = (await (await fetch(`${httpUrl}/api/v1/roles`)).json()) as Record<string, boolean>
    assert.equal(roles.network_requester_enabled, true)
    assert.ok(identityKey)
    assert.equal((await run.interrupt()).code, 0)
    await directory.close()

    const alone = start(['run', '--id', 'early', '--json'])
    await alone.prints('\n')
    await alone.complains('NO EXIT yet')
    assert.equal((await alone.interrupt()).code, 0)
  })

  it('is no exit without its policy, and says so', async () => {
    const policy = join(home, 'exit-policy.txt')
    writeFileSync(policy, 'ExitPolicy accept *:80\n')
    await init('closed', network.nymApiUrl, '--exit', '--exit-policy', policy)
    assert.ok(readFileSync(file('closed', 'node.toml'), 'utf8').includes(`\nexitPolicy = ${JSON.stringify(policy)}\n`))
    writeFileSync(policy, 'ExitPolicy perhaps *:80\n')
    const run = start(['run', '--id', 'closed', '--json'])
    const summary = JSON.parse(await run.prints('\n'))
    const { httpUrl, exit } = summary
    assert.equal(exit.exitPolicy, policy)
    await admit(summary)
    await run.complains(`NO EXIT yet, this node is a plain gateway: The exit policy (${policy}) cannot be used`)
    const roles = (await (await fetch(`${httpUrl}/api/v1/roles`)).json()) as Record<string, boolean>
    assert.deepEqual([roles.gateway_enabled, roles.network_requester_enabled], [true, false])
    assert.equal((await run.interrupt()).code, 0)
  })
})
