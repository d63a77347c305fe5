/** `mixwright socks5 run`: the proxies, until Ctrl-C. */
import type { Client, ExitOptions } from '@mixwright/client'
import { type Logger, MixError, RealClock } from '@mixwright/runtime'
import { createLogger } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { isLoopback, mixnetWarnings, PROFILES_HELP } from '../client/mixnet-options.js'
import { withProgress } from '../progress.js'
import { StopSignals } from '../stop-signals.js'
import { givenSocks5Flags, type Socks5Options, socks5OptionsOf, withSocks5Flags } from './socks5-options.js'

/** At the end, for what is on its way, milliseconds. */
const FLUSH_MS = 400

export function runCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('run').description('Open the proxy for apps: SOCKS5, SOCKS4 and SOCKS4a, and HTTP.')
  return withSocks5Flags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await run(flags)))
}

async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenSocks5Flags(flags)
  const { directory, json } = given
  const facts = directory.facts()
  const options = await socks5OptionsOf(given)
  warn(options, facts.gateway)
  using signals = new StopSignals()
  process.stderr.write(`Starting client ${directory.id}...\n`)
  const logger = options.log === 'silent' ? undefined : await createLogger(options.log)
  const { connectClient } = await import('../client/connect-client.js')
  let client: Client
  try {
    const work = connectClient(directory, options, { stop: signals.first, ...(logger && { logger }) })
    client = await withProgress(new RealClock(), 'Connecting to the gateway…', work)
  } catch (error) {
    if (error instanceof MixError && error.code === 'MIX_INTERRUPTED') return 0
    throw error
  }
  try {
    await using proxies = await openProxies(client, options, logger)
    if (options.provider.length === 0) await warnOfNoRequester(client)
    const { address } = client
    const { socks5Url, httpUrl } = proxies
    const summary = { id: directory.id, address, socks5Url, httpUrl, gateway: facts.gateway, profile: options.profile }
    process.stdout.write(json ? `${JSON.stringify(summary)}\n` : describe(address, socks5Url, httpUrl))
    await signals.first
  } finally {
    await client.close({ flushMs: FLUSH_MS })
  }
  return 0
}

/** Both proxies, on the client's own exit for apps that give no name, and on one of its own for each name. */
async function openProxies(client: Client, options: Socks5Options, logger: Logger | undefined) {
  const { connect, openExit } = await import('@mixwright/client')
  const { HttpProxy, IsolatedExits, Socks5Proxy } = await import('@mixwright/daemon')
  const { connectOptions } = await import('../client/connect-client.js')
  const { host, port, httpPort, eager, provider, useReplySurbs, isolation } = options
  const log = logger && { logger }
  const exitOptions: ExitOptions = {
    anonymous: useReplySurbs,
    ...(provider.length > 0 && { requester: provider }),
  }
  const exit = openExit(client, exitOptions)
  const isolated = new IsolatedExits(isolation, async (signal) => {
    const other = await connect({ ...connectOptions(options), ...log, signal })
    const otherExit = openExit(other, exitOptions)
    const close = async () => {
      await otherExit.close()
      await other.close({ flushMs: FLUSH_MS })
    }
    return { exit: otherExit, close }
  })
  const door = {
    exitFor: (key: string | undefined) => (key === undefined ? exit : isolated.exitFor(key)),
    host,
    eager,
    ...log,
  }
  const closing: (() => Promise<void>)[] = [() => exit.close(), () => isolated.close()]
  const close = async () => {
    for (const end of closing.toReversed()) await end()
  }
  try {
    const socks5 = await Socks5Proxy.listen({ ...door, port })
    closing.push(() => socks5.close())
    const http = httpPort === undefined ? undefined : await HttpProxy.listen({ ...door, port: httpPort })
    if (http) closing.push(() => http.close())
    return { socks5Url: socks5.url, httpUrl: http?.url ?? null, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

function describe(address: string, socks5Url: string, httpUrl: string | null): string {
  return `Client startup finished!
The address of this client is: ${address}
The SOCKS5 proxy is: ${socks5Url}
${httpUrl === null ? '' : `The HTTP proxy is: ${httpUrl}\n`}`
}

/** The directory may list one later: it is no reason to end. */
async function warnOfNoRequester(client: Client): Promise<void> {
  const listed = await client.requesters().catch(() => undefined)
  if (listed?.length === 0)
    process.stderr.write('mixwright: the directory lists no network requester: name one with --provider.\n')
}

/** What weakens privacy says so at start-up. */
function warn(options: Socks5Options, registered: string): void {
  const { host, useReplySurbs } = options
  const warnings = mixnetWarnings(options, registered)
  if (!isLoopback(host)) warnings.push(`--host ${host}: whoever reaches this address connects as this client.`)
  if (!useReplySurbs) warnings.push('--use-reply-surbs false: requesters learn the address of this client.')
  for (const warning of warnings) process.stderr.write(`mixwright: ${warning}\n`)
}

const HELP = `${PROFILES_HELP}
Examples:
  mixwright socks5 run --id web
  curl --proxy socks5h://127.0.0.1:1080 https://example.org         names are resolved at the exit
  curl --proxy socks5h://alice:x@127.0.0.1:1080 https://example.org by a client of its own for alice:x
Names and passwords keep streams apart; any will do. Every option is also read from config.toml in the client's
directory, and from MIXWRIGHT_SOCKS5_… (such as MIXWRIGHT_SOCKS5_PORT).`
