/**
 * `mixwright node` as a child process: init, run, show, rotate-keys, and what is said when it is wrong. The directory is a
 * stub that knows the key rotation; nodes in a whole network are in `directory.test.ts`.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { listenOn } from '@mixwright/runtime/node'
import { WebSocket } from 'ws'
import { assertOneLine, Run } from './running-command.js'

const home = mkdtempSync(join(tmpdir(), 'mixwright-home-'))
after(() => rmSync(home, { recursive: true, force: true }))

const rotation = {
  key_rotation_state: { validity_epochs: 24, initial_epoch_id: 0 },
  current_absolute_epoch_id: 100,
  current_epoch_start: new Date().toISOString(),
  epoch_duration: { secs: 3600, nanos: 0 },
  progress: { current_key_rotation_id: 4, current_rotation_starting_epoch: 96, current_rotation_ending_epoch: 119 },
}
const stub = createHttpServer((request, response) => {
  if (request.url === '/api/v1/epoch/key-rotation-info') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(rotation))
  } else response.writeHead(503).end()
})
let directoryUrl = ''
before(async () => {
  directoryUrl = `http://127.0.0.1:${await listenOn(stub, { host: '127.0.0.1', port: 0 })}/api`
})
after(() => {
  stub.close()
  stub.closeAllConnections()
})

const start = (args: readonly string[], env: Record<string, string> = {}) =>
  new Run(['node', ...args], { MIXWRIGHT_HOME: home, ...env })
const finish = (args: readonly string[], env: Record<string, string> = {}) => start(args, env).finished
const anyPorts = ['--host', '127.0.0.1', '--mix-port', '0', '--http-port', '0', '--client-port', '0']
const init = (id: string, ...args: readonly string[]) =>
  finish(['init', '--id', id, '--ips', '127.0.0.1', '--directory', directoryUrl, ...anyPorts, ...args])
const file = (id: string, name: string) => join(home, 'nodes', id, name)
const show = async (id: string) => JSON.parse((await finish(['show', '--id', id, '--json'])).stdout)

async function get(url: string): Promise<Record<string, Record<string, unknown>>> {
  const response = await fetch(url)
  assert.equal(response.status, 200, url)
  return (await response.json()) as Record<string, Record<string, unknown>>
}

async function stop(run: Run): Promise<void> {
  run.child.kill('SIGTERM')
  const { code, stderr } = await run.finished
  assert.equal(code, 0, stderr)
}

describe('mixwright node init', () => {
  it('makes keys and a configuration with every option, and never twice', async () => {
    const { code, stdout, stderr } = await init('mix', '--moniker', 'a "quoted" name')
    assert.equal(code, 0, stderr)
    for (const name of ['node.toml', 'keys.json']) assert.equal(statSync(file('mix', name)).mode & 0o077, 0, name)
    const config = readFileSync(file('mix', 'node.toml'), 'utf8')
    const { stdout: help } = await finish(['run', '--help'])
    const options = [...help.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name!)
    assert.ok(options.length > 25, String(options.length))
    for (const option of options.filter(
      (name) => !['id', 'home', 'json', 'help', 'nr-allow-local-ips'].includes(name),
    )) {
      const key = option.replace(/-[a-z]/g, ([, letter]) => letter!.toUpperCase())
      assert.match(config, new RegExp(`^(# )?${key} = `, 'm'))
    }
    const shown = await show('mix')
    assert.ok(stdout.includes(shown.identityKey))
    assert.deepEqual(shown.sphinxKeys, [])
    assertOneLine(await init('mix'), 'MIX_SERVER_EXISTS')
    assert.equal((await show('mix')).identityKey, shown.identityKey)
  })

  it('keeps keys that are there, as after restoring a backup', async () => {
    await init('lost')
    const { identityKey } = await show('lost')
    rmSync(file('lost', 'node.toml'))
    const { stdout } = await init('lost', '--json')
    assert.equal(JSON.parse(stdout).identityKey, identityKey)
  })

  it('says which option is wrong, and what it takes', async () => {
    const wrong: readonly (readonly [RegExp, ...string[]])[] = [
      [/--id/, 'init'],
      [/--id/, 'init', '--id', '../x'],
      [/--ips/, 'init', '--id', 'x', '--directory', 'http://x/api'],
      [/--ips: .*IP address/, 'init', '--id', 'x', '--ips', 'node.example', '--directory', 'http://x/api'],
      [/--directory/, 'init', '--id', 'x', '--ips', '192.0.2.1'],
      [/--role/, 'init', '--id', 'x', '--ips', '192.0.2.1', '--directory', 'http://x/api', '--role', 'exit'],
      [/--location/, 'init', '--id', 'x', '--ips', '192.0.2.1', '--directory', 'http://x/api', '--location', 'Berne'],
      [/--mix-port/, 'run', '--id', 'lost', '--mix-port', '65536'],
      [/--noise/, 'run', '--id', 'lost', '--noise', 'maybe'],
      [/--tls-key/, 'run', '--id', 'lost', '--role', 'gateway', '--tls-certificate', 'x.pem'],
      [/unknown option/, 'run', '--id', 'lost', '--bogus'],
      [/unknown command/, 'sign'],
    ]
    for (const [reason, ...args] of wrong) {
      const { code, stdout, stderr } = await finish(args)
      assert.deepEqual([code, stdout], [2, ''], args.join(' '))
      assert.match(stderr, reason)
    }
    const config = readFileSync(file('lost', 'node.toml'), 'utf8')
    writeFileSync(file('lost', 'node.toml'), `${config}colour = "blue"\n`)
    const unknown = await finish(['run', '--id', 'lost'])
    assert.deepEqual([unknown.code, /colour/.test(unknown.stderr)], [2, true])
    assertOneLine(await finish(['run', '--id', 'nobody']), 'MIX_SERVER_UNKNOWN')
    assertOneLine(await finish(['show', '--id', 'nobody']), 'MIX_SERVER_UNKNOWN')
  })
})

describe('mixwright node run', () => {
  it('runs from what init wrote, comes back as the same node, and rotates keys only when stopped', async () => {
    await init('worker', '--log', 'silent')
    const first = start(['run', '--id', 'worker', '--json'])
    const summary = JSON.parse(await first.prints('\n'))
    const { data } = await get(`${summary.httpUrl}/api/v1/host-information`)
    const keys = data!.keys as { ed25519_identity: string; primary_x25519_sphinx_key: { public_key: string } }
    assert.equal(keys.ed25519_identity, summary.identityKey)
    const shown = await show('worker')
    assert.equal(shown.identityKey, summary.identityKey)
    assert.equal(shown.sphinxKeys[0].publicKey, keys.primary_x25519_sphinx_key.public_key)
    assert.equal((await get(`${summary.httpUrl}/api/v1/description`)).moniker, 'worker')
    assertOneLine(await finish(['rotate-keys', '--id', 'worker']), 'MIX_DATA_LOCKED')
    const twice = await finish(['run', '--id', 'worker'])
    assert.deepEqual([twice.code, twice.stdout], [1, ''])
    assert.match(twice.stderr, /MIX_DATA_LOCKED/)
    await stop(first)

    const second = start(['run', '--id', 'worker'], { MIXWRIGHT_NODE_MONIKER: 'night shift' })
    const text = await second.prints('Ready')
    assert.ok(text.includes(summary.identityKey))
    const url = /http:\/\/\S+\/api\/v1/.exec(text)![0]
    assert.equal((await get(`${url}/description`)).moniker, 'night shift')
    const again = (await get(`${url}/host-information`)).data!.keys as typeof keys
    assert.deepEqual(again, keys)
    assert.equal((await second.interrupt()).code, 0)

    const rotated = await finish(['rotate-keys', '--id', 'worker', '--json'])
    assert.deepEqual(JSON.parse(rotated.stdout).discarded, shown.sphinxKeys)
    assert.deepEqual((await show('worker')).sphinxKeys, [])
    const third = start(['run', '--id', 'worker', '--json'])
    await third.prints('\n')
    const [fresh] = (await show('worker')).sphinxKeys
    assert.equal(fresh.rotationId, shown.sphinxKeys[0].rotationId)
    assert.notEqual(fresh.publicKey, shown.sphinxKeys[0].publicKey)
    await stop(third)
  })

  it('as a gateway tells where clients connect, and what waits for them', async () => {
    await init('gate', '--role', 'gateway', '--log', 'silent')
    const run = start(['run', '--id', 'gate', '--json', '--workers', '0'])
    const { clientUrls, clientAddressSuffix, identityKey } = JSON.parse(await run.prints('\n'))
    assert.equal(clientAddressSuffix, `@${identityKey}`)
    const client = new WebSocket(clientUrls[0])
    await once(client, 'open')
    assert.deepEqual((await show('gate')).mailbox, { clients: 0, messages: 0, bytes: 0 })
    await Promise.all([once(client, 'close'), stop(run)])
  })

  it('says that it waits for a directory, and can be stopped meanwhile', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}).resume())
    const port = await listenOn(silent, { host: '127.0.0.1', port: 0 })
    await init('waiting', '--directory', `http://127.0.0.1:${port}/api`)
    const run = start(['run', '--id', 'waiting', '--log', 'silent'])
    await run.complains('waiting for the directory')
    await stop(run)
    assert.equal((await run.finished).stdout, '')
    silent.close()
  })

  it('warns of what weakens privacy', async () => {
    await init(
      'open',
      '--noise',
      'off',
      '--replay-protection',
      'false',
      '--expose-system-information',
      '--log',
      'silent',
    )
    const run = start(['run', '--id', 'open', '--json'])
    const { httpUrl } = JSON.parse(await run.prints('\n'))
    const { data } = await get(`${httpUrl}/api/v1/host-information`)
    assert.equal((data!.keys as Record<string, unknown>).x25519_versioned_noise, null)
    assert.ok((await get(`${httpUrl}/api/v1/system-info`)).hardware)
    await stop(run)
    const { stderr } = await run.finished
    for (const option of [
      '--noise',
      '--replay-protection',
      '--authority',
      '--metrics-token',
      '--expose-system-information',
    ])
      assert.ok(stderr.includes(option), option)
  })

  it('answers those who measure how far it is, when it is told to', async () => {
    await init('near', '--verloc', '--verloc-port', '0', '--log', 'silent')
    const run = start(['run', '--id', 'near', '--json'])
    const { httpUrl } = JSON.parse(await run.prints('\n'))
    const { announce_ports } = await get(`${httpUrl}/api/v1/auxiliary-details`)
    const vector = new URL('../../../../vectors/mixnode-verloc.json', import.meta.url)
    const { echo } = JSON.parse(readFileSync(vector, 'utf8')) as { echo: string }
    const socket = connect({ host: '127.0.0.1', port: Number(announce_ports!.verloc_port) })
    socket.end(Buffer.from(echo, 'hex'))
    let reply = ''
    for await (const chunk of socket) reply += (chunk as Buffer).toString('hex')
    assert.equal(reply.slice(0, echo.length), echo)
    assert.equal(reply.length, 2 * 168)
    await stop(run)
  })

  it('asks for the token before it shows metrics', async () => {
    await init('metrics', '--metrics-token', '0123456789abcdef', '--log', 'silent')
    const run = start(['run', '--id', 'metrics', '--json'])
    const url = `${JSON.parse(await run.prints('\n')).httpUrl}/api/v1/metrics/prometheus`
    assert.equal((await fetch(url)).status, 401)
    const allowed = await fetch(url, { headers: { authorization: 'Bearer 0123456789abcdef' } })
    assert.match(await allowed.text(), /^nym_node_mixnet_ingress_forward_packets_received 0$/m)
    await stop(run)
  })
})

describe('deploy/mixwright-node.service', () => {
  it('leaves time to drain', () => {
    const unit = readFileSync(new URL('../../../../deploy/mixwright-node.service', import.meta.url), 'utf8')
    const config = readFileSync(file('mix', 'node.toml'), 'utf8')
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)![1])
    const drainMs = Number(/^drainMs = (\d+)$/m.exec(config)![1])
    assert.ok(seconds * 1000 >= drainMs + 10_000, `${seconds} s for ${drainMs} ms`)
    assert.match(unit, /^KillSignal=SIGTERM$/m)
  })
})
