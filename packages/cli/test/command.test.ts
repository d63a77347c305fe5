import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { listenOn } from '@mixwright/runtime/node'
import { assertOneLine, Run, run } from './running-command.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-cli-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

describe('mixwright up', () => {
  it('prints every node, the directory, lines to paste, and the warning twice', async () => {
    const out = join(scratch, 'net.json')
    const up = new Run(['up', '--port', '0', '--out', out])
    const text = await up.prints('Stop with Ctrl-C')
    const summary = JSON.parse(readFileSync(out, 'utf8'))
    assert.equal(text.split('protects nobody').length, 3)
    assert.ok(text.includes(summary.nymApiUrl))
    assert.equal(summary.nodes.length, 5)
    for (const node of summary.nodes) {
      assert.ok(text.includes(node.identityKey))
      assert.ok(text.includes(node.mixAddress))
      assert.equal(node.pid, up.child.pid)
      assert.match(node.name, /^(mix|gateway)\d$/)
    }
    assert.match(summary.services.networkRequester, /^\w+\.\w+@\w+$/)
    assert.match(summary.services.echo, /^\w+\.\w+@\w+$/)
    assert.equal(summary.services.socks5, null)
    assert.equal(summary.env.NYM_API, summary.nymApiUrl)
    assert.ok(existsSync(summary.envFile))
    const { code } = await up.interrupt()
    assert.equal(code, 0)
    assert.equal(existsSync(summary.envFile), false)
  })

  it('with --socks5 is a proxy for programs of this machine', async () => {
    const web = createHttpServer((_request, response) => void response.end('through the mixnet'))
    const url = `http://127.0.0.1:${await listenOn(web, { host: '127.0.0.1', port: 0 })}/`
    const up = new Run(['up', '--port', '0', '--socks5', '0', '--json'])
    const { services } = JSON.parse(await up.prints('\n'))
    assert.match(services.socks5, /^socks5h:\/\/127\.0\.0\.1:\d+$/)
    const args = [
      '--disable',
      '--silent',
      '--show-error',
      '--noproxy',
      '',
      '--max-time',
      '40',
      '--proxy',
      services.socks5,
    ]
    const { stdout } = await promisify(execFile)('curl', [...args, url])
    assert.equal(stdout, 'through the mixnet')
    assert.equal((await up.interrupt()).code, 0)
    web.close()
  })

  it('with --no-services runs none, and has no proxy to it', async () => {
    const up = new Run(['up', '--port', '0', '--no-services', '--socks5', '0', '--json'])
    const { services } = JSON.parse(await up.prints('\n'))
    assert.deepEqual(services, { networkRequester: null, echo: null, socks5: null })
    assert.equal((await up.interrupt()).code, 0)
  })

  it('with several authorities tells their keys, and how a client pins them', async () => {
    const out = join(scratch, 'authorities.json')
    const flags = ['--authorities', '3', '--threshold', '2', '--epoch', '15s']
    const up = new Run(['up', '--port', '0', '--out', out, ...flags])
    const text = await up.prints('Stop with Ctrl-C')
    const { nymApiUrl, authorities, authorityThreshold } = JSON.parse(readFileSync(out, 'utf8'))
    const [keys, urls] = ['key', 'url'].map((field) => authorities.map((one: Record<string, string>) => one[field]))
    assert.equal(nymApiUrl, urls[0])
    assert.equal(authorityThreshold, 2)
    assert.ok(text.includes(`--directory ${urls.join(',')} --authority ${keys.join(',')} --threshold 2`))
    const { code } = await up.interrupt()
    assert.equal(code, 0)
  })

  it('prints one line of JSON with --json, nothing with --quiet', async () => {
    const up = new Run(['up', '--port', '0', '--json', '--mixes', '3', '--gateways', '1'])
    const line = await up.prints('\n')
    assert.equal(JSON.parse(line).nodes.length, 4)
    assert.equal((await up.interrupt()).stdout, line)

    const out = join(scratch, 'quiet.json')
    const quiet = new Run(['up', '--quiet', '--port', '0', '--out', out])
    const watcher = watch(scratch)
    while (!existsSync(out)) await once(watcher, 'change')
    watcher.close()
    const { code, stdout } = await quiet.interrupt()
    assert.deepEqual([code, stdout], [0, ''])
  })

  it('reads options from the environment and a file, flags first', async () => {
    const config = join(scratch, 'net.toml')
    writeFileSync(config, 'mixes = 5\ngateways = 3\nport = 0\n')
    const up = new Run(['up', '--config', config, '--json', '--gateways', '1'], { MIXWRIGHT_MIXES: '4' })
    const { nodes } = JSON.parse(await up.prints('\n')) as { nodes: { role: string }[] }
    assert.equal(nodes.filter(({ role }) => role === 'mixnode').length, 4)
    assert.equal(nodes.filter(({ role }) => role === 'gateway').length, 1)
    await up.interrupt()
    writeFileSync(config, 'mixs = 5\n')
    const { code, stderr } = await run('up', '--config', config)
    assert.equal(code, 2)
    assert.match(stderr, /mixs/)
  })

  it('ends with one clear line and code 2 for a wrong command line', async () => {
    for (const args of [
      ['up', '--mixes', '2'],
      ['up', '--mixes', 'many'],
      ['up', '--bogus'],
      ['bogus'],
      ['up', '--port', '99999'],
    ]) {
      const { code, stderr, stdout } = await run(...args)
      assert.equal(code, 2, args.join(' '))
      assert.equal(stdout, '')
      assert.notEqual(stderr.trim(), '')
    }
  })

  it('ends with one clear line and code 1 when a port is in use, the data locked or unusable, or --out cannot be written', async () => {
    const server = createServer()
    const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
    const taken = await run('up', '--port', String(port))
    server.close()
    assertOneLine(taken, 'MIX_PORT_IN_USE')

    const data = join(scratch, 'data')
    const first = new Run(['up', '--port', '0', '--data', data])
    await first.prints('Stop with Ctrl-C')
    assertOneLine(await run('up', '--port', '0', '--data', data), 'MIX_DATA_LOCKED')
    assert.equal((await first.interrupt()).code, 0)

    const file = join(scratch, 'a-file')
    writeFileSync(file, '')
    assertOneLine(await run('up', '--port', '0', '--data', join(file, 'inside')), 'MIX_DATA_UNUSABLE')

    assertOneLine(
      await run('exec', '--out', join(file, 'net.json'), '--', process.execPath, '-e', ''),
      'MIX_FILE_WRITE',
    )
  })

  it('teaches with --help', async () => {
    for (const args of [['--help'], ['up', '--help'], ['exec', '--help']]) {
      const { code, stdout } = await run(...args)
      assert.equal(code, 0)
      assert.match(stdout, /Usage: mixwright/)
    }
  })
})

describe('mixwright exec', () => {
  it('hands the environment on and ends with the exit code of the command', async () => {
    const script = `
      const net = JSON.parse(require('fs').readFileSync(process.env.MIXWRIGHT_NETWORK_FILE, 'utf8'))
      fetch(process.env.NYM_API + '/v1/api-status/health').then((response) => {
        console.log(JSON.stringify({ status: response.status, same: net.nymApiUrl === process.env.NYM_API, configured: process.env.CONFIGURED }))
        process.exitCode = 7
      })`
    const { code, stdout } = await run('exec', '--', process.execPath, '-e', script)
    assert.equal(code, 7)
    assert.deepEqual(JSON.parse(stdout), { status: 200, same: true, configured: 'true' })
  })

  it('passes flags of the command through, and says when it is not found', async () => {
    const { code, stdout } = await run('exec', process.execPath, '--version')
    assert.equal(code, 0)
    assert.equal(stdout.trim(), process.version)
    const missing = await run('exec', '--', join(scratch, 'nowhere'))
    assert.equal(missing.code, 127)
    assert.match(missing.stderr, /not found/)
  })

  it('ends the command when it is told to end', async () => {
    const child = new Run(['exec', '--', process.execPath, '-e', 'console.log("up"); setInterval(() => {}, 1000)'])
    await child.prints('up')
    child.child.kill('SIGTERM')
    assert.equal((await child.finished).code, 128 + 15)
  })
})
