/** `mixwright client` as a child process on a real network: init, run, show, and what they say when something is wrong. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Network } from '@mixwright/localnet'
import { listenOn } from '@mixwright/runtime/node'
import { parseRecipient } from '@mixwright/wire'
import { WebSocket } from 'ws'
import { assertOneLine, Run } from './running-command.js'

const home = mkdtempSync(join(tmpdir(), 'mixwright-home-'))
after(() => rmSync(home, { recursive: true, force: true }))

let network: Network
before(async () => {
  network = await Network.start({ gateways: 2 })
})
after(() => network.close())

/** As in a terminal where the variables of the network are set. */
const environment = () => ({ ...network.environment, MIXWRIGHT_HOME: home })
const start = (args: readonly string[], env: Record<string, string> = {}) =>
  new Run(['client', ...args], { ...environment(), ...env })
const finish = (args: readonly string[], env: Record<string, string> = {}) => start(args, env).finished
const init = (id: string, ...args: readonly string[]) => finish(['init', '--id', id, '--profile', 'local', ...args])
const file = (id: string, name: string) => join(home, 'clients', id, name)

async function attach(url: string): Promise<WebSocket> {
  const websocket = new WebSocket(url)
  await once(websocket, 'open')
  return websocket
}

async function answer(websocket: WebSocket, request: object): Promise<Record<string, string>> {
  websocket.send(JSON.stringify(request))
  const [frame] = await once(websocket, 'message')
  return JSON.parse(String(frame))
}

describe('mixwright client init', () => {
  it('prints what nym-client prints, and keeps what was said', async () => {
    const { code, stdout, stderr } = await init('text', '--port', '4711', '--gateway', network.gateway(1).identityKey)
    assert.equal(code, 0, stderr)
    const lines = stdout.trim().split('\n')
    assert.deepEqual(
      lines.map((line) => line.split(': ')[0]),
      [
        'Version',
        'ID',
        'Identity key',
        'Encryption',
        'Gateway ID',
        'Gateway',
        'Registered at',
        'Client listening port',
        'Address of this client',
      ],
    )
    const [, id, identity, encryption, gateway, url, , port, address] = lines.map((line) =>
      line.slice(line.indexOf(': ') + 2),
    )
    assert.deepEqual([id, port], ['text', '4711'])
    assert.deepEqual([gateway, url], [network.gateway(1).identityKey, network.gateway(1).clientUrl])
    assert.equal(address, `${identity}.${encryption}@${gateway}`)
    assert.match(stderr, /Initialising client...\nSaved configuration file to .*config.toml\n$/)
    assert.match(readFileSync(file('text', 'config.toml'), 'utf8'), /^port = 4711$/m)
    for (const name of ['config.toml', 'client.json', 'client.sqlite'])
      assert.equal(statSync(file('text', name)).mode & 0o077, 0, name)

    assertOneLine(await init('text'), 'MIX_CLIENT_EXISTS')
    const shown = await finish(['show', '--id', 'text'])
    for (const line of [`Address of this client: ${address}`, 'Client listening port: 4711', `Gateway ID: ${gateway}`])
      assert.ok(shown.stdout.includes(`${line}\n`), line)
  })

  it('prints one object with the same keys in JSON', async () => {
    const { code, stdout } = await init('json', '-o', 'json')
    assert.equal(code, 0)
    const summary = JSON.parse(stdout)
    assert.deepEqual(Object.keys(summary), [
      'version',
      'id',
      'identity_key',
      'encryption_key',
      'gateway_id',
      'gateway_listener',
      'fallback_listener',
      'gateway_registration',
      'address',
      'client_listening_port',
      'client_address',
    ])
    const recipient = parseRecipient(summary.client_address, () => true)!
    assert.deepEqual(summary.address, [...recipient.identity, ...recipient.encryption, ...recipient.gateway])
    assert.equal(summary.client_listening_port, 1977)
    const shown = JSON.parse((await finish(['show', '--id', 'json', '--json'])).stdout)
    assert.deepEqual([shown.id, shown.address, shown.port], ['json', summary.client_address, 1977])
    assert.equal(shown.storeFile, file('json', 'client.sqlite'))
  })

  it('leaves nothing when it fails or is interrupted, and says what takes long', async () => {
    const unreachable = await finish(['init', '--id', 'none', '--directory', 'http://127.0.0.1:9/api'])
    assert.equal(unreachable.code, 1)
    assert.match(unreachable.stderr, /MIX_DIRECTORY_UNREACHABLE/)
    // A directory that takes the question and never answers.
    const silent = createServer((socket) => socket.on('error', () => {}).resume())
    const port = await listenOn(silent, { host: '127.0.0.1', port: 0 })
    const waiting = start(['init', '--id', 'none', '--directory', `http://127.0.0.1:${port}/api`])
    await waiting.complains('Registering with a gateway…')
    const { code, stderr } = await waiting.interrupt()
    silent.close()
    assert.equal(code, 1)
    assert.match(stderr, /MIX_INTERRUPTED/)
    assert.equal(existsSync(join(home, 'clients', 'none')), false)
  })

  it('knows the names of nym-client, and says why it refuses others', async () => {
    const wrong: readonly (readonly [RegExp, ...string[]])[] = [
      [/--id/, 'init'],
      [/--id/, 'init', '--id', '../x'],
      [/--profile is said twice/, 'init', '--id', 'x', '--fastmode', '--no-cover'],
      [/--gateway is said twice/, 'init', '--id', 'x', '--gateway', 'random', '--latency-based-selection'],
      [/no chain is ever asked/, 'init', '--id', 'x', '--nyxd-urls', 'http://x'],
      [/the websocket is all/, 'run', '--id', 'text', '--disable-socket', 'true'],
      [/--profile/, 'init', '--id', 'x', '--profile', 'quick'],
      [/--directory/, 'init', '--id', 'x', '--nym-apis', 'nowhere'],
      [/--port/, 'run', '--id', 'text', '--port', '65536'],
      [/unknown option/, 'init', '--id', 'x', '--bogus'],
      [/unknown command/, 'list-gateways'],
    ]
    for (const [reason, ...args] of wrong) {
      const { code, stdout, stderr } = await finish(args)
      assert.deepEqual([code, stdout], [2, ''], args.join(' '))
      assert.match(stderr, reason)
    }
    const { nymApiUrl } = network
    const known = ['--api_validators', nymApiUrl, '--fastmode', '--latency-based-selection', '--host', '127.0.0.1']
    const fast = await finish(['init', '--id', 'fast', ...known, '--enabled-credentials-mode', 'false'])
    assert.equal(fast.code, 0, fast.stderr)
    assert.match(readFileSync(file('fast', 'config.toml'), 'utf8'), /^profile = "fast"$/m)
  })
})

describe('mixwright client run', () => {
  it('opens a websocket, comes back as the same client, and keeps messages that nobody took', async () => {
    await init('alice', '--port', '0')
    const first = start(['run', '--id', 'alice', '--json'])
    const { address, websocketUrl, id } = JSON.parse(await first.prints('\n'))
    assert.equal(id, 'alice')
    const app = await attach(websocketUrl)
    assert.deepEqual(await answer(app, { type: 'selfAddress' }), { type: 'selfAddress', address })
    const echo = await answer(app, { type: 'send', recipient: address, message: 'to myself' })
    assert.deepEqual(echo, { type: 'received', message: 'to myself', senderTag: null })
    // Shown while it runs, too.
    assert.ok((await finish(['show', '--id', 'alice'])).stdout.includes(address))
    app.close()
    await once(app, 'close')

    const receipts = await attach(`${websocketUrl}/?receipts=1`)
    receipts.send(JSON.stringify({ type: 'sendAnonymous', recipient: address, message: 'for later', replySurbs: 5 }))
    receipts.close()
    await once(receipts, 'close')
    assert.equal((await first.interrupt()).code, 0)

    const second = start(['run', '--id', 'alice'])
    const printed = await second.prints('ws://')
    assert.ok(printed.startsWith(`Client startup finished!\nThe address of this client is: ${address}\n`))
    const again = await attach(/ws:\/\/\S+/.exec(await second.prints('ws://'))![0])
    again.send('{"type":"selfAddress"}')
    const frames: Record<string, string>[] = []
    again.on('message', (data) => frames.push(JSON.parse(String(data))))
    while (frames.length < 2) await once(again, 'message')
    const message = frames.find(({ type }) => type === 'received')!
    assert.equal(message.message, 'for later')
    const reply = await answer(again, { type: 'reply', senderTag: message.senderTag, message: 'found it' })
    assert.deepEqual(reply, { type: 'received', message: 'found it', senderTag: null })
    again.terminate()
    const { code, stderr } = await second.interrupt()
    assert.equal(code, 0)
    assert.match(stderr, /mixwright: --profile local: .*\nStarting client alice...\n$/)
  })

  it('says what to type when there is no such client, and who has the port or the store', async () => {
    const unknown = await finish(['run', '--id', 'nobody'])
    assertOneLine(unknown, 'MIX_CLIENT_UNKNOWN')
    assert.match(unknown.stderr, /mixwright client init --id nobody/)
    assertOneLine(await finish(['show', '--id', 'nobody']), 'MIX_CLIENT_UNKNOWN')

    await init('bob', '--port', '0')
    const bob = start(['run', '--id', 'bob'])
    const port = /ws:\/\/127.0.0.1:(\d+)/.exec(await bob.prints('ws://'))![1]!
    const locked = await finish(['run', '--id', 'bob'])
    assert.match(locked.stderr, /MIX_STORE_LOCKED/)
    assert.notEqual(locked.code, 0)
    await init('carol', '--port', port)
    const taken = await finish(['run', '--id', 'carol'])
    assert.equal(taken.code, 1)
    assert.match(taken.stderr, /MIX_PORT_IN_USE/)
    assert.equal((await bob.interrupt()).code, 0)
  })

  it('takes the file, then the environment, then flags', async () => {
    await init('dave', '--port', '0', '--apps', 'many', '--allow-origin', 'http://a.example', '--allow-origin', 'null')
    const config = readFileSync(file('dave', 'config.toml'), 'utf8')
    assert.match(config, /^allowOrigin = \["http:\/\/a.example","null"\]$/m)
    const shown = async (env: Record<string, string>) =>
      JSON.parse((await finish(['show', '--id', 'dave', '--json'], env)).stdout)
    assert.equal((await shown({})).profile, 'local')
    assert.equal((await shown({ MIXWRIGHT_CLIENT_PROFILE: 'fast', MIXWRIGHT_PROFILE: 'no-cover' })).profile, 'fast')
    const run = start(['run', '--id', 'dave', '--no-cover'], { MIXWRIGHT_CLIENT_PROFILE: 'fast' })
    await run.prints('ws://')
    const { code, stderr } = await run.interrupt()
    assert.deepEqual([code, /--profile no-cover: /.test(stderr)], [0, true])
    writeFileSync(file('dave', 'config.toml'), `${config}colour = "blue"\n`)
    const unknown = await finish(['run', '--id', 'dave'])
    assert.deepEqual([unknown.code, /colour/.test(unknown.stderr)], [2, true])
  })

  it('tells each cost of each profile', async () => {
    const { code, stdout } = await finish(['run', '--help'])
    assert.equal(code, 0)
    for (const name of ['default', 'fast', 'no-cover', 'local'])
      assert.match(stdout, new RegExp(`^ {2}${name} +[A-Z]`, 'm'))
  })
})

describe('clients of a network', () => {
  it('are printed and written by up', async () => {
    const up = new Run(['up', '--port', '0', '--json', '--gateways', '1', '--clients', 'alice,bob'])
    const { clients } = JSON.parse(await up.prints('\n'))
    assert.deepEqual(
      clients.map(({ name }: { name: string }) => name),
      ['alice', 'bob'],
    )
    const app = await attach(clients[0].websocketUrl)
    assert.equal((await answer(app, { type: 'selfAddress' })).address, clients[0].address)
    assert.equal((await up.interrupt()).code, 0)
  })

  it('are found by client init in exec', async () => {
    const command = [process.execPath, fileURLToPath(new URL('../../bin/mixwright.mjs', import.meta.url))]
    const args = ['exec', '--', ...command, 'client', 'init', '--id', 'within', '--home', join(home, 'exec'), '--json']
    const { code, stdout, stderr } = await new Run(args).finished
    assert.equal(code, 0, stderr)
    assert.equal(JSON.parse(stdout).id, 'within')
    assert.deepEqual(readdirSync(join(home, 'exec', 'clients')), ['within'])
  })
})
