/**
 * `mixwright directory`, and a whole network of `mixwright node`s around it, each a process: they register, a client sends
 * through them, `verify` believes the authority, and all end cleanly.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { connect } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { assertOneLine, Run } from './running-command.js'

const home = mkdtempSync(join(tmpdir(), 'mixwright-home-'))
after(() => rmSync(home, { recursive: true, force: true }))

const start = (args: readonly string[], env: Record<string, string> = {}) =>
  new Run(args, { MIXWRIGHT_HOME: home, ...env })
const finish = (args: readonly string[], env: Record<string, string> = {}) => start(args, env).finished
const init = (id: string, ...args: readonly string[]) =>
  finish(['directory', 'init', '--id', id, '--host', '127.0.0.1', '--port', '0', '--log', 'silent', ...args])
const file = (id: string, name: string) => join(home, 'directories', id, name)

async function stop(run: Run): Promise<void> {
  run.child.kill('SIGTERM')
  const { code, stderr } = await run.finished
  assert.equal(code, 0, stderr)
}

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Try until the network that the directory shows is a whole one. */
async function whenUsable<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof MixError && error.retry)) throw error
    }
  }
}

describe('mixwright directory init', () => {
  it('makes a key and a configuration with every option, and never twice', async () => {
    const { code, stdout, stderr } = await init('first', '--json')
    assert.equal(code, 0, stderr)
    const summary = JSON.parse(stdout)
    const config = readFileSync(file('first', 'directory.toml'), 'utf8')
    const { stdout: help } = await finish(['directory', 'run', '--help'])
    const options = [...help.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name!)
    assert.ok(options.length > 15, String(options.length))
    for (const option of options.filter((name) => !['id', 'home', 'json', 'help'].includes(name))) {
      const key = option.replace(/-[a-z]/g, ([, letter]) => letter!.toUpperCase())
      assert.match(config, new RegExp(`^(# )?${key} = `, 'm'))
    }
    for (const name of ['directory.toml', 'directory.json']) assert.equal(statSync(file('first', name)).mode & 0o077, 0)
    assertOneLine(await init('first'), 'MIX_SERVER_EXISTS')
    const shown = JSON.parse((await finish(['directory', 'show', '--id', 'first', '--json'])).stdout)
    assert.deepEqual([shown.key, shown.genesisMs, shown.knownNodes], [summary.key, summary.genesisMs, 0])
    assertOneLine(await finish(['directory', 'show', '--id', 'other']), 'MIX_SERVER_UNKNOWN')
  })

  it('says which option is wrong, and what it takes', async () => {
    const wrong: readonly (readonly [RegExp, ...string[]])[] = [
      [/--epoch-ms/, 'init', '--id', 'x', '--epoch-ms', '100'],
      [/--registration/, 'init', '--id', 'x', '--registration', 'all'],
      [/--authority: takes KEY@URL/, 'init', '--id', 'x', '--authority', 'http://x/api'],
      [/--tokens/, 'init', '--id', 'x', '--tokens', 'short'],
      [/--nodes/, 'run', '--id', 'first', '--nodes', 'http://127.0.0.1:1/api'],
      [/epoch|durationMs/, 'run', '--id', 'first', '--epoch-ms', '15000'],
      [/--authority/, 'verify', 'http://127.0.0.1:1/api'],
      [/--directory/, 'verify', 'nowhere', '--authority', '1'.repeat(32)],
      [/missing required argument/, 'verify'],
      [/unknown command/, 'sign'],
    ]
    for (const [reason, ...args] of wrong) {
      const { code, stdout, stderr } = await finish(['directory', ...args])
      assert.deepEqual([code, stdout], [2, ''], args.join(' '))
      assert.match(stderr, reason)
    }
  })
})

describe('a network of processes', () => {
  it('is founded, joined, used, verified, and stopped', async () => {
    const port = String(await freePort())
    const url = `http://127.0.0.1:${port}/api`
    const local = [
      '--allow-local-addresses',
      '--registration',
      'open',
      '--epoch-ms',
      '15000',
      '--validity-epochs',
      '1000',
    ]
    const { stdout } = await init('net', '--port', port, '--json', ...local)
    const { key } = JSON.parse(stdout)
    const token = '0123456789abcdef'
    const alone = ['--metrics-token', token, '--authority', `${key}@${url}`]
    const directory = start(['directory', 'run', '--id', 'net', '--json', ...alone])
    assert.equal(JSON.parse(await directory.prints('\n')).url, url)
    const twice = await finish(['directory', 'run', '--id', 'net'])
    assert.equal(twice.code, 1)
    assert.match(twice.stderr, /MIX_DATA_LOCKED/)

    const ids = ['mix1', 'mix2', 'mix3', 'gate']
    const nodes = await Promise.all(
      ids.map(async (id) => {
        const ports = ['--mix-port', '0', '--http-port', '0', '--client-port', '0', '--host', '127.0.0.1']
        const role = id === 'gate' ? 'gateway' : 'mixnode'
        const about = ['--ips', '127.0.0.1', '--directory', url, '--role', role, '--workers', '0', '--log', 'silent']
        const made = await finish(['node', 'init', '--id', id, ...about, ...ports])
        assert.equal(made.code, 0, made.stderr)
        // Some believe the document, some the directory.
        const node = start(['node', 'run', '--id', id, '--json', ...(id === 'mix1' ? ['--authority', key] : [])])
        await node.prints('\n')
        return node
      }),
    )

    const client = await whenUsable(() => connect({ directory: url, authorities: [key], profile: 'local' }))
    await client.send(client.address, 'round trip').acknowledged
    for await (const message of client.messages()) {
      assert.equal(message.text(), 'round trip')
      break
    }
    await client.close()

    const pinned = ['--directory', url, '--authority', key, '--profile', 'local']
    const trusting = await finish(['client', 'init', '--id', 'alice', ...pinned])
    assert.equal(trusting.code, 0, trusting.stderr)

    const verify = (...args: readonly string[]) => finish(['directory', 'verify', url, '--json', ...args])
    const good = await verify('--authority', key)
    assert.equal(good.code, 0, good.stdout)
    const [found] = JSON.parse(good.stdout).directories
    assert.deepEqual([found.signers, found.nodes, found.problems], [[key], 4, []])
    // Of two keys, one is not enough.
    const { stdout: otherKey } = await init('other', '--json')
    const two = await verify('--authority', key, '--authority', JSON.parse(otherKey).key)
    assert.equal(two.code, 1)
    assert.equal(JSON.parse(two.stdout).verified, false)
    const stranger = JSON.parse(otherKey).key
    const doubting = await finish(['client', 'init', '--id', 'bob', '--directory', url, '--authority', stranger])
    assert.deepEqual([doubting.code, doubting.stdout], [1, ''])
    assert.match(doubting.stderr, /MIX_DIRECTORY_UNVERIFIED/)

    // Somebody in between gives official clients, who cannot check, other lists.
    const liar = createServer(async (request, response) => {
      const { pathname, search } = new URL(request.url ?? '/', url)
      const body = await (await fetch(`http://127.0.0.1:${port}${pathname}${search}`)).text()
      const rewarded = pathname.endsWith('/rewarded-set') ? { ...JSON.parse(body), layer1: [4] } : undefined
      response.end(rewarded ? JSON.stringify(rewarded) : body)
    })
    const liarUrl = `http://127.0.0.1:${await listenOn(liar, { host: '127.0.0.1', port: 0 })}/api`
    const lied = await finish(['directory', 'verify', url, liarUrl, '--authority', key])
    assert.equal(lied.code, 1)
    assert.match(lied.stdout, /PROBLEM: .*rewarded-set[\s\S]*NOT verified/)
    liar.close()
    liar.closeAllConnections()

    assert.equal((await fetch(`${url}/v1/mixwright/metrics`)).status, 401)
    const counters = await fetch(`${url}/v1/mixwright/metrics`, { headers: { authorization: `Bearer ${token}` } })
    assert.match(await counters.text(), /^mixwright_consensus_alarm 0$/m)
    const shown = JSON.parse((await finish(['directory', 'show', '--id', 'net', '--json'])).stdout)
    assert.deepEqual([shown.knownNodes, shown.registeredNodes], [4, 4])
    await Promise.all([...nodes, directory].map(stop))
  })
})
