/** `mixwright socks5` as a child process on a real network with a requester: curl through both proxies, and what is refused. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { type Client, connect } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { BUILD_INFORMATION } from '@mixwright/node'
import { MemoryMetrics, RealClock, silentLogger } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { NetworkRequester } from '@mixwright/services'
import { assertOneLine, Run } from './running-command.js'

const home = mkdtempSync(join(tmpdir(), 'mixwright-socks5-'))
after(() => rmSync(home, { recursive: true, force: true }))

let network: Network
let exit: Client
let requester: NetworkRequester
/** What the exit reaches. */
let web: Server
let webPort: number
before(async () => {
  network = await Network.start({ gateways: 2 })
  exit = await connect({ ...network.access, profile: 'local' })
  requester = await NetworkRequester.start({
    client: exit,
    clock: new RealClock(),
    logger: silentLogger,
    metrics: new MemoryMetrics(),
    policy: { kind: 'open' },
    allowLocalIps: true,
    buildInformation: BUILD_INFORMATION,
  })
  web = createServer((_request, response) => void response.end('through the mixnet'))
  webPort = await listenOn(web, { host: '127.0.0.1', port: 0 })
})
after(async () => {
  web.closeAllConnections()
  web.close()
  await requester.close()
  await exit.close({ flushMs: 0 })
  await network.close()
})

const start = (args: readonly string[], env: Record<string, string> = {}) =>
  new Run(['socks5', ...args], { ...network.environment, MIXWRIGHT_HOME: home, ...env })
const finish = (args: readonly string[]) => start(args).finished
const curl = async (proxy: string, ...args: readonly string[]) => {
  const all = ['--disable', '--silent', '--show-error', '--noproxy', '', '--max-time', '40', '--proxy', proxy, ...args]
  return (await promisify(execFile)('curl', all)).stdout
}

describe('mixwright socks5', () => {
  it('opens both proxies, with a client of its own for each name', async () => {
    const made = await finish(['init', '--id', 'web', '--profile', 'local', '--port', '0', '--provider', exit.address])
    assert.equal(made.code, 0, made.stderr)
    const config = readFileSync(join(home, 'socks5-clients', 'web', 'config.toml'), 'utf8')
    for (const line of [`provider = ["${exit.address}"]`, 'port = 0', 'useReplySurbs = true', '# httpPort = 8118'])
      assert.ok(config.includes(`\n${line}\n`), line)

    const run = start(['run', '--id', 'web', '--http-port', '0', '--isolation', '1', '--json'])
    const { id, socks5Url, httpUrl } = JSON.parse(await run.prints('\n'))
    assert.equal(id, 'web')
    const url = `http://127.0.0.1:${webPort}/`
    const named = (proxy: string, name: string) => proxy.replace('//', `//${name}:x@`)
    for (const proxy of [
      socks5Url,
      httpUrl,
      named(socks5Url, 'alice'),
      named(httpUrl, 'alice'),
      named(socks5Url, 'bob'),
    ])
      assert.equal(await curl(proxy, url), 'through the mixnet', proxy)
    // Why there is no connection comes from the exit: nobody listens there.
    assert.match(await curl(httpUrl, 'http://127.0.0.1:9/'), /^MIX_EXIT_CONNECTION_REFUSED: /)
    assert.equal((await run.interrupt()).code, 0)
  })

  it('says what it does not know, and what costs privacy', async () => {
    assertOneLine(await finish(['run', '--id', 'nobody']), 'MIX_CLIENT_UNKNOWN')
    assert.match((await finish(['run', '--id', 'nobody'])).stderr, /mixwright socks5 init --id nobody/)
    const wrong: readonly (readonly [RegExp, ...string[]])[] = [
      [/--provider/, '--provider', 'somewhere'],
      [/--isolation/, '--isolation', '0'],
      [/--profile is said twice/, '--fastmode', '--no-cover'],
      [/no chain is ever asked/, '--nyxd-urls', 'http://x'],
    ]
    for (const [reason, ...args] of wrong) {
      const { code, stderr } = await finish(['init', '--id', 'x', ...args])
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, reason)
    }
    const known = ['--use-reply-surbs', 'false', '--fastmode', '--port', '0']
    assert.equal((await finish(['init', '--id', 'known', ...known])).code, 0)
    const run = start(['run', '--id', 'known'])
    assert.match(await run.prints('socks5h://'), /^The SOCKS5 proxy is: socks5h:\/\/127\.0\.0\.1:\d+$/m)
    const { code, stderr } = await run.interrupt()
    assert.equal(code, 0)
    for (const warning of ['--use-reply-surbs false: ', '--profile fast: ', 'the directory lists no network requester'])
      assert.ok(stderr.includes(warning), warning)
  })
})
